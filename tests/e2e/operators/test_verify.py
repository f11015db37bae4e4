# SPDX-License-Identifier: GPL-3.0-or-later
"""verify.yml finds nothing in a sound deployment, and every breach in one that was tampered with."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from sandbox.sessions import client_of_root
from sandbox.settings import ROOT, Settings
from tests.e2e.conftest import Playbook, failures

Policy = dict[str, Any]
Sabotage = Callable[[Policy], None]
AUTHORITIES = ("camden", "croydon", "sutton")
ACCOUNTS = {"hub", *AUTHORITIES, "outsider", "stranger"}
SERVICES = ("frontend", "dagit", "daemon", "code-server", "run")
# Principal, action, owner, and the end of the resource's ARN with the folder.
Surprise = tuple[str, str, str, str]


def trials(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "verify.json").read_text())["trials"]
    return found


def surprises(folder: Path) -> set[Surprise]:
    return {
        (
            f"{trial['account']}/{trial['role']}",
            trial["action"],
            trial["owner"],
            "/".join(filter(None, [trial["resource"].split(":")[-1], trial["prefix"]])),
        )
        for trial in trials(folder)
        if trial["outcome"] != trial["expected"]
    }


@dataclass
class Tampering:
    """Somebody with every right in the accounts, who changes policies; all is put back at the end."""

    settings: Settings

    def __post_init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def client(self, account: str, service: str) -> Any:  # noqa: ANN401 - boto3 has no static types
        return client_of_root(self.settings, account, service)

    def bucket_name(self, account: str, kind: str) -> str:
        return f"localgov-{self.settings.accounts[account].id}-{kind}"

    def bucket(self, account: str, kind: str, sabotage: Sabotage) -> None:
        s3, name = self.client(account, "s3"), self.bucket_name(account, kind)
        before = s3.get_bucket_policy(Bucket=name)["Policy"]
        self._undo.append(lambda: s3.put_bucket_policy(Bucket=name, Policy=before))
        s3.put_bucket_policy(Bucket=name, Policy=_sabotaged(before, sabotage))

    def tags(self, account: str, kind: str, **changed: str) -> None:
        s3, name = self.client(account, "s3"), self.bucket_name(account, kind)
        before = s3.get_bucket_tagging(Bucket=name)["TagSet"]
        self._undo.append(lambda: s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": before}))
        tags = {**{tag["Key"]: tag["Value"] for tag in before}, **changed}
        now = [{"Key": key, "Value": value} for key, value in tags.items()]
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": now})

    def repository(self, image: str, sabotage: Sabotage) -> None:
        ecr, name = self.client("hub", "ecr"), f"localgov/{image}"
        before = ecr.get_repository_policy(repositoryName=name)["policyText"]
        self._undo.append(lambda: ecr.set_repository_policy(repositoryName=name, policyText=before))
        ecr.set_repository_policy(repositoryName=name, policyText=_sabotaged(before, sabotage))

    def role(self, account: str, role: str, statement: Policy) -> None:
        iam = self.client(account, "iam")
        self._undo.append(lambda: iam.delete_role_policy(RoleName=role, PolicyName="sabotage"))
        document = {"Version": "2012-10-17", "Statement": [statement]}
        iam.put_role_policy(RoleName=role, PolicyName="sabotage", PolicyDocument=json.dumps(document))

    def undo(self) -> None:
        for step in reversed(self._undo):
            step()
        self._undo.clear()


def _sabotaged(policy: str, sabotage: Sabotage) -> str:
    document: Policy = json.loads(policy)
    sabotage(document)
    return json.dumps(document)


def grants(policy: Policy) -> list[Policy]:
    return [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]


def each_grant(change: Callable[[Policy], object]) -> Sabotage:
    """A sabotage that changes every statement by which somebody is let in."""

    def sabotage(policy: Policy) -> None:
        assert grants(policy), "there is nothing to sabotage"
        for statement in grants(policy):
            change(statement)

    return sabotage


def organisational_unit(statement: Policy) -> tuple[str, Policy]:
    operator = next(name for name in statement["Condition"] if name.startswith("ForAnyValue:"))
    return operator, statement["Condition"]


def with_condition(values: Callable[[Any], Any], key: str) -> Callable[[Policy], None]:
    """Rewrite the values of a condition key, by whatever operator it is asked for."""

    def change(statement: Policy) -> None:
        found = [keys for keys in statement["Condition"].values() if key in keys]
        assert found, f"no condition on {key}"
        for keys in found:
            keys[key] = values(keys[key])

    return change


def without_condition(key: str) -> Callable[[Policy], None]:
    def change(statement: Policy) -> None:
        for operator in [name for name, keys in statement["Condition"].items() if key in keys]:
            del statement["Condition"][operator][key]
            if not statement["Condition"][operator]:
                del statement["Condition"][operator]

    return change


def for_all_values(statement: Policy) -> None:
    operator, condition = organisational_unit(statement)
    condition[operator.replace("ForAnyValue:", "ForAllValues:")] = condition.pop(operator)


def for_all_values_in_any_organisation(statement: Policy) -> None:
    for_all_values(statement)
    without_condition("aws:PrincipalOrgID")(statement)


def unit_without_star(paths: str | list[str]) -> list[str]:
    return [path.removesuffix("/*") for path in ([paths] if isinstance(paths, str) else paths)]


def no_tls_only(policy: Policy) -> None:
    policy["Statement"] = grants(policy)


def also(statement: Policy) -> Sabotage:
    return lambda policy: policy["Statement"].append(statement)


def reading(bucket: str, principal: str, **condition: Any) -> Policy:  # noqa: ANN401
    return {
        "Sid": "Sabotage",
        "Effect": "Allow",
        "Principal": {"AWS": principal},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        **({"Condition": condition} if condition else {}),
    }


def started(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A playbook that goes on by itself."""
    return subprocess.Popen(
        [
            Path(sys.executable).parent / "ansible-playbook",
            "-i",
            "inventories/sandbox",
            f"playbooks/{name}.yml",
            *arguments,
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_with_workers(playbook: subprocess.Popen[bytes]) -> None:
    """As when the machine loses power. Each of Ansible's workers has a session of its own."""
    controller = psutil.Process(playbook.pid)
    controller.suspend()  # it starts no more of them
    for process in [controller, *controller.children(recursive=True)]:
        process.kill()
    playbook.wait()


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"no sign of {what}"
        time.sleep(0.2)


@pytest.fixture
def tampering(settings: Settings) -> Iterator[Tampering]:
    somebody = Tampering(settings)
    yield somebody
    somebody.undo()


def residue(settings: Settings) -> list[str]:
    """What trials of access have left behind anywhere."""
    found = []
    everywhere = Tampering(settings)
    for account in sorted(ACCOUNTS):
        s3, iam = everywhere.client(account, "s3"), everywhere.client(account, "iam")
        for bucket in s3.list_buckets()["Buckets"]:
            listed = s3.list_object_versions(Bucket=bucket["Name"])
            entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
            found += [f"{bucket['Name']}/{entry['Key']}" for entry in entries if ".access-probe" in entry["Key"]]
        for role in iam.list_roles()["Roles"]:
            if "access-probe" in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
                found.append(f"{account}: policy of {role['RoleName']}")
        if account in ("outsider", "stranger"):
            names = [role["RoleName"] for role in iam.list_roles()["Roles"]]
            found += [f"{account}: role {name}" for name in names if name not in ("localgov-deploy",)]
    return found


def test_a_few_roles_of_a_few_accounts_reach_what_is_declared_and_nothing_else(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook, settings: Settings, tmp_path: Path
) -> None:
    roles = "deployer,localgov-run-task,localgov-frontend-execution"
    few = ("--limit", "hub,camden,outsider", "-e", f"verify_roles={roles}", "-e", f"report_folder={tmp_path}")
    run = playbook("verify", *few)
    assert run.returncode == 0, failures(run)
    tried = trials(tmp_path)
    assert {trial["account"] for trial in tried} == {"hub", "camden", "outsider"}
    assert {trial["outcome"] for trial in tried} == {"allowed", "refused", "as declared"}
    images = {
        action: {trial["resource"] for trial in tried if trial["action"] == action} for action in ("pull", "trust")
    }
    assert images["pull"] == {resource for resource in images["trust"] if ":ecr:" in resource}
    assert "no surprise" in run.stdout
    assert residue(settings) == []


@pytest.mark.slow
def test_every_role_of_every_account_reaches_what_is_declared_and_nothing_else(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook, settings: Settings, tmp_path: Path
) -> None:
    run = playbook("verify", "-e", f"report_folder={tmp_path}")
    assert run.returncode == 0, failures(run)
    tried = trials(tmp_path)
    assert {trial["account"] for trial in tried} == ACCOUNTS
    assert {trial["outcome"] for trial in tried} == {"allowed", "refused", "as declared"}
    roles = [f"localgov-{name}-{kind}" for name in SERVICES for kind in ("task", "execution")]
    name = Tampering(settings).bucket_name
    buckets = [name(account, kind) for account in AUTHORITIES for kind in ("data-store", "workspace", "shared")]
    buckets += [name("hub", kind) for kind in ("data-store", "workspace")]
    images = [f"repository/localgov/{image}" for image in ("frontend", "dagit", "daemon", "code-server")]
    # Each role of each account, members and outsiders alike, does each thing to each bucket and each repository.
    tried_at_the_top = {
        (trial["account"], trial["role"], trial["resource"].split(":")[-1], trial["action"])
        for trial in tried
        if not trial["prefix"]
    }
    wanted = {
        *itertools.product(ACCOUNTS, roles, buckets, ("list", "get", "put", "delete")),
        *itertools.product(ACCOUNTS, roles, images, ("pull", "push")),
    }
    assert wanted - tried_at_the_top == set()
    assert "no surprise" in run.stdout
    assert "Every one" in (tmp_path / "verify.html").read_text()
    assert residue(settings) == []


@pytest.mark.slow
def test_each_of_thirteen_sabotages_is_reported(
    deployed: subprocess.CompletedProcess[str],
    playbook: Playbook,
    settings: Settings,
    tampering: Tampering,
    tmp_path: Path,
) -> None:
    """Each on a resource or by a principal of its own, so that one run shows them all and none hides behind another."""
    hub = settings.accounts["hub"].id
    organisation = {"aws:PrincipalOrgID": json.loads(settings.description.read_text())["organisation_id"]}
    croydon_run = f"arn:aws:iam::{settings.accounts['croydon'].id}:role/localgov-run-task"
    name = tampering.bucket_name
    # 1 The role's name widened to all of the organisation's roles.
    tampering.bucket(
        "camden", "shared", each_grant(with_condition(lambda _: f"arn:aws:iam::{hub}:role/*", "aws:PrincipalArn"))
    )
    # 2 The statement that refuses plain HTTP dropped; 3 revoked in the inventory, but the statement left.
    tampering.bucket("croydon", "shared", no_tls_only)
    # 4 The wrong account.
    tampering.bucket("sutton", "shared", each_grant(with_condition(lambda _: croydon_run, "aws:PrincipalArn")))
    # 5 The unit's path without its star, 6 ForAllValues without the organisation, 7 no unit at all, 8 every action.
    tampering.repository("frontend", each_grant(with_condition(unit_without_star, "aws:PrincipalOrgPaths")))
    tampering.repository("dagit", each_grant(for_all_values_in_any_organisation))
    tampering.repository("daemon", each_grant(without_condition("aws:PrincipalOrgPaths")))
    tampering.repository("code-server", each_grant(lambda statement: statement.update(Action="ecr:*")))
    # Another bucket opened 9 to the organisation's run, 10 to the organisation's whole account, 11 to every run.
    data_store = name("camden", "data-store")
    tampering.bucket("camden", "data-store", also(reading(data_store, f"arn:aws:iam::{hub}:role/localgov-run-task")))
    data_store = name("croydon", "data-store")
    tampering.bucket("croydon", "data-store", also(reading(data_store, f"arn:aws:iam::{hub}:root")))
    anybody = reading(
        name("sutton", "workspace"),
        "*",
        ArnLike={"aws:PrincipalArn": "arn:aws:iam::*:role/localgov-run-task"},
        StringEquals=organisation,
    )
    tampering.bucket("sutton", "workspace", also(anybody))
    # 12 A service's own policy widened.
    own_data = {
        "Effect": "Allow",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{name('camden', 'workspace')}/*",
    }
    tampering.role("camden", "localgov-frontend-task", own_data)
    # 13 Revoked by the authority itself, of which the inventory does not know, and the statement left.
    tampering.tags("camden", "shared", **{"share": "revoked", "share-since": "2026-11-20T09:00:00Z"})
    revoked = tmp_path / "revoked.yml"
    revoked.write_text("local_authorities: {hosts: {croydon: {platform_share: revoked}}}\n")

    roles = "deployer,localgov-run-task,localgov-frontend-task,localgov-frontend-execution"
    run = playbook("verify", "-i", str(revoked), "-e", f"report_folder={tmp_path}", "-e", f"verify_roles={roles}")

    assert run.returncode != 0
    found = surprises(tmp_path)
    expected: dict[int, Surprise] = {
        1: ("hub/localgov-frontend-task", "get", "camden", name("camden", "shared")),
        2: ("croydon/deployer", "list_without_tls", "croydon", name("croydon", "shared")),
        3: ("hub/localgov-run-task", "get", "croydon", name("croydon", "shared")),
        4: ("hub/localgov-run-task", "get", "sutton", name("sutton", "shared")),
        5: ("camden/localgov-frontend-execution", "pull", "hub", "repository/localgov/frontend"),
        6: ("stranger/localgov-frontend-execution", "pull", "hub", "repository/localgov/dagit"),
        7: ("outsider/localgov-frontend-execution", "pull", "hub", "repository/localgov/daemon"),
        8: ("sutton/localgov-frontend-execution", "push", "hub", "repository/localgov/code-server"),
        9: ("hub/localgov-run-task", "get", "camden", name("camden", "data-store")),
        10: ("hub/localgov-frontend-task", "get", "croydon", name("croydon", "data-store")),
        11: ("camden/localgov-run-task", "get", "sutton", name("sutton", "workspace")),
        12: ("camden/localgov-frontend-task", "get", "camden", name("camden", "workspace")),
        13: ("hub/localgov-run-task", "get", "camden", name("camden", "shared")),
    }
    assert {number: surprise in found for number, surprise in expected.items()} == dict.fromkeys(expected, True)
    said = " ".join(run.stdout.split())  # Ansible wraps long lines
    assert re.search(r"SURPRISE: hub/localgov-run-task get sutton:\S+-shared was refused, expected allowed", said)
    assert ("croydon/localgov-run-task", "get", "sutton", name("sutton", "shared")) in found
    # Nothing is complained of that was not sabotaged.
    sabotaged = {surprise[3] for surprise in expected.values()}
    assert [surprise for surprise in found if not surprise[3].startswith(tuple(sabotaged))] == []
    assert residue(settings) == []


PULL_BY_ANOTHER = {"Sid": "Sabotage", "Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}


def no_grants(policy: Policy) -> None:
    policy["Statement"] = [statement for statement in policy["Statement"] if statement not in grants(policy)]


def test_what_lets_nobody_in_or_somebody_out_is_reported_too(
    deployed: subprocess.CompletedProcess[str],
    playbook: Playbook,
    settings: Settings,
    tampering: Tampering,
    tmp_path: Path,
) -> None:
    """A lock that is broken while the other still holds: it is found that the statements are not the declared ones.

    So is a statement beside them that lets in somebody from outside, whom no trial is made as.
    """
    name = tampering.bucket_name
    foreign = "arn:aws:iam::999999999999:root"
    tampering.bucket("camden", "shared", also(reading(name("camden", "shared"), foreign)))
    tampering.repository("daemon", also({**PULL_BY_ANOTHER, "Principal": {"AWS": foreign}}))
    tampering.repository("code-server", each_grant(lambda statement: statement.update(Action="ecr:*")))
    tampering.repository("frontend", each_grant(without_condition("aws:PrincipalOrgID")))
    tampering.repository("dagit", each_grant(for_all_values))
    tampering.bucket("sutton", "shared", each_grant(without_condition("aws:PrincipalOrgPaths")))
    tampering.bucket("sutton", "shared", each_grant(lambda statement: statement.update(Action="s3:*")))
    # Declared is one dataset only, and the statement has no such limit.
    limited = tmp_path / "limited.yml"
    limited.write_text("local_authorities: {hosts: {camden: {platform_share_prefixes: [ssda903]}}}\n")
    nobody = f"arn:aws:iam::{settings.accounts['sutton'].id}:role/nobody-yet"
    tampering.bucket("sutton", "data-store", also(reading(name("sutton", "data-store"), nobody)))
    tampering.bucket("hub", "workspace", lambda policy: policy["Statement"][0].update(Action="s3:GetObject"))
    # An authority that has revoked by itself, of which the inventory does not know, is as closed as it has decided.
    tampering.bucket("croydon", "shared", no_grants)
    tampering.tags("croydon", "shared", **{"share": "revoked", "share-since": "2026-11-20T09:00:00Z"})
    accounts = "hub,camden,sutton,croydon"
    few = ("--limit", accounts, "-e", f"report_folder={tmp_path}", "-e", "verify_roles=localgov-run-task")
    run = playbook("verify", "-i", str(limited), *few)
    assert run.returncode != 0
    assert ("hub/localgov-run-task", "get", "camden", name("camden", "shared")) in surprises(tmp_path)
    assert ("hub/localgov-run-task", "put", "sutton", name("sutton", "shared")) in surprises(tmp_path)
    assert {(owner, resource) for _, action, owner, resource in surprises(tmp_path) if action == "trust"} == {
        ("hub", "repository/localgov/frontend"),
        ("hub", "repository/localgov/dagit"),
        ("hub", "repository/localgov/daemon"),
        ("hub", "repository/localgov/code-server"),
        ("hub", name("hub", "workspace")),
        ("camden", name("camden", "shared")),
        ("sutton", name("sutton", "shared")),
        ("sutton", name("sutton", "data-store")),
    }
    assert [surprise for surprise in surprises(tmp_path) if surprise[2] == "croydon"] == []
    said = " ".join(run.stdout.split())
    outside = f"Not declared, and lets in from outside: Sabotage: AWS {foreign}. Take it out of"
    assert f"camden:{name('camden', 'shared')} differs from its declaration. {outside} the policy of" in said
    put_back = "ansible-playbook playbooks/site.yml --check --diff. Without --check it puts them back."
    assert re.search(rf"camden:\S+-shared differs from its declaration\. Not declared.* {re.escape(put_back)}", said)
    assert f"hub:localgov/daemon differs from its declaration. {outside} the policy of localgov/daemon." in said
    assert f"sutton:{name('sutton', 'data-store')} differs from its declaration. Sabotage is not declared." in said
    assert "DenyInsecureTransport is missing; DenyInsecureTransport is not declared. ansible-playbook" in said
    assert "croydon itself has revoked it, on 2026-11-20T09:00:00Z: the bucket" in said
    assert "own tag share=revoked counts, and the inventory does not say so" in said
    because = {trial["because"] for trial in trials(tmp_path) if trial["owner"] == "croydon"}
    assert any("revoked by itself: the tag share=revoked of its bucket counts" in told for told in because)


def test_an_account_without_a_cluster_is_asked_to_be_deployed(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook
) -> None:
    run = playbook("verify", "--limit", "camden", "-e", "platform_name_prefix=elsewhere")
    assert run.returncode != 0
    assert "camden does not run code-server, in whose place the trials run. Deploy it" in " ".join(run.stdout.split())


@pytest.mark.slow
def test_a_killed_run_stops_the_next_one_which_may_take_over_and_clears_what_was_left(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook, settings: Settings, tmp_path: Path
) -> None:
    few = ("--limit", "hub,camden", "-e", "verify_roles=localgov-run-task", "-e", f"report_folder={tmp_path}")
    roles = [client_of_root(settings, account, "iam") for account in ("camden", "hub")]

    def is_lent() -> bool:
        return all(
            "access-probe" in iam.list_role_policies(RoleName="localgov-run-task")["PolicyNames"] for iam in roles
        )

    killed = started("verify", *few)
    try:
        wait_until(is_lent, "what the first run lends")
    finally:
        kill_with_workers(killed)
    left = residue(settings)
    assert {"camden: policy of localgov-run-task", "hub: policy of localgov-run-task"} <= set(left)

    refused = playbook("verify", *few)
    assert refused.returncode != 0
    said = " ".join(refused.stdout.split())
    tried = [settings.accounts[account].id for account in ("hub", "camden")]
    assert re.search(rf"Another run tries access in account ({'|'.join(tried)}) since", said)
    assert "-e verify_take_over=true" in said
    assert set(residue(settings)) >= set(left), "what another run may still need is left as it is"

    taken = playbook("verify", *few, "-e", "verify_take_over=true")
    assert taken.returncode == 0, failures(taken)
    assert residue(settings) == []
