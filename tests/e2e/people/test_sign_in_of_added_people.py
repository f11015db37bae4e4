# SPDX-License-Identifier: GPL-3.0-or-later
"""An operative adds people to an authority's sign-in, by one S3 write or by the playbook, and they get in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import wait_for
from sandbox.people import Person, user_pool
from sandbox.sessions import client_of_root, mails_to
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, record
from tests.e2e.people.test_sign_in import browser, sign_in  # noqa: F401 - a fixture
from tests.integration.users.histories import parts_of
from tests.integration.users.search import ITS_PLACE, having, kept, process_lists, shown
from tests.sandbox.conftest import policy

ACCOUNT, TASK, OPERATIVE = "croydon", "add-users", "alice"
# Where the emulator keeps people's passwords.
USER_POOLS = "cognito"
CHOSEN = "a password of one's own choice"
RIGHTS = ("AdminAddUserToGroup", "AdminCreateUser", "AdminGetUser", "AdminListGroupsForUser")


@dataclass
class Workflow:
    """An account's workflow, and an operative with a session of their own in a file of credentials."""

    settings: Settings
    declared: str
    credentials: Path

    @property
    def uploads(self) -> str:
        return f"localgov-{self.settings.accounts[ACCOUNT].id}-{TASK}"

    def aws(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """The AWS command line as the operative's role."""
        role = f"arn:aws:iam::{self.settings.accounts[ACCOUNT].id}:role/localgov-{TASK}-operative-{OPERATIVE}"
        profiles = self.credentials.with_name("profiles")
        profiles.write_text(f"[profile upload]\nrole_arn = {role}\nsource_profile = {OPERATIVE}\n")
        return subprocess.run(
            [Path(sys.executable).parent / "aws", *arguments],
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
                "HOME": str(self.credentials.parent),  # where it keeps sessions
                "AWS_CONFIG_FILE": str(profiles),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
                "AWS_PROFILE": "upload",
                "AWS_DEFAULT_REGION": self.settings.region,
                "AWS_ENDPOINT_URL": self.settings.endpoint_url,
                "AWS_CA_BUNDLE": str(self.settings.ca_bundle),
            },
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def copy(self, name: str, content: str) -> None:
        sent = self.aws("s3", "cp", "-", f"s3://{self.uploads}/uploads/{OPERATIVE}/{name}", given=content)
        assert sent.returncode == 0, sent.stderr

    def receipt(self, name: str, seconds: float = 60) -> dict[str, Any]:
        bucket, key = f"{self.uploads}-receipts", f"receipts/{OPERATIVE}/{name}.json"
        s3 = client_of_root(self.settings, ACCOUNT, "s3")

        def is_there() -> bool:
            return bool(s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"])

        # The command line costs a second of computing each time, which is the task's while it runs.
        wait_for(is_there, f"the receipt of {name}", seconds)
        got = self.aws("s3", "cp", f"s3://{bucket}/{key}", "-")
        assert got.returncode == 0, got.stderr
        found: dict[str, Any] = json.loads(got.stdout)
        return found

    def residue(self) -> list[dict[str, Any]]:
        left = client_of_root(self.settings, ACCOUNT, "s3").list_object_versions(Bucket=self.uploads)
        return [*left.get("Versions", []), *left.get("DeleteMarkers", [])]


@pytest.fixture(scope="module")
def workflow(
    settings: Settings, organisation: Organisation, playbook: Playbook, tmp_path_factory: pytest.TempPathFactory
) -> Workflow:
    """What the inventory of an account with sign-in has to say, and no more."""
    del organisation
    person, session = become(settings, OPERATIVE)
    credentials = tmp_path_factory.mktemp("operative") / "credentials"
    words = "".join(f"{name} = {value}\n" for name, value in session.items())
    credentials.write_text(f"[{OPERATIVE}]\n{words}")
    declared = json.dumps(
        {"platform_add_users_image": "frontend", "add_users_stepfn_operatives": {OPERATIVE: [person]}}
    )
    run = playbook("site", "-l", ACCOUNT, "-e", declared)
    assert run.returncode == 0, failures(run)
    return Workflow(settings, declared, credentials)


def become(settings: Settings, name: str) -> tuple[str, dict[str, str]]:
    """Somebody of the account who may become other roles of it: their own role, and a session of it."""
    account, may = settings.accounts[ACCOUNT].id, {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": account}}
    iam = client_of_root(settings, ACCOUNT, "iam")
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    role = f"arn:aws:iam::{account}:role/{name}"
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(may))
    given = client_of_root(settings, ACCOUNT, "sts").assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    return role, {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def lines(*people: dict[str, str]) -> str:
    return "".join(json.dumps(person) + "\n" for person in people)


def line(name: str, role: str, **more: str) -> dict[str, str]:
    return {"name": name, "emailAddress": f"{name}@{ACCOUNT}.example", "role": role, **more}


def invited(settings: Settings, email: str) -> str:
    """The temporary password in the mail that came."""
    (mail,) = mails_to(settings, email)
    found = re.search(r"temporary password is (.*)\.$", mail)
    assert found
    return found[1]


def sign_in_for_the_first_time(page: Page, frontend: str, email: str, temporary: str) -> None:
    page.goto(frontend)
    page.get_by_label("Username").fill(email)
    page.get_by_label("Password").fill(temporary)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("New password", exact=True).fill(CHOSEN)
    page.get_by_label("Confirm new password").fill(CHOSEN)
    page.get_by_role("button", name="Update password").click()
    page.wait_for_url(f"{frontend}/**")


def test_people_added_by_one_s3_write_or_by_the_playbook_sign_in_to_the_frontend(
    settings: Settings,
    organisation: Organisation,
    workflow: Workflow,
    playbook: Playbook,
    browser: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    # One whom a mail invites, by plain `aws s3 cp`.
    workflow.copy("new.jsonl", lines(line("ada", "uploaders")))
    receipt = workflow.receipt("new.jsonl")
    assert (receipt["status"], receipt["lines"]) == ("succeeded", [{"line": 1, "result": "created"}])

    # One whom the operative tells a password, by the playbook; and the first again, who is no failure.
    told = f"told-{uuid.uuid4().hex}"
    file = tmp_path / "more.jsonl"
    file.write_text(lines(line("ada", "uploaders"), line("grace", "viewers", password=told)))
    given = json.dumps(
        {
            "operative": OPERATIVE,
            "users_file": str(file),
            "ansible_aws_account_profile": OPERATIVE,
            "ansible_aws_account_shared_credentials_file": str(workflow.credentials),
        }
    )
    with process_lists() as seen:
        run = playbook("add_users", "-l", ACCOUNT, "-e", workflow.declared, "-e", given)
    assert run.returncode == 0, failures(run)
    assert told not in run.stdout
    assert any(b"TASK_FILES" in words for words in seen)  # the container's own process was among them
    assert having((("a list of processes", words) for words in seen), told) == []

    frontend = organisation.frontend(ACCOUNT)
    sees: dict[str, Callable[[Page], Any]] = {
        "ada": lambda page: page.get_by_label("SSDA903"),
        "grace": lambda page: page.get_by_text("You may look at results, but not upload files."),
    }
    for name, password in (("ada", invited(settings, f"ada@{ACCOUNT}.example")), ("grace", told)):
        email = f"{name}@{ACCOUNT}.example"
        with browser.new_context() as context:
            page = context.new_page()
            sign_in_for_the_first_time(page, frontend, email, password)
            expect(page.get_by_role("banner").get_by_text(name)).to_be_visible()
            expect(sees[name](page)).to_be_visible()
        with browser.new_context() as context:  # and from then on with their own
            sign_in(context.new_page(), frontend, Person(ACCOUNT, "added", email, CHOSEN))

    assert workflow.residue() == []
    places = list(shown(lambda service: client_of_root(settings, ACCOUNT, service)))
    assert len(places) > 100
    assert having(iter(places), told) == []
    assert having(kept(settings.state, except_in=(*ITS_PLACE, USER_POOLS)), told) == []


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_people_are_added_to_the_user_pool_at_once_and_the_last_of_them_signs_in(
    settings: Settings,
    organisation: Organisation,
    workflow: Workflow,
    browser: Browser,  # noqa: F811
    number: int,
) -> None:
    told = f"told-{uuid.uuid4().hex}"
    people = [line(f"{number}-people-{one}", "viewers", password=told) for one in range(1, number + 1)]
    began = time.monotonic()
    workflow.copy(f"{number}.jsonl", lines(*people))
    receipt = workflow.receipt(f"{number}.jsonl", seconds=3600)
    whole = time.monotonic() - began
    parts = parts_of(client_of_root(settings, ACCOUNT, "stepfunctions"), receipt["execution"])
    what = f"{number} people added to a user pool"
    times = {"upload to receipt": whole, **parts}
    figures = [{"name": f"{what}, {name}", "value": round(value, 2), "unit": "s"} for name, value in times.items()]
    record(f"add-people-{number}", figures)
    assert receipt["lines"] == [{"line": number, "result": "created"} for number in range(1, number + 1)]
    assert {person["emailAddress"] for person in people} <= viewers(settings)
    assert workflow.residue() == []
    with browser.new_context() as context:
        page = context.new_page()
        last = people[-1]["emailAddress"]
        sign_in_for_the_first_time(page, organisation.frontend(ACCOUNT), last, told)
        expect(page.get_by_text("You may look at results, but not upload files.")).to_be_visible()


def viewers(settings: Settings) -> set[str]:
    """The addresses of the group, as the user pool tells them page by page."""
    pages = client_of_root(settings, ACCOUNT, "cognito-idp").get_paginator("list_users_in_group")
    return {
        attribute["Value"]
        for page in pages.paginate(UserPoolId=user_pool(settings, ACCOUNT), GroupName="viewers")
        for person in page["Users"]
        for attribute in person["Attributes"]
        if attribute["Name"] == "email"
    }


def test_the_task_may_add_people_to_that_pool_alone_and_its_network_leads_there(
    settings: Settings, workflow: Workflow
) -> None:
    del workflow
    document = client_of_root(settings, ACCOUNT, "iam").get_role_policy(
        RoleName=f"localgov-{TASK}-task", PolicyName="task"
    )["PolicyDocument"]
    given = [one for one in document["Statement"] if "cognito" in json.dumps(one)]
    pool = user_pool(settings, ACCOUNT)
    account = settings.accounts[ACCOUNT].id
    assert [one["Resource"] for one in given] == [f"arn:aws:cognito-idp:{settings.region}:{account}:userpool/{pool}"]
    assert all(action.partition(":")[2] in RIGHTS for one in given for action in one["Action"])
    endpoints = client_of_root(settings, ACCOUNT, "ec2").describe_vpc_endpoints()["VpcEndpoints"]
    assert f"com.amazonaws.{settings.region}.cognito-idp" in {one["ServiceName"] for one in endpoints}


def stacks_of(settings: Settings) -> set[str]:
    found = client_of_root(settings, ACCOUNT, "cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in found}


@pytest.mark.slow
def test_a_workflow_that_is_declared_no_longer_is_told_of_and_goes_when_the_inventory_says_so(
    workflow: Workflow, playbook: Playbook
) -> None:
    told = playbook("site", "-l", ACCOUNT)
    assert told.returncode == 0, failures(told)
    assert "set add_users_stepfn_state: absent" in re.sub(r"\s+", " ", told.stdout)
    assert f"localgov-{TASK}" in stacks_of(workflow.settings)
    gone = playbook("site", "-l", ACCOUNT, "-e", "add_users_stepfn_state=absent")
    assert gone.returncode == 0, failures(gone)
    buckets = client_of_root(workflow.settings, ACCOUNT, "s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets if TASK in bucket["Name"]] == [f"{workflow.uploads}-receipts"]
    assert f"localgov-{TASK}" not in stacks_of(workflow.settings)
