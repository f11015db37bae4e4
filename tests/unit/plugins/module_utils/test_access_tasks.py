# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks for trials, where ECS is full, slow or unwilling."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils import cloud
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import Identity
from ansible_collections.localgov.platform.plugins.module_utils._access_program import Program
from ansible_collections.localgov.platform.plugins.module_utils._access_tasks import (
    Ground,
    Task,
    finish,
    ground_of,
    start,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from botocore.stub import ANY

from tests.unit.answering_aws import stubbed

IDENTITY = Identity("arn:aws:sts::012345670123:assumed-role/deploy/me", "012345670123", "aws", "eu-west-2")
GROUND = Ground(
    IDENTITY, {"cluster": "localgov", "taskDefinition": "code-server"}, "main", "/localgov", "main", "eu-west-2"
)
PROGRAMS = [
    Program(f"arn:aws:iam::012345670123:role/{name}", (number,), {"containerOverrides": []})
    for number, name in enumerate(("first", "second"))
]
OPTION = {
    "cluster": "localgov",
    "task_definition": "code-server",
    "subnets": ["subnet-1"],
    "security_groups": ["sg-1"],
    "assign_public_ip": False,
}
FULL = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


def arn(number: int) -> str:
    return f"arn:aws:ecs:eu-west-2:012345670123:task/localgov/{number}"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(cloud.time, "sleep", waited.append)
    return waited


def test_a_task_waits_for_room(waits: list[float]) -> None:
    ecs, stubber = stubbed("ecs")
    stubber.add_response("run_task", {"tasks": [], "failures": [{"reason": FULL}]})
    stubber.add_client_error("run_task", "ClientException", "You've reached the limit on the number of tasks")
    stubber.add_response("run_task", {"tasks": [{"taskArn": arn(0)}]})
    assert start(ecs, GROUND, PROGRAMS[:1]) == [Task(PROGRAMS[0], arn(0))]
    assert len(waits) == 2


def test_a_task_that_finds_no_room_fails_its_own_trials_only() -> None:
    ecs, stubber = stubbed("ecs")
    for _ in range(6):
        stubber.add_response("run_task", {"tasks": [], "failures": [{"reason": FULL}]})
    stubber.add_response("run_task", {"tasks": [{"taskArn": arn(1)}]})
    full, placed = start(ecs, GROUND, PROGRAMS)
    assert full.obstacle == f"ECS has no room for its task: {FULL}"
    assert placed.arn == arn(1)


def test_a_role_that_ecs_cannot_assume_fails_its_own_trials_only() -> None:
    ecs, stubber = stubbed("ecs")
    stubber.add_client_error("run_task", "ClientException", "ECS was unable to assume the role 'first'")
    stubber.add_response("run_task", {"tasks": [{"taskArn": arn(1)}]})
    refused, placed = start(ecs, GROUND, PROGRAMS)
    assert refused.obstacle == "ClientException: ECS was unable to assume the role 'first'"
    assert placed.arn == arn(1)


def test_what_was_started_is_stopped_when_the_operator_may_not_go_on() -> None:
    ecs, stubber = stubbed("ecs")
    stubber.add_response("run_task", {"tasks": [{"taskArn": arn(0)}]})
    stubber.add_client_error("run_task", "AccessDeniedException", "User is not authorized to perform: iam:PassRole.")
    stopped = {"cluster": "localgov", "task": arn(0), "reason": ANY}
    stubber.add_response("stop_task", {}, stopped)
    with pytest.raises(RefusedError) as refused:
        start(ecs, GROUND, PROGRAMS)
    stubber.assert_no_pending_responses()
    assert str(refused.value).startswith(
        "Cannot run a task as arn:aws:iam::012345670123:role/second in account 012345670123: AccessDeniedException"
    )
    assert "This task's identity needs ecs:RunTask on code-server" in str(refused.value)
    assert "iam:PassRole to ecs-tasks.amazonaws.com" in str(refused.value)


def test_a_task_that_ecs_loses_is_no_reason_to_lose_the_others() -> None:
    ecs, stubber = stubbed("ecs")
    logs, log_stubber = stubbed("logs")
    record = {"taskArn": arn(0), "lastStatus": "STOPPED", "containers": [{"name": "main", "exitCode": 0}]}
    seen = {"tasks": [record], "failures": [{"arn": arn(1), "reason": "MISSING"}]}
    for _ in range(2):
        stubber.add_response("describe_tasks", seen)
    stubber.add_client_error("stop_task", "InvalidParameterException", "The referenced task was not found.")
    line = 'access-probe [0, "allowed", "as it should be"]'
    events = [{"message": "a warning of somebody"}, {"message": line}]
    log_stubber.add_response("get_log_events", {"events": events, "nextForwardToken": "end"})
    log_stubber.add_response("get_log_events", {"events": [], "nextForwardToken": "end"})
    tasks = [Task(program, arn(number)) for number, program in enumerate(PROGRAMS)]
    found = list(finish(ecs, logs, GROUND, tasks, time.monotonic()))
    assert [(result.number, result.outcome) for _, result in found] == [(0, "allowed"), (1, "failed")]
    assert found[1][1].reason.startswith("ECS does not know the task 1, which it has started")
    assert tasks[0].caller(IDENTITY) == "arn:aws:sts::012345670123:assumed-role/first/0"


def test_a_log_that_comes_late_is_waited_for(waits: list[float]) -> None:
    ecs, stubber = stubbed("ecs")
    logs, log_stubber = stubbed("logs")
    record = {"taskArn": arn(0), "lastStatus": "STOPPED", "containers": [{"name": "main", "exitCode": 0}]}
    for _ in range(2):
        stubber.add_response("describe_tasks", {"tasks": [record]})
    log_stubber.add_client_error("get_log_events", "ResourceNotFoundException", "The specified log stream")
    for _ in range(2):
        log_stubber.add_response("get_log_events", {"events": [], "nextForwardToken": "end"})
    events = [{"message": 'access-probe [0, "refused", "AccessDenied"]'}]
    log_stubber.add_response("get_log_events", {"events": events, "nextForwardToken": "end"})
    log_stubber.add_response("get_log_events", {"events": [], "nextForwardToken": "end"})
    ((_, result),) = finish(ecs, logs, GROUND, [Task(PROGRAMS[0], arn(0))], time.monotonic())
    assert result.outcome == "refused"
    assert len(waits) == 2


def test_an_operator_who_may_not_look_at_tasks_has_them_stopped_and_is_told() -> None:
    ecs, stubber = stubbed("ecs")
    stubber.add_client_error("describe_tasks", "AccessDeniedException", "not authorized")
    stubber.add_response("stop_task", {})
    with pytest.raises(RefusedError, match="needs ecs:DescribeTasks"):
        list(finish(ecs, None, GROUND, [Task(PROGRAMS[0], arn(0))], time.monotonic()))
    stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    "log", [{}, {"logDriver": "awsfirelens"}, {"logDriver": "awslogs", "options": {"awslogs-group": "/localgov"}}]
)
def test_a_task_whose_results_could_not_be_read_is_not_run(log: dict[str, Any]) -> None:
    ecs, stubber = stubbed("ecs")
    container = {"name": "main", **({"logConfiguration": log} if log else {})}
    stubber.add_response(
        "describe_task_definition", {"taskDefinition": {"taskDefinitionArn": "a", "containerDefinitions": [container]}}
    )
    with pytest.raises(RefusedError, match="main of the task definition code-server in account 012345670123 does not"):
        ground_of(ecs, IDENTITY, OPTION)


def test_the_first_essential_container_is_the_one_that_tries() -> None:
    ecs, stubber = stubbed("ecs")
    options = {"awslogs-group": "/localgov", "awslogs-stream-prefix": "service", "awslogs-region": "eu-west-1"}
    log = {"logDriver": "awslogs", "options": options}
    containers = [{"name": "aside", "essential": False}, {"name": "main", "essential": True, "logConfiguration": log}]
    stubber.add_response(
        "describe_task_definition",
        {"taskDefinition": {"taskDefinitionArn": "arn:x", "containerDefinitions": containers}},
    )
    ground = ground_of(ecs, IDENTITY, {**OPTION, "assign_public_ip": True})
    assert (ground.container, ground.log_group, ground.log_prefix, ground.log_region) == (
        "main",
        "/localgov",
        "service",
        "eu-west-1",
    )
    assert ground.parameters["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-1"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "ENABLED",
    }
