# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""ECS tasks as steps of a state machine."""

from __future__ import annotations

import json
from typing import Any

from tests.sandbox.runtime.conftest import Account, eventually


def test_a_step_that_waits_for_a_task_fails_when_the_task_fails(camden: Account) -> None:
    execution = _execute(camden, "raise SystemExit(7)", "runTask.sync")
    assert execution["status"] == "FAILED"
    assert execution["error"] == "States.TaskFailed"
    task = json.loads(execution["cause"])
    assert task["Containers"][0]["ExitCode"] == 7
    assert task["StoppedReason"] == "Essential container in task exited"


def test_a_step_that_waits_for_a_task_returns_the_task_with_the_names_that_aws_uses(camden: Account) -> None:
    execution = _execute(camden, "pass", "runTask.sync")
    assert execution["status"] == "SUCCEEDED"
    task = json.loads(execution["output"])
    assert task["LastStatus"] == "STOPPED"
    assert task["Containers"][0]["ExitCode"] == 0
    assert task["TaskArn"].startswith("arn:aws:ecs:")
    assert isinstance(task["StoppedAt"], int)


def test_a_step_that_does_not_wait_returns_the_started_task(camden: Account) -> None:
    execution = _execute(camden, "raise SystemExit(7)", "runTask")
    assert execution["status"] == "SUCCEEDED"
    output = json.loads(execution["output"])
    assert output["Failures"] == []
    assert output["Tasks"][0]["TaskDefinitionArn"].endswith(f"/{camden.cluster}:1")


def test_a_failed_task_can_be_caught(camden: Account) -> None:
    catch = [{"ErrorEquals": ["States.TaskFailed"], "Next": "Caught", "ResultPath": "$.error"}]
    execution = _execute(camden, "raise SystemExit(7)", "runTask.sync", Catch=catch)
    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"])["error"]["Error"] == "States.TaskFailed"


def _execute(camden: Account, script: str, action: str, **step: Any) -> dict[str, Any]:
    definition = camden.define(script)
    parameters = {"Cluster": camden.cluster, "TaskDefinition": definition, "LaunchType": "EC2"}
    machine = {
        "StartAt": "Run",
        "States": {
            "Run": {
                "Type": "Task",
                "Resource": f"arn:aws:states:::ecs:{action}",
                "Parameters": parameters,
                "End": True,
                **step,
            },
            "Caught": {"Type": "Pass", "End": True},
        },
    }
    states = camden.client("stepfunctions")
    role = camden.role(camden.cluster, trusts="states.amazonaws.com")
    arn = states.create_state_machine(name=camden.cluster, definition=json.dumps(machine), roleArn=role)
    execution = states.start_execution(stateMachineArn=arn["stateMachineArn"])["executionArn"]

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    return eventually(look, "the end of the execution")
