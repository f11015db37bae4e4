# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators side by side, in each other's way, and after a failure."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil
import pytest
import yaml
from ansible_collections.localgov.platform.plugins.module_utils._deployment_lock import FREE, look

from sandbox.journey.person import wait_for
from tests.integration.rollout.conftest import (
    NEW,
    OLD,
    Operator,
    bucket,
    give_back,
    run_a_frontend,
    s3_of,
    stacks,
    take_away,
)
from tests.sandbox.conftest import CHECKOUT, Sandbox

NewOperator = Callable[[], Operator]


@pytest.fixture(scope="module")
def shards(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> list[Operator]:
    """Two runs at the same time, each of its part of the inventory, as two nodes of a workflow have it."""
    operators = [Operator(sandbox, tmp_path_factory.mktemp("shard")) for _ in range(2)]
    with ThreadPoolExecutor(2) as together:
        runs = list(
            together.map(lambda operator, account: operator.rolls_out(account), operators, ("camden", "croydon"))
        )
    for run in runs:
        assert run.returncode == 0, run.stdout[-4000:]
    return operators


def locked(sandbox: Sandbox, account: str) -> bool:
    held = look(s3_of(sandbox, account), bucket(sandbox, account), "lock.json")
    return held is not None and held.claim != FREE


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


def test_an_interrupted_run_gives_its_lock_back_itself_as_in_a_container_where_nothing_outlives_it(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator
) -> None:
    with operator().begins("camden") as run:
        wait_for(lambda: locked(sandbox, "camden"), "the run to lock the account", 120)
        (waiting,) = (process for process in psutil.process_iter() if waits_for(process, run.pid))
        waiting.kill()
        run.send_signal(signal.SIGINT)
        run.wait(60)
    assert not locked(sandbox, "camden")


def waits_for(process: psutil.Process, run: int) -> bool:
    """Whether it is the small process that waits for the end of that run."""
    with suppress(psutil.Error):
        begun = process.cmdline()
        return any(argument.endswith("_run_directory.py") for argument in begun) and str(run) in begun
    return False


RELEASING = """\
- hosts: sutton
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: tasks/{part}.yml
      vars:
        __release_reason: The sample was rejected.
        __release:
          wanted: {{frontend: "{new}"}}
          last_good: {{frontend: "{old}"}}
"""


@pytest.fixture
def trial(sandbox: Sandbox) -> Iterator[None]:
    """An account that runs an image on trial, and that somebody elsewhere has locked meanwhile."""
    run_a_frontend(sandbox, "sutton", NEW)
    take_away(sandbox, "sutton")
    yield
    s3, name = s3_of(sandbox, "sutton"), bucket(sandbox, "sutton")
    s3.delete_object(Bucket=name, Key="lock.json")
    s3.delete_bucket(Bucket=name)
    cloudformation = sandbox.client("cloudformation", sandbox.root("sutton"))
    cloudformation.delete_stack(StackName="localgov-services")
    wait_for(lambda: stacks(sandbox, "sutton") == [], "the stack to go", 60)


@pytest.mark.usefixtures("trial")
@pytest.mark.parametrize(
    ("part", "told"),
    [("release_proof", "alice@laptop"), ("release_return", "has NOT returned to its last good images")],
)
def test_a_release_goes_no_further_in_an_account_whose_lock_another_has_taken_meanwhile(
    sandbox: Sandbox, operator: NewOperator, part: str, told: str
) -> None:
    """As after hours, in a large batch."""
    bob = operator()
    refused = bob.runs(beside_the_playbooks(bob, RELEASING.format(part=part, new=NEW, old=OLD)))
    said = " ".join(refused.stdout.split())
    assert refused.returncode != 0
    assert "alice@laptop deploys this account since" in said
    assert told in said
    assert "Wait until as many tasks run as there are to be" not in said
    assert stacks(sandbox, "sutton") == [("localgov-services", "CREATE_COMPLETE")]


def beside_the_playbooks(operator: Operator, playbook: str) -> Path:
    """A playbook with the names and tasks of those of the collection."""
    for beside in ("group_vars", "tasks"):
        (operator.folder / beside).symlink_to(CHECKOUT / "playbooks" / beside)
    (operator.folder / "goes_on.yml").write_text(playbook)
    return operator.folder / "goes_on.yml"


BRINGING = """\
- hosts: camden:croydon
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: tasks/release_run.yml
      vars: {{__release_digests: {{daemon: "{new}"}}}}

- hosts: croydon
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: tasks/release_run.yml
      vars: {returning}
"""


@pytest.mark.usefixtures("shards")
def test_a_release_migrates_no_database_where_the_inventory_says_so_nor_on_the_way_back(operator: NewOperator) -> None:
    bob = operator()
    (returning,) = re.findall(
        r"release_run\.yml\n +vars:\n((?: {12}\w+: .*\n)+)",
        (CHECKOUT / "playbooks/tasks/release_return.yml").read_text(),
    )
    given = yaml.safe_load(returning) | {"__release_digests": {"daemon": OLD}}
    (bob.folder / "more.yml").write_text("all: {hosts: {camden: {la_services_database_migrate: false}}}\n")
    playbook = beside_the_playbooks(bob, BRINGING.format(new=NEW, returning=json.dumps(given)))
    done = bob.runs(playbook, "--check", "-i", str(bob.folder / "more.yml"))
    assert done.returncode == 0, done.stdout[-4000:]
    asked = re.findall(
        r"^TASK \[.*Ask the new image which schema.*\n(?:ok|changed): \[(\w+)\]", done.stdout, re.MULTILINE
    )
    assert asked == ["croydon"]
    deployed = re.findall(r"^TASK \[.*Deploy the services' stack.*\n((?:changed: .*\n)+)", done.stdout, re.MULTILINE)
    assert [len(hosts.splitlines()) for hosts in deployed] == [2, 1]


SHARE, WEBSERVER = (CHECKOUT / "playbooks" / name for name in ("share.yml", "webserver.yml"))


@pytest.mark.parametrize(
    ("playbook", "asked"), [(SHARE, {"share": "granted"}), (WEBSERVER, {"state": "on", "for": "1h"})]
)
def test_nobody_opens_or_switches_on_while_another_deploys(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator, playbook: Path, asked: dict[str, str]
) -> None:
    take_away(sandbox, "camden")
    try:
        refused = operator().runs(playbook, "--limit", "camden", "-e", json.dumps(asked))
    finally:
        give_back(sandbox, "camden")
    assert refused.returncode != 0
    assert "alice@laptop deploys this account since" in " ".join(refused.stdout.split())
    assert "ROLLOUT REPORT" not in refused.stdout


@pytest.mark.parametrize(("playbook", "asked"), [(SHARE, {"share": "revoked"}), (WEBSERVER, {"state": "off"})])
def test_closing_and_switching_off_wait_for_nobody(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator, playbook: Path, asked: dict[str, str]
) -> None:
    take_away(sandbox, "camden")
    try:
        done = operator().runs(playbook, "--limit", "camden", "-e", json.dumps(asked))
        assert done.returncode == 0, done.stdout[-3000:]
        assert locked(sandbox, "camden")
    finally:
        give_back(sandbox, "camden")


def test_opening_locks_the_account_and_gives_the_lock_back(
    sandbox: Sandbox, shards: list[Operator], operator: NewOperator
) -> None:
    before = lock_of(sandbox, "camden")
    opened = operator().runs(SHARE, "--limit", "camden", "-e", "share=granted")
    assert opened.returncode == 0, opened.stdout[-3000:]
    assert lock_of(sandbox, "camden") != before
    assert not locked(sandbox, "camden")


def lock_of(sandbox: Sandbox, account: str) -> datetime:
    """When the lock was last written."""
    found = s3_of(sandbox, account).head_object(Bucket=bucket(sandbox, account), Key="lock.json")
    written: datetime = found["LastModified"]
    return written


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
            # Which the deploy role may not make: its own begin with "localgov-".
            "Role": {
                "Type": "AWS::IAM::Role",
                "DependsOn": "Queue",
                "Properties": {"RoleName": "of-others", "AssumeRolePolicyDocument": {"Statement": []}},
            },
        }
    }
    playbook = tmp_path / "broken.yml"
    playbook.write_text(BROKEN.format(template=json.dumps(json.dumps(template))))
    bob = operator()
    assert bob.runs(playbook).returncode != 0
    failure = bob.report("broken")["camden"]["failure"]
    assert failure["task"] == "Deploy what AWS refuses"
    assert failure["reason"].startswith("localgov-broken: AWS::IAM::Role Role CREATE_FAILED: ")
    assert "iam:CreateRole" in failure["reason"]
    assert "AWS::IAM::Role Role CREATE_FAILED" in bob.page("broken")
