# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority joins by one command, from its account to a file that goes through its pipeline."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.settings import ROOT
from tests.e2e.operators.test_deployment import recap
from tests.integration.inventory.conftest import MANAGEMENT
from tests.sandbox.conftest import Sandbox

# As a person keeps it, with comments. There is no authority yet.
HOSTS = """\
all:
  children:
    organisation:
      hosts:
        hub:  # the first account, and the only one
          ansible_aws_account_id: "200000000001"
          platform_cidr: 10.0.0.0/20
    local_authorities:
      hosts: {}
    management:
      hosts:
        management-account:
          ansible_aws_account_id: "100000000001"
          ansible_aws_account_role: localgov-accounts
"""
Onboard = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    started = Sandbox(tmp_path_factory.mktemp("onboard") / "state", {"LOCALGOV_SANDBOX_RUNTIME": "processes"})
    started.start()
    try:
        yield started
    finally:
        started.run("reset")


@pytest.fixture(scope="module")
def inventory(sandbox: Sandbox) -> Path:
    """The sandbox's own, with other hosts, beside the images that it names by its place in a checkout."""
    folder = sandbox.folder.parent / "inventories" / "mine"
    shutil.copytree(ROOT / "inventories" / "sandbox", folder)
    (folder / "hosts.yml").write_text(HOSTS)
    (sandbox.folder.parent / "build").symlink_to(ROOT / "build")
    return folder


@pytest.fixture(scope="module")
def onboard(sandbox: Sandbox, inventory: Path) -> Onboard:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        own = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LOCALGOV_SANDBOX_DIR": str(sandbox.folder),
        }
        return subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                "-i",
                str(inventory),
                "playbooks/onboard.yml",
                *arguments,
            ],
            cwd=ROOT,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    return run


def accounts(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    found = sandbox.client("organizations", MANAGEMENT).list_accounts()["Accounts"]
    return {account["Name"]: account for account in found}


@pytest.fixture(scope="module")
def joined(onboard: Onboard) -> subprocess.CompletedProcess[str]:
    done = onboard("-e", "name=barnet", "-e", "email=barnet@example.invalid")
    assert done.returncode == 0, done.stdout[-4000:]
    return done


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "Say who joins, as in -e name=barnet"),
        (["name=Barnet_1"], 'It is now "Barnet_1"'),
        (["name=organisation"], "no name of a group"),
        (["name=barnet", "account_id=12345"], 'account_id is "12345", and has to be twelve digits'),
        (["name=barnet", "account_id=200000000001"], "which is the account of hub. Give that of barnet"),
        (["name=barnet", "email=barnet@example.invalid", "cidr=10.0.0.0/16"], "of barnet overlaps that of hub. Give"),
        (["name=barnet", "email=barnet@example.invalid", "cidr=10.0.1.0/20"], "barnet: '10.0.1.0/20' is no IPv4 range"),
        (["name=barnet", "email=barnet@example.invalid", "cidr=10.1.0.0/28"], "an account's range is from /16 to /20"),
        (
            ["name=barnet", "email=barnet@example.invalid", '{"platform_operators": []}'],
            "Give platform_operators, the ARNs of those who deploy",
        ),
        (["name=barnet"], "The organisation has no account named barnet. Give its e-mail address to make it"),
        (["name=barnet", "email=barnet"], "'barnet' is no e-mail address such as aws+barnet@example.gov.uk"),
        (["name=barnet", "email=Croydon@example.invalid"], "is the address of the account croydon"),
    ],
)
def test_what_cannot_be_is_refused_and_makes_nothing(
    sandbox: Sandbox, inventory: Path, onboard: Onboard, given: list[str], reason: str
) -> None:
    before = accounts(sandbox)
    refused = onboard(*(part for entry in given for part in ("-e", entry)))
    assert refused.returncode != 0
    assert reason in " ".join(refused.stdout.split())
    assert accounts(sandbox) == before
    assert not (inventory / "barnet.yml").exists()


def test_a_rehearsal_says_what_would_be_made_and_makes_nothing(
    sandbox: Sandbox, inventory: Path, onboard: Onboard
) -> None:
    before = accounts(sandbox)
    rehearsed = onboard("-e", "name=barnet", "-e", "email=barnet@example.invalid", "--check")
    assert rehearsed.returncode == 0, rehearsed.stdout[-4000:]
    assert "The account barnet would be made, with the range 10.0.16.0/20" in " ".join(rehearsed.stdout.split())
    assert accounts(sandbox) == before
    assert not (inventory / "barnet.yml").exists()


def test_one_command_ends_with_a_sample_that_went_through_the_pipeline_and_was_taken_back(
    sandbox: Sandbox, joined: subprocess.CompletedProcess[str]
) -> None:
    assert "A sample went through its pipeline and was taken back" in " ".join(joined.stdout.split())
    barnet = {"aws_access_key_id": accounts(sandbox)["barnet"]["Id"], "aws_secret_access_key": "test"}
    s3, bucket = sandbox.client("s3", barnet), f"localgov-{barnet['aws_access_key_id']}-data-store"
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="results/")["Contents"]]
    (key,) = [key for key in keys if key.endswith("/report.json")]
    report = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert (report["state"], report["withdrawn"]["who"]) == ("withdrawn", "onboarding")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix="uploads/")


def test_the_account_is_in_the_unit_and_its_deploy_role_has_the_deployers_rights_and_no_others(
    sandbox: Sandbox, joined: subprocess.CompletedProcess[str]
) -> None:
    barnet = accounts(sandbox)["barnet"]["Id"]
    unit = sandbox.description["organisational_unit_path"].split("/")[-2]
    (parent,) = sandbox.client("organizations", MANAGEMENT).list_parents(ChildId=barnet)["Parents"]
    assert parent["Id"] == unit
    iam = sandbox.client("iam", {"aws_access_key_id": barnet, "aws_secret_access_key": "test"})
    (policy,) = iam.list_role_policies(RoleName="localgov-deploy")["PolicyNames"]
    document = iam.get_role_policy(RoleName="localgov-deploy", PolicyName=policy)["PolicyDocument"]
    assert document == json.loads((ROOT / "docs" / "deployer-policy.json").read_text())
    assert iam.list_attached_role_policies(RoleName="localgov-deploy")["AttachedPolicies"] == []


def test_the_inventory_has_one_entry_more_and_no_line_of_a_person_has_changed(
    sandbox: Sandbox, inventory: Path, joined: subprocess.CompletedProcess[str]
) -> None:
    entry = {"ansible_aws_account_id": accounts(sandbox)["barnet"]["Id"], "platform_cidr": "10.0.16.0/20"}
    assert yaml.safe_load((inventory / "barnet.yml").read_text()) == {"local_authorities": {"hosts": {"barnet": entry}}}
    assert (inventory / "hosts.yml").read_text() == HOSTS


@pytest.mark.slow
def test_the_same_command_again_changes_nothing(
    sandbox: Sandbox, joined: subprocess.CompletedProcess[str], onboard: Onboard
) -> None:
    before = accounts(sandbox)
    again = onboard("-e", "name=barnet", "-e", "email=barnet@example.invalid")
    assert again.returncode == 0, again.stdout[-4000:]
    assert {host: counts["changed"] for host, counts in recap(again).items() if counts["changed"]} == {}
    assert accounts(sandbox) == before


def test_a_deploy_role_that_others_keep_is_left_as_it_is_and_said_to_be_theirs(
    sandbox: Sandbox, joined: subprocess.CompletedProcess[str], onboard: Onboard
) -> None:
    barnet = accounts(sandbox)["barnet"]["Id"]
    iam = sandbox.client("iam", {"aws_access_key_id": barnet, "aws_secret_access_key": "test"})
    other = f"arn:aws:iam::{barnet}:root"
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": other}, "Action": "sts:AssumeRole"}],
    }
    before = iam.get_role(RoleName="localgov-deploy")["Role"]["AssumeRolePolicyDocument"]
    iam.update_assume_role_policy(RoleName="localgov-deploy", PolicyDocument=json.dumps(trust))
    try:
        refused = onboard("-e", "name=barnet")
        assert refused.returncode != 0
        said = " ".join(refused.stdout.split())
        assert "barnet has a role localgov-deploy that does not let you in, and is left as it is" in said
        assert other in said
        assert iam.get_role(RoleName="localgov-deploy")["Role"]["AssumeRolePolicyDocument"] == trust
    finally:
        iam.update_assume_role_policy(RoleName="localgov-deploy", PolicyDocument=json.dumps(before))
