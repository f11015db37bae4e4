# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a workflow is ended before it is removed. On a sandbox with a real task: tests/integration/users."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.modules import efs_staging_stop as module
from botocore.exceptions import WaiterError
from botocore.stub import ANY, Stubber

from tests.unit.answering_aws import stubbed

MACHINE = "arn:aws:states:eu-west-2:012345670123:stateMachine:localgov-add-users"
TASKS = [f"arn:aws:ecs:eu-west-2:012345670123:task/localgov-add-users/{number}" for number in range(3)]


def listed(stubber: Stubber, status: str, **tasks: str) -> None:
    """ECS lists tasks that should have this status, each with the one that it has."""
    asked = {"cluster": "localgov-add-users", "desiredStatus": status}
    stubber.add_response("list_tasks", {"taskArns": [TASKS[int(name[1:])] for name in tasks]}, asked)
    if tasks:
        described(stubber, **tasks)


def described(stubber: Stubber, **tasks: str) -> None:
    found: Any = [{"taskArn": TASKS[int(name[1:])], "lastStatus": status} for name, status in tasks.items()]
    stubber.add_response("describe_tasks", {"tasks": found})


def test_tasks_are_stopped_with_those_that_stop_already_until_there_are_none() -> None:
    client, stubber = stubbed("ecs")
    listed(stubber, "RUNNING", t0="RUNNING")
    listed(stubber, "STOPPED", t1="STOPPED", t2="DEPROVISIONING")
    for task in (TASKS[0], TASKS[2]):
        stubber.add_response("stop_task", {}, {"cluster": "localgov-add-users", "task": task, "reason": ANY})
    described(stubber, t0="STOPPED", t2="STOPPED")
    listed(stubber, "RUNNING", t1="PROVISIONING")  # which an execution had started meanwhile
    listed(stubber, "STOPPED")
    stubber.add_response("stop_task", {})
    described(stubber, t1="STOPPED")
    listed(stubber, "RUNNING")
    listed(stubber, "STOPPED", t0="STOPPED", t1="STOPPED", t2="STOPPED")
    assert module.stop_tasks(client, "localgov-add-users", 10) == [TASKS[0], TASKS[2], TASKS[1]]
    stubber.assert_no_pending_responses()


def test_a_task_that_does_not_stop_is_not_waited_for_without_end() -> None:
    client, stubber = stubbed("ecs")
    listed(stubber, "RUNNING", t0="RUNNING")
    listed(stubber, "STOPPED")
    stubber.add_response("stop_task", {})
    described(stubber, t0="DEACTIVATING")
    with pytest.raises(WaiterError):
        module.stop_tasks(client, "localgov-add-users", 1)


def test_what_is_not_there_has_nothing_under_way() -> None:
    states, of_states = stubbed("stepfunctions")
    of_states.add_client_error("list_executions", "StateMachineDoesNotExist")
    assert module.running(states, MACHINE) == []
    ecs, of_ecs = stubbed("ecs")
    of_ecs.add_client_error("list_tasks", "ClusterNotFoundException")
    assert module.stop_tasks(ecs, "localgov-add-users", 1) == []
