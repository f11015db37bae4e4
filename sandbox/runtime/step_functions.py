# SPDX-License-Identifier: GPL-3.0-or-later
"""``arn:aws:states:::ecs:runTask`` as AWS does it: ``.sync`` fails with its task, and names are in PascalCase."""

from __future__ import annotations

import json
import time
from typing import Any

from sandbox.runtime import executions

NEEDS = (
    *executions.NEEDS,
    "ministack.services.ecs._describe_tasks",
    "ministack.services.ecs._ECS_TIMESTAMP_FIELDS",
    "ministack.services.ecs._run_task",
    "ministack.services.ecs._stop_task",
    "ministack.services.ecs._tasks",
    "ministack.services.ecs._ts_to_epoch",
    "ministack.services.stepfunctions._ExecutionError",
    "ministack.services.stepfunctions._SERVICE_DISPATCH",
    "ministack.services.stepfunctions._invoke_ecs_run_task",
    "ministack.services.stepfunctions._pascal_to_camel",
)

_RUN_TASK = "arn:aws:states:::ecs:runTask"
_POLL = 0.25  # seconds
_LONGEST = 24 * 3600.0  # seconds; a state that should end sooner says so with TimeoutSeconds


def patch() -> None:
    from ministack.services import stepfunctions

    executions.patch()
    stepfunctions._invoke_ecs_run_task = run_task
    stepfunctions._SERVICE_DISPATCH[_RUN_TASK] = run_task


def run_task(resource: str, state_input: dict[str, Any]) -> dict[str, Any]:
    from ministack.services import ecs, stepfunctions

    request = stepfunctions._pascal_to_camel(state_input)
    status, _, body = ecs._run_task(request)
    answer = json.loads(body or b"{}")
    if status >= 400:
        name = str(answer.get("__type", "AmazonECSException")).rpartition("#")[2]
        raise stepfunctions._ExecutionError(f"ECS.{name}", str(answer.get("message", answer)))
    if not resource.endswith(".sync"):
        started = [_with_epochs(task) for task in answer["tasks"]]
        return _pascal({"tasks": started, "failures": answer["failures"]})
    if not answer.get("tasks"):
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(_pascal(answer)))
    task = _await_end(request.get("cluster", "default"), answer["tasks"][0]["taskArn"])
    described = _pascal(_with_epochs(task))
    if not _succeeded(task):
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(described))
    return described


def _await_end(cluster: str, arn: str) -> dict[str, Any]:
    from ministack.services import ecs, stepfunctions

    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        _, _, body = ecs._describe_tasks({"cluster": cluster, "tasks": [arn], "include": ["TAGS"]})
        found: list[dict[str, Any]] = json.loads(body).get("tasks") or []
        if not found:
            raise stepfunctions._ExecutionError("States.TaskFailed", f"the task {arn} is not known any more")
        if found[0].get("lastStatus") == "STOPPED":
            return found[0]
        if executions.is_over():
            ecs._stop_task({"cluster": cluster, "task": arn, "reason": "The state that waits for it has ended"})
            raise stepfunctions._ExecutionError("States.Timeout", f"the task {arn} was stopped")
        time.sleep(_POLL)
    raise stepfunctions._ExecutionError("States.Timeout", f"the task {arn} still runs after a day")


def _succeeded(task: dict[str, Any]) -> bool:
    """Every essential container ended with 0. A task that never started has no exit codes."""
    from ministack.services import ecs

    record = ecs._tasks.get(task["taskArn"]) or {}
    containers = task.get("containers", [])
    essential = record.get("_container_essentials") or [True] * len(containers)
    return all(
        container.get("exitCode") == 0 for container, counts in zip(containers, essential, strict=False) if counts
    )


def _with_epochs(task: dict[str, Any]) -> dict[str, Any]:
    """Times in milliseconds since 1970, as Step Functions passes them on."""
    from ministack.services import ecs

    times = {name: ecs._ts_to_epoch(task[name]) for name in ecs._ECS_TIMESTAMP_FIELDS if task.get(name)}
    return {**task, **{name: int(value * 1000) for name, value in times.items()}}


def _pascal(document: dict[str, Any]) -> dict[str, Any]:
    return {name[:1].upper() + name[1:]: _pascal_value(value) for name, value in document.items()}


def _pascal_value(value: object) -> object:
    if isinstance(value, list):
        return [_pascal_value(item) for item in value]
    return _pascal(value) if isinstance(value, dict) else value
