# SPDX-License-Identifier: GPL-3.0-or-later
"""What ECS may say of tasks that failed, and what a person is told of it. On a sandbox: tests/sandbox/runtime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _ecs_failures as failures
from ansible_collections.localgov.platform.plugins.modules import ecs_failed_tasks_info as module

from tests.unit.answering_aws import stubbed

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ARN = "arn:aws:ecs:eu-west-2:012345670123"
DIGEST = f"sha256:{'a' * 64}"


def task(number: int = 1, *, service: str = "frontend", ended: datetime = NOON, **more: object) -> dict[str, Any]:
    return {
        "taskArn": f"{ARN}:task/localgov/{number}",
        "taskDefinitionArn": f"{ARN}:task-definition/localgov-{service}:7",
        "group": f"service:{service}",
        "lastStatus": "STOPPED",
        "stoppedAt": ended,
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "containers": [{"name": service, "imageDigest": DIGEST, "exitCode": 3}],
        **more,
    }


class Module:
    """What of Ansible's module is used here."""

    def __init__(self, logs: Any, **params: Any) -> None:  # noqa: ANN401  a client
        self._logs = logs
        self.params = {
            "cluster": "localgov", "services": [], "since": None, "tasks_per_service": 1, "log_lines": 2, **params
        }  # fmt: skip

    def client(self, service: str, **_: object) -> Any:  # noqa: ANN401
        assert service == "logs"
        return self._logs


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        pytest.param({}, True, id="a container ended by itself"),
        pytest.param({"stopCode": "TaskFailedToStart"}, True, id="it could not start"),
        pytest.param(
            {"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "Task failed container health checks"},
            True,
            id="it never became healthy",
        ),
        pytest.param(
            {"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "Task failed ELB health checks in (target ...)"},
            True,
            id="its balancer found it unhealthy",
        ),
        pytest.param(
            {"stopCode": "ServiceSchedulerInitiated", "stoppedReason": "Scaling activity initiated by (deployment 1)"},
            False,
            id="a deployment took its place",
        ),
        pytest.param({"stopCode": "UserInitiated", "stoppedReason": "by hand"}, False, id="a person stopped it"),
        pytest.param({"group": "family:localgov-run"}, False, id="it belongs to no service"),
        pytest.param({"lastStatus": "RUNNING"}, False, id="it runs"),
        pytest.param({"stoppedAt": NOON - timedelta(hours=1)}, False, id="it failed before"),
        pytest.param({"group": "service:other"}, False, id="of a service that was not asked for"),
    ],
)
def test_what_counts_as_a_failure(change: dict[str, Any], counts: bool) -> None:
    assert bool(failures.failed_tasks([task(**change)], ["frontend"], NOON - timedelta(minutes=5))) is counts


def test_the_latest_of_each_service_is_told() -> None:
    tasks = [task(n, service=name, ended=NOON + timedelta(minutes=n)) for n, name in enumerate("aabab")]
    kept = failures.latest(failures.failed_tasks(tasks, [], None), 1)
    assert [(failures.service_of(one), one["taskArn"][-1]) for one in kept] == [("b", "4"), ("a", "3")]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("DAGSTER_PG_PASSWORD=abc123 missing", "DAGSTER_PG_PASSWORD=******** missing"),
        ('{"password": "with space", "user": "x"}', '{"password": ********, "user": "x"}'),
        ("connect postgresql://dagster:hunter2@db:5432/x", "connect postgresql://********@db:5432/x"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer ********"),
        ("key AKIAABCDEFGHIJKLMNOP refused", "key ******** refused"),
        ("GET /x?X-Amz-Signature=0af1&y=1", "GET /x?X-Amz-Signature=********&y=1"),
        ("x" * 400, "x" * 300 + "…"),
        ("The variable DATA_STORE_LOCATION is missing.", "The variable DATA_STORE_LOCATION is missing."),
    ],
)
def test_a_line_of_a_log_shows_no_secret(line: str, told: str) -> None:
    assert failures.without_secrets(line) == told


def test_a_failed_deployment_is_told_with_service_task_image_reason_exit_code_and_log() -> None:
    ecs, asked = stubbed("ecs")
    logs, of_logs = stubbed("logs")
    options = {"awslogs-group": "/localgov/frontend", "awslogs-stream-prefix": "frontend"}
    container = {"name": "frontend", "logConfiguration": {"logDriver": "awslogs", "options": options}}
    asked.add_response("list_tasks", {"taskArns": [f"{ARN}:task/localgov/1"], "nextToken": "more"})
    asked.add_response("list_tasks", {"taskArns": [f"{ARN}:task/localgov/2"]})
    asked.add_response("describe_tasks", {"tasks": [task(1), task(2, ended=NOON + timedelta(seconds=9))]})
    asked.add_response("describe_task_definition", {"taskDefinition": {"containerDefinitions": [container]}})
    asked.add_response("list_services", {"serviceArns": ["frontend", "daemon"]})
    broken = {"rolloutState": "FAILED", "rolloutStateReason": "tasks failed to start.", "taskDefinition": "x/daemon:2"}
    asked.add_response(
        "describe_services",
        {"services": [{"serviceName": "daemon", "deployments": [broken], "events": [{"message": "no capacity"}]}]},
    )
    of_logs.add_response(
        "get_log_events",
        {"events": [{"message": "reads its settings"}, {"message": "token=abc"}]},
        {
            "logGroupName": "/localgov/frontend",
            "logStreamName": "frontend/frontend/2",
            "limit": 2,
            "startFromHead": False,
        },
    )
    found = module.told(Module(logs), ecs, None)
    asked.assert_no_pending_responses()
    assert found["failures"] == {"frontend": 2}
    assert found["message"].splitlines() == [
        "Service frontend failed 2 times, the last time with task 2 of localgov-frontend:7: "
        "Essential container in task exited",
        f"  container frontend: exit code 3; image {DIGEST}",
        "    | reads its settings",
        "    | token=********",
        "Service daemon, daemon:2: tasks failed to start. no capacity",
    ]


def test_a_task_that_never_wrote_a_log_is_told_without_one() -> None:
    logs, of_logs = stubbed("logs")
    of_logs.add_client_error("get_log_events", "ResourceNotFoundException")
    ecs, asked = stubbed("ecs")
    options = {"awslogs-group": "/localgov/frontend", "awslogs-stream-prefix": "frontend"}
    container = {"name": "frontend", "logConfiguration": {"logDriver": "awslogs", "options": options}}
    asked.add_response("describe_task_definition", {"taskDefinition": {"containerDefinitions": [container]}})
    assert module.last_lines(Module(logs), ecs, task(), 5) == {"frontend": []}


def test_without_log_lines_no_log_is_asked_for() -> None:
    ecs, _ = stubbed("ecs")
    assert module.last_lines(Module(None), ecs, task(), 0) == {}


def test_a_time_without_a_zone_is_utc() -> None:
    assert module.parsed("2026-11-21T12:00:00") == NOON
    assert module.parsed("2026-11-21T12:00:00Z") == NOON
    assert module.parsed(None) is None
