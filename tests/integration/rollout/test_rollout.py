# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators side by side, in each other's way, and after a failure."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._deployment_lock import FREE, Claim, look, release, take

from sandbox.journey.person import wait_for
from tests.integration.rollout.conftest import Operator, s3_of
from tests.sandbox.conftest import Sandbox

NewOperator = Callable[[], Operator]
REMOTE = Claim("alice@laptop", "elsewhere.pid.1.1", 3600)


@pytest.fixture(scope="module")
def shards(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> list[Operator]:
    """Two runs at the same time, each of its slice of the inventory, as a job of AWX is sliced."""
    operators = [Operator(sandbox, tmp_path_factory.mktemp("shard")) for _ in range(2)]
    with ThreadPoolExecutor(2) as together:
        runs = list(
            together.map(lambda operator, account: operator.rolls_out(account), operators, ("camden", "croydon"))
        )
    for run in runs:
        assert run.returncode == 0, run.stdout[-4000:]
    return operators


def stacks(sandbox: Sandbox, account: str) -> list[tuple[str, str]]:
    found = sandbox.client("cloudformation", sandbox.root(account)).describe_stacks()["Stacks"]
    return sorted((stack["StackName"], stack["StackStatus"]) for stack in found)


def bucket(sandbox: Sandbox, account: str) -> str:
    return f"localgov-{sandbox.account(account)}-rollout"


def locked(sandbox: Sandbox, account: str) -> bool:
    held = look(s3_of(sandbox, account), bucket(sandbox, account), "lock.json")
    return held is not None and held.claim != FREE


def take_away(sandbox: Sandbox, account: str) -> None:
    """Somebody elsewhere deploys the account."""
    take(s3_of(sandbox, account), bucket(sandbox, account), "lock.json", REMOTE, is_over=lambda _run: False)


def give_back(sandbox: Sandbox, account: str) -> None:
    release(s3_of(sandbox, account), bucket(sandbox, account), "lock.json", REMOTE)


def test_two_shards_run_side_by_side(sandbox: Sandbox, shards: list[Operator]) -> None:
    assert stacks(sandbox, "camden") == stacks(sandbox, "croydon")
    assert {state for _name, state in stacks(sandbox, "camden")} <= {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    assert [list(shard.report()) for shard in shards] == [["camden"], ["croydon"]]


def test_the_report_tells_of_each_account_what_was_done(sandbox: Sandbox, shards: list[Operator]) -> None:
    camden = shards[0].report()["camden"]
    assert camden["outcome"] == "done"
    assert camden["failure"] is None
    assert camden["changes"] > len(camden["stacks"]) / 2
    assert 0 < camden["seconds"] < 300
    made = {stack["name"] for stack in camden["stacks"] if stack["outcome"] == "changed"}
    assert made == {name for name, _state in stacks(sandbox, "camden")}
    assert "camden" in shards[0].page()
    assert "Done</dt><dd>1 of 1" in shards[0].page()


def test_no_lock_is_left_after_a_rollout(sandbox: Sandbox, shards: list[Operator]) -> None:
    assert not locked(sandbox, "camden")
    assert not locked(sandbox, "croydon")


def test_of_a_rollout_only_what_failed_is_run_again(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator
) -> None:
    bob = operator()
    take_away(sandbox, "camden")
    refused = bob.rolls_out("camden,croydon", rollout_tolerance=50)
    assert refused.returncode != 0
    report = bob.report()
    assert {name: account["outcome"] for name, account in report.items()} == {"camden": "failed", "croydon": "done"}
    assert report["camden"]["stacks"] == []
    assert "alice@laptop deploys this account since" in report["camden"]["failure"]["reason"]
    assert f"run again camden: --limit @{bob.folder / 'site.retry'}" in refused.stdout
    assert (bob.folder / "site.retry").read_text().split() == ["camden"]

    again = bob.rolls_out(f"@{bob.folder / 'site.retry'}", platform_take_lock_from="alice@laptop")
    assert again.returncode == 0, again.stdout[-4000:]
    assert "The lock was taken from alice@laptop as you asked" in " ".join((again.stdout + again.stderr).split())
    assert {name: (account["outcome"], account["changes"]) for name, account in bob.report().items()} == {
        "camden": ("done", 0)
    }
    assert not (bob.folder / "site.retry").exists()
    assert not locked(sandbox, "camden")


def test_a_rollout_stops_when_too_many_fail(sandbox: Sandbox, shards: list[Operator], operator: NewOperator) -> None:
    bob = operator()
    take_away(sandbox, "camden")
    try:
        stopped = bob.rolls_out("camden,croydon", rollout_tolerance=40)
    finally:
        give_back(sandbox, "camden")
    assert stopped.returncode != 0
    outcomes = {name: account["outcome"] for name, account in bob.report().items()}
    assert outcomes == {"camden": "failed", "croydon": "unfinished"}
    assert "run again camden, croydon: --limit @" in stopped.stdout
    assert (bob.folder / "site.retry").read_text().split() == ["camden", "croydon"]
    wait_for(lambda: not locked(sandbox, "croydon"), "the lock to be given back", 60)


def test_batches_are_rolled_out_one_after_the_other(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator
) -> None:
    bob = operator()
    take_away(sandbox, "camden")
    try:
        stopped = bob.rolls_out("camden,croydon", rollout_batches=[1, "100%"])
    finally:
        give_back(sandbox, "camden")
    assert {name: account["outcome"] for name, account in bob.report().items()} == {
        "camden": "failed",
        "croydon": "unfinished",
    }
    assert stopped.returncode != 0
    assert bob.report()["croydon"]["stacks"] == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_interrupted_or_killed_leaves_no_lock(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator, by: signal.Signals
) -> None:
    with operator().begins("camden") as run:
        wait_for(lambda: locked(sandbox, "camden"), "the run to lock the account", 120)
        run.send_signal(by)
        run.wait(60)
    wait_for(lambda: not locked(sandbox, "camden"), "the lock to be given back", 60)


BROKEN = """\
- hosts: camden
  gather_facts: false
  tasks:
    - name: Deploy what AWS refuses
      amazon.aws.cloudformation:
        stack_name: localgov-broken
        on_create_failure: DELETE
        template_body: {template}
"""


def test_a_failed_stack_is_told_with_the_reason_of_its_first_resource(operator: NewOperator, tmp_path: Path) -> None:
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "localgov-broken"}},
            # Which the deploy role may not make.
            "Topic": {"Type": "AWS::SNS::Topic", "DependsOn": "Queue"},
        }
    }
    playbook = tmp_path / "broken.yml"
    playbook.write_text(BROKEN.format(template=json.dumps(json.dumps(template))))
    bob = operator()
    assert bob.runs(playbook).returncode != 0
    failure = bob.report("broken")["camden"]["failure"]
    assert failure["task"] == "Deploy what AWS refuses"
    assert failure["reason"].startswith("localgov-broken: AWS::SNS::Topic Topic CREATE_FAILED: ")
    assert "sns:CreateTopic" in failure["reason"]
    assert "AWS::SNS::Topic Topic CREATE_FAILED" in bob.page("broken")
