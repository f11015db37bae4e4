# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""Executions of Step Functions that end before their states do."""

from __future__ import annotations

import json
from typing import Any

from tests.sandbox.runtime.conftest import Account, eventually


def _task(camden: Account, script: str, **more: Any) -> dict[str, Any]:
    definition = camden.define(script)
    arguments = {"Cluster": camden.cluster, "TaskDefinition": definition, "LaunchType": "EC2"}
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Parameters": arguments,
        "End": True,
        **more,
    }


def _start(camden: Account, state: dict[str, Any], **more: Any) -> str:
    states = camden.client("stepfunctions")
    machine = {"StartAt": "One", "States": {"One": state}, **more}
    role = camden.role(f"{camden.cluster}-states", trusts="states.amazonaws.com")
    arn = states.create_state_machine(name=camden.cluster, definition=json.dumps(machine), roleArn=role)
    return str(states.start_execution(stateMachineArn=arn["stateMachineArn"])["executionArn"])


def _ended(camden: Account, execution: str) -> dict[str, Any]:
    states = camden.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return eventually(look, "the end of the execution")


def _only_task(camden: Account, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        arns = [
            arn
            for wanted in ("RUNNING", "STOPPED")
            for arn in camden.ecs.list_tasks(cluster=camden.cluster, desiredStatus=wanted)["taskArns"]
        ]
        tasks = [camden.task(arn) for arn in arns]
        return next((task for task in tasks if task["lastStatus"] == status), None)

    return eventually(look, f"a task that is {status}")


def test_an_execution_times_out_and_takes_its_task_along(camden: Account) -> None:
    execution = _start(camden, _task(camden, "import time; time.sleep(600)"), TimeoutSeconds=2)
    assert _ended(camden, execution)["status"] == "TIMED_OUT"
    assert _only_task(camden, "STOPPED")["stoppedReason"] == "The state that waits for it has ended"


def test_an_execution_that_is_stopped_stays_stopped_and_takes_its_task_along(camden: Account) -> None:
    execution = _start(camden, _task(camden, "import time; time.sleep(600)"))
    _only_task(camden, "RUNNING")
    camden.client("stepfunctions").stop_execution(executionArn=execution)
    _only_task(camden, "STOPPED")
    assert _ended(camden, execution)["status"] == "ABORTED"


def test_a_state_that_takes_too_long_takes_its_task_along(camden: Account) -> None:
    execution = _start(camden, _task(camden, "import time; time.sleep(600)", TimeoutSeconds=2))
    ended = _ended(camden, execution)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Timeout")
    _only_task(camden, "STOPPED")


def test_a_wait_ends_with_its_execution(camden: Account) -> None:
    execution = _start(camden, {"Type": "Wait", "Seconds": 600, "End": True})
    states = camden.client("stepfunctions")
    states.stop_execution(executionArn=execution)
    events = states.get_execution_history(executionArn=execution)["events"]
    assert events[-1]["type"] == "ExecutionAborted"
    assert _ended(camden, execution)["status"] == "ABORTED"
