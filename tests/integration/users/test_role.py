# SPDX-License-Identifier: GPL-3.0-or-later
"""The role itself: foreseen, repeated, refused, left."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sandbox.processes import identify
from tests.integration.users.conftest import Ground, Workflow, lines, user


def test_a_rehearsal_on_an_account_that_has_nothing_yet_foresees_the_bucket_and_the_stack(ground: Ground) -> None:
    done = ground.play("--check", add_users_stepfn_task="never-made")
    assert done.returncode == 0, done.stdout
    assert re.search(r"changed=[2-9]", done.stdout)
    buckets = ground.sandbox.client("s3", ground.sandbox.root("camden")).list_buckets()["Buckets"]
    assert not [bucket for bucket in buckets if "never-made" in bucket["Name"]]


def test_a_second_run_changes_nothing(ground: Ground, workflow: Workflow) -> None:
    done = ground.play(add_users_stepfn_task=workflow.task)
    assert re.search(r"changed=0 .*failed=0", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"add_users_stepfn_image": "localgov/api:latest"}, "must end in @sha256"),
        ({"add_users_stepfn_execution_seconds": 900}, "at least 1800 more"),
        ({"add_users_stepfn_network": None}, "add_users_stepfn_network"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(ground: Ground, wrong: dict[str, Any], said: str) -> None:
    done = ground.play("--check", add_users_stepfn_task="never-made", **wrong)
    assert done.returncode != 0
    assert said in re.sub(r"\s+", " ", done.stdout)


def test_who_leaves_keeps_the_receipts_and_nothing_else_even_of_what_is_on_its_way(ground: Ground) -> None:
    leaving = ground.workflow("leaving-add-users")
    working = leaving.upload(lines(user("slow", role="slow")))
    script = leaving.script()
    waiting = leaving.upload(lines(user("late")))
    executions = [leaving.execution_of(*upload) for upload in (working, waiting)]
    done = ground.play(add_users_stepfn_task="leaving-add-users", add_users_stepfn_state="absent")
    assert done.returncode == 0, done.stdout
    assert identify(script) is None
    assert {leaving.ended(execution)["status"] for execution in executions} == {"ABORTED"}
    buckets = [bucket["Name"] for bucket in leaving.root_s3.list_buckets()["Buckets"]]
    assert [name for name in buckets if "leaving" in name] == [leaving.receipts]
    machines = leaving.states.list_state_machines()["stateMachines"]
    assert not [machine for machine in machines if "leaving" in machine["name"]]
