# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml deploys in one pass and says nothing twice, and plan.yml foresees what it does."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures

ACCOUNTS = {"hub", "camden", "croydon", "sutton"}


def recap(run: subprocess.CompletedProcess[str]) -> dict[str, dict[str, int]]:
    """Host to the counts of Ansible's recap."""
    found = {}
    for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", run.stdout, flags=re.MULTILINE):
        found[host] = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)}
    return found


def planned(playbook: Playbook, folder: Path, *arguments: str, ends_with: int = 0) -> dict[str, Any]:
    """What plan.yml writes down for programs."""
    run = playbook("plan", "--check", "-e", f"report_folder={folder}", *arguments)
    assert run.returncode == ends_with, failures(run)
    plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    return plan


@contextmanager
def allowed_to_read_alone(settings: Settings) -> Iterator[None]:
    """The deploy roles may look, and make and remove change sets, and nothing else."""
    reading = ["*:Describe*", "*:List*", "*:Get*", "*:BatchGet*", "*:BatchCheck*", "cloudformation:Detect*"]
    change_sets = ["cloudformation:CreateChangeSet", "cloudformation:DeleteChangeSet"]
    denied = {"Effect": "Deny", "NotAction": [*reading, *change_sets], "Resource": "*"}
    policy = {"RoleName": "localgov-deploy", "PolicyName": "read-alone"}
    clients = [client_of_root(settings, account, "iam") for account in ACCOUNTS]
    for iam in clients:
        iam.put_role_policy(**policy, PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [denied]}))
    try:
        yield
    finally:
        for iam in clients:
            iam.delete_role_policy(**policy)


def held(settings: Settings) -> dict[str, tuple[int, int]]:
    """Account to how many stacks and buckets it holds."""
    found = {}
    for account in sorted(ACCOUNTS):
        stacks = client_of_root(settings, account, "cloudformation").describe_stacks()["Stacks"]
        found[account] = (len(stacks), len(client_of_root(settings, account, "s3").list_buckets()["Buckets"]))
    return found


def test_a_plan_of_empty_accounts_names_every_stack_and_makes_none(
    settings: Settings, playbook: Playbook, tmp_path: Path
) -> None:
    """The first test of the folder: nothing has asked for the deployment yet."""
    one_of_each_kind = {"hub", "camden"}
    assert held(settings) == dict.fromkeys(ACCOUNTS, (0, 0))
    plan = planned(playbook, tmp_path, "--limit", ",".join(sorted(one_of_each_kind)))
    assert plan["status"] == "changes"
    for account in plan["accounts"]:
        created = {change["name"] for change in account["changes"] if change["action"] == "create"}
        assert {"localgov-network", "localgov-database", "localgov-roles", "localgov-services"} <= created
    assert {account["account"] for account in plan["accounts"]} == one_of_each_kind
    assert held(settings) == dict.fromkeys(ACCOUNTS, (0, 0))


def test_one_pass_deploys_every_account(deployed: subprocess.CompletedProcess[str]) -> None:
    assert recap(deployed).keys() == ACCOUNTS
    assert all(counts["failed"] == counts["unreachable"] == 0 for counts in recap(deployed).values())


def test_a_second_pass_changes_nothing_on_any_account(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook
) -> None:
    again = playbook("site")
    assert again.returncode == 0, failures(again)
    assert {host: counts["changed"] for host, counts in recap(again).items()} == dict.fromkeys(ACCOUNTS, 0)


def test_a_plan_of_what_is_deployed_foresees_no_change_and_needs_no_right_to_make_one(
    settings: Settings, deployed: subprocess.CompletedProcess[str], playbook: Playbook, tmp_path: Path
) -> None:
    one_of_each_kind = {"hub", "sutton"}
    limited = ("--limit", ",".join(sorted(one_of_each_kind)))
    with allowed_to_read_alone(settings):
        plan = planned(playbook, tmp_path, *limited, "-e", "drift=true", "-e", "fail_on_changes=true")
    assert (plan["status"], plan["counts"]["changes"], plan["counts"]["drifted"]) == ("none", 0, 0)
    # Of each, every stack that there is; compared with what there is are those that the platform made.
    looked_at = {one["account"]: set(one["unchanged"]) for one in plan["accounts"]}
    compared = {one["account"]: {drift["stack"] for drift in one["drifts"]} for one in plan["accounts"]}
    assert compared.keys() == one_of_each_kind
    assert all(compared[account] <= looked_at[account] for account in one_of_each_kind)
    assert {account: len(stacks) for account, stacks in compared.items()} == {
        account: stacks for account, (stacks, _) in held(settings).items() if account in one_of_each_kind
    }


def test_a_plan_names_what_the_inventory_changes_and_what_was_changed_by_hand_and_nothing_else(
    settings: Settings, deployed: subprocess.CompletedProcess[str], playbook: Playbook, tmp_path: Path
) -> None:
    everybody = tmp_path / "hosts.yml"
    everybody.write_text("all: {vars: {platform_share: revoked}}\n")
    sqs = client_of_root(settings, "croydon", "sqs")
    queue = sqs.get_queue_url(QueueName="localgov-uploads")["QueueUrl"]
    timeout = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])["Attributes"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "77"})
    limited = (
        "-i",
        str(everybody),
        "--limit",
        "hub,croydon",
        "-e",
        "drift=true",
        "-e",
        "la_services_database_name=other",
    )
    try:
        plan = planned(playbook, tmp_path, *limited, "-e", "fail_on_changes=true", ends_with=2)
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=timeout)
    found = {one["account"]: one for one in plan["accounts"]}
    assert found.keys() == {"hub", "croydon"}
    assert {(change["kind"], change["name"]) for change in found["hub"]["changes"]} == {
        ("stack", "localgov-database"),
        ("stack", "localgov-services"),
    }
    assert {(change["kind"], change["name"]) for change in found["croydon"]["changes"]} == {
        ("stack", "localgov-database"),
        ("stack", "localgov-services"),
        ("trust", "localgov-300000000002-shared"),
    }
    # Another name of the database is another database.
    assert {(one["account"], one["name"]) for one in plan["data"]} == {("hub", "Database"), ("croydon", "Database")}
    drifted = [(one["account"], drift) for one in found.values() for drift in one["drifts"] if drift["resources"]]
    ((account, drift),) = drifted
    assert (account, drift["stack"]) == ("croydon", "localgov-events")
    assert [entry["path"] for entry in drift["resources"][0]["differences"]] == ["/VisibilityTimeout"]
    page = (tmp_path / "plan.html").read_text()
    assert "These lose their data" in page
    assert "/VisibilityTimeout" in page


def test_a_plan_that_is_no_rehearsal_is_refused_and_deploys_nothing(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook
) -> None:
    refused = playbook("plan")
    assert refused.returncode == 2
    assert "run it again with --check" in " ".join(refused.stdout.split())
    # Whoever goes round the question deploys nothing either: another tag would change each stack.
    around = playbook("plan", "--limit", "hub", "--start-at-task", "Keep the repositories", "-e", "org_ecr_tags={a: b}")
    assert around.returncode == 2
    assert {host: counts["changed"] for host, counts in recap(around).items()} == {"hub": 0}


def test_a_teardown_without_a_limit_is_refused(deployed: subprocess.CompletedProcess[str], playbook: Playbook) -> None:
    refused = playbook("teardown")
    assert refused.returncode != 0
    assert "Name the accounts to tear down, as in --limit camden" in refused.stdout
