# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  Cognito's types are in a package that nothing else here needs
"""The script that adds people to a user pool, started as the workflow starts it, with the rights of its task alone."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from account import ACCOUNT_ID, REGION, Account
from conftest import PROJECT, clean_environment

RIGHTS = ["AdminAddUserToGroup", "AdminCreateUser", "AdminGetUser", "AdminListGroupsForUser"]
PASSWORD = "correct horse battery"
_KINDS = ("RequireLowercase", "RequireNumbers", "RequireSymbols", "RequireUppercase")


@dataclass
class Pool:
    """A user pool as an account's sign-in has it, and the role of a task that may add people to it."""

    account: Account
    folder: Path
    identifier: str
    cognito: Any
    role: str
    earlier: int = 0  # mails to people of other tests' pools

    def permit(self, *actions: str) -> None:
        arn = f"arn:aws:cognito-idp:{REGION}:{ACCOUNT_ID}:userpool/{self.identifier}"
        statement = {"Effect": "Allow", "Action": [f"cognito-idp:{action}" for action in actions], "Resource": arn}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        _client(self.account, "iam").put_role_policy(RoleName=self.role, PolicyName="add", PolicyDocument=document)

    def add(self, *people: dict[str, Any] | str) -> tuple[int, list[dict[str, Any]], str]:
        """The exit code, what became of each line, and all that was printed."""
        file, results = self.folder / "people.jsonl", self.folder / "results.jsonl"
        file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in people))
        results.touch()
        session = _client(self.account, "sts").assume_role(
            RoleArn=f"arn:aws:iam::{ACCOUNT_ID}:role/{self.role}", RoleSessionName="task"
        )["Credentials"]
        issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{self.identifier}"
        done = subprocess.run(
            [sys.executable, "scripts/add_users.py", issuer, "-", str(file)],
            env={
                **clean_environment(),
                "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
                "AWS_SESSION_TOKEN": session["SessionToken"],
                "AWS_ENDPOINT_URL": self.account.endpoint,
                "RESULTS_PATH": str(results),
            },
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return (
            done.returncode,
            [json.loads(line) for line in results.read_text().splitlines()],
            done.stdout + done.stderr,
        )

    def user(self, email: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cognito.admin_get_user(UserPoolId=self.identifier, Username=email)
        return found

    def groups(self, email: str) -> list[str]:
        found = self.cognito.admin_list_groups_for_user(UserPoolId=self.identifier, Username=email)["Groups"]
        return [group["GroupName"] for group in found]

    def mails(self, email: str) -> list[str]:
        """What the emulator would have sent there; to anybody without an address."""
        kept = httpx.get(f"{self.account.endpoint}/_ministack/ses/messages", params={"account": ACCOUNT_ID}).json()
        mails = kept["messages"].get(ACCOUNT_ID, [])[self.earlier :]
        return [mail["BodyText"] for mail in mails if not email or email in mail["To"]]


def _client(account: Account, service: str) -> Any:
    session: Any = boto3.Session(ACCOUNT_ID, "test", region_name=REGION)
    return session.client(service, endpoint_url=account.endpoint)


@pytest.fixture
def pool(account: Account, tmp_path: Path) -> Iterator[Pool]:
    cognito, iam, role = _client(account, "cognito-idp"), _client(account, "iam"), f"task-{uuid.uuid4().hex[:8]}"
    identifier = cognito.create_user_pool(
        PoolName="people",
        UsernameAttributes=["email"],
        AdminCreateUserConfig={"AllowAdminCreateUserOnly": True},
        Policies={"PasswordPolicy": {"MinimumLength": 12, **dict.fromkeys(_KINDS, False)}},
    )["UserPool"]["Id"]
    for group in ("uploaders", "viewers"):
        cognito.create_group(UserPoolId=identifier, GroupName=group)
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"}}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    made = Pool(account, tmp_path, identifier, cognito, role)
    made.permit(*RIGHTS)
    made.earlier = len(made.mails(""))
    yield made
    cognito.delete_user_pool(UserPoolId=identifier)


def person(name: str, role: str = "uploaders", **more: Any) -> dict[str, Any]:
    return {"name": name, "emailAddress": f"{name}@camden.example", "role": role, **more}


def test_somebody_is_invited_by_mail_into_the_group_that_is_their_role(pool: Pool) -> None:
    code, results, printed = pool.add(person("ada"), person("grace", "viewers"))
    assert (code, results) == (0, [{"line": 1, "result": "created"}, {"line": 2, "result": "created"}])
    assert printed == ""
    assert pool.groups("grace@camden.example") == ["viewers"]
    user = pool.user("ada@camden.example")
    assert user["UserStatus"] == "FORCE_CHANGE_PASSWORD"
    attributes = {one["Name"]: one["Value"] for one in user["UserAttributes"]}
    assert (attributes["name"], attributes["email_verified"]) == ("ada", "true")
    assert len(pool.mails("ada@camden.example")) == 1


def test_a_password_of_the_file_is_the_temporary_one_and_no_mail_is_sent(pool: Pool) -> None:
    code, _, printed = pool.add(person("ada", password=PASSWORD))
    assert (code, printed) == (0, "")
    assert pool.user("ada@camden.example")["UserStatus"] == "FORCE_CHANGE_PASSWORD"
    assert pool.mails("ada@camden.example") == []


def test_who_exists_is_reported_and_stays_as_they_are(pool: Pool) -> None:
    pool.add(person("ada"))
    code, results, _ = pool.add(person("ada", "viewers"), person("grace"))
    assert (code, [one["result"] for one in results]) == (0, ["exists", "created"])
    assert pool.groups("ada@camden.example") == ["uploaders"]
    assert len(pool.mails("ada@camden.example")) == 1


def test_who_was_left_in_no_group_is_finished_by_the_next_run(pool: Pool) -> None:
    pool.permit("AdminCreateUser")
    code, results, _ = pool.add(person("ada"), person("grace"))
    assert (code, len(results)) == (1, 1)
    assert results[0]["reason"] == "AWS refused it (AccessDeniedException)"  # as it would all the others
    pool.permit(*RIGHTS)
    code, results, _ = pool.add(person("ada"), person("grace"))
    assert (code, [one["result"] for one in results]) == (0, ["exists", "created"])
    assert pool.groups("ada@camden.example") == ["uploaders"]
    assert len(pool.mails("ada@camden.example")) == 2  # the first may have been lost


def test_whose_invitation_is_not_sure_to_have_been_sent_is_in_no_group_and_is_tried_again(pool: Pool) -> None:
    pool.permit("AdminCreateUser")
    pool.add(person("ada"))
    pool.permit(*[right for right in RIGHTS if right != "AdminAddUserToGroup"])
    assert pool.add(person("ada"))[1][0]["result"] == "failed"
    assert len(pool.mails("ada@camden.example")) == 2  # before the group, with which she would be finished
    pool.permit(*RIGHTS)
    assert pool.add(person("ada"))[1] == [{"line": 1, "result": "exists"}]
    assert (pool.groups("ada@camden.example"), len(pool.mails("ada@camden.example"))) == (["uploaders"], 3)


def test_whose_password_cannot_be_set_any_more_is_told_of_until_somebody_sees_to_it(pool: Pool) -> None:
    pool.permit("AdminCreateUser")
    pool.add(person("ada", password=PASSWORD))
    pool.permit(*RIGHTS)
    for grace in ("created", "exists"):
        code, results, printed = pool.add(person("ada", password=PASSWORD), person("grace"))
        assert (code, printed, results[1]["result"]) == (1, "", grace)
        assert results[0]["result"] == "failed"
        assert "the password of this line was not set" in results[0]["reason"]
        assert "hand it over without a password" in results[0]["reason"]
    assert pool.groups("ada@camden.example") == []
    assert pool.add(person("ada"))[1] == [{"line": 1, "result": "exists"}]
    assert (pool.groups("ada@camden.example"), len(pool.mails("ada@camden.example"))) == (["uploaders"], 1)


def test_who_has_signed_in_and_was_taken_out_of_all_groups_stays_out(pool: Pool) -> None:
    pool.add(person("ada"))
    given = {"UserPoolId": pool.identifier, "Username": "ada@camden.example"}
    pool.cognito.admin_set_user_password(**given, Password=PASSWORD, Permanent=True)
    pool.cognito.admin_remove_user_from_group(**given, GroupName="uploaders")
    assert pool.add(person("ada"))[1] == [{"line": 1, "result": "exists"}]
    assert pool.groups("ada@camden.example") == []


def test_lines_that_fail_are_told_by_their_kind_and_the_others_are_added(pool: Pool) -> None:
    code, results, printed = pool.add(
        person("king", "kings"),
        person("weak", password="short"),
        '{"name": "half"',
        {"name": "x", "emailAddress": 1, "role": "viewers"},
        person("ada"),
    )
    assert (code, printed) == (1, "")
    assert [one.get("reason", one["result"]) for one in results] == [
        "there is no such group, or no such user pool (ResourceNotFoundException)",
        "the user pool does not take this password (InvalidPasswordException)",
        "is not a JSON object with name, emailAddress and role",
        "has a name, emailAddress, role or password that is no text",
        "created",
    ]


def test_an_issuer_that_is_none_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "people.jsonl").write_text("{}\n")
    done = subprocess.run(
        [
            sys.executable,
            "scripts/add_users.py",
            "https://api.example",
            "token-of-somebody",
            str(tmp_path / "people.jsonl"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "the first argument is no issuer" in done.stderr
    assert "token-of-somebody" not in done.stdout + done.stderr
