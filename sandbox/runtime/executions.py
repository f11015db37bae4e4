# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of an execution of Step Functions: by its ``TimeoutSeconds``, and at once when somebody ends it.

As shipped an execution never times out, and one that was aborted goes on with retries, waits and tasks until its state
ends. Here a wait or a retry ends with the execution, and a task of ECS that a state waits for is stopped with it, or
with the state's own time.
"""

from __future__ import annotations

import contextvars
import functools
import json
import threading
import time
from contextvars import ContextVar
from typing import Any

NEEDS = (
    "ministack.core.responses.now_iso",
    "ministack.services.stepfunctions._add_event",
    "ministack.services.stepfunctions._emit_execution_status_event",
    "ministack.services.stepfunctions._execute_task",
    "ministack.services.stepfunctions._executions",
    "ministack.services.stepfunctions._fail_execution",
    "ministack.services.stepfunctions._run_execution",
    "ministack.services.stepfunctions._scaled_sleep",
    "ministack.services.stepfunctions._state_machines",
)

_POLL = 0.1  # seconds

_execution: ContextVar[dict[str, Any] | None] = ContextVar("execution", default=None)
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def patch() -> None:
    from ministack.services import stepfunctions

    stepfunctions._run_execution = _running(stepfunctions._run_execution)
    stepfunctions._execute_task = _timed(stepfunctions._execute_task)
    stepfunctions._fail_execution = _failing_once(stepfunctions._fail_execution)
    stepfunctions._scaled_sleep = _sleep


def is_over() -> bool:
    """Whether the execution that this thread works for has been ended, or the time of its state is over."""
    execution, deadline = _execution.get(), _deadline.get()
    ended = execution is not None and execution["status"] != "RUNNING"
    return ended or (deadline is not None and time.monotonic() > deadline)


def _running(shipped: Any) -> Any:  # noqa: ANN401 - a function of ministack
    @functools.wraps(shipped)
    def run(arn: str) -> None:
        from ministack.services import stepfunctions

        execution = stepfunctions._executions.get(arn)
        token = _execution.set(execution)
        limit = _limit(execution) if execution else None
        timer = None
        if execution and limit:
            timer = threading.Timer(limit, contextvars.copy_context().run, (_time_out, execution, limit))
            timer.daemon = True
            timer.start()
        try:
            shipped(arn)
        finally:
            if timer:
                timer.cancel()
            _execution.reset(token)

    return run


def _limit(execution: dict[str, Any]) -> float | None:
    from ministack.services import stepfunctions

    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    try:
        limit = json.loads(machine.get("definition") or "{}").get("TimeoutSeconds")
    except ValueError:
        return None
    return float(limit) if isinstance(limit, int | float) else None


def _time_out(execution: dict[str, Any], limit: float) -> None:
    from ministack.core.responses import now_iso
    from ministack.services import stepfunctions

    if execution["status"] != "RUNNING":
        return
    execution.update(
        status="TIMED_OUT", error="States.Timeout", cause=f"no end after {limit:g} seconds", stopDate=now_iso()
    )
    stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    stepfunctions._emit_execution_status_event(execution)


def _timed(shipped: Any) -> Any:  # noqa: ANN401 - a function of ministack
    @functools.wraps(shipped)
    def execute(state: dict[str, Any], *rest: Any) -> Any:  # noqa: ANN401
        limit = state.get("TimeoutSeconds")
        token = _deadline.set(time.monotonic() + limit if isinstance(limit, int | float) else None)
        try:
            return shipped(state, *rest)
        finally:
            _deadline.reset(token)

    return execute


def _failing_once(shipped: Any) -> Any:  # noqa: ANN401 - a function of ministack
    """An execution that somebody has ended stays as it was ended."""

    @functools.wraps(shipped)
    def fail(execution: dict[str, Any], *rest: Any) -> None:  # noqa: ANN401
        if execution["status"] == "RUNNING":
            shipped(execution, *rest)

    return fail


def _sleep(seconds: float) -> None:
    from ministack.services import stepfunctions

    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        execution = _execution.get()
        if execution is not None and execution["status"] != "RUNNING":
            raise stepfunctions._ExecutionError("States.Runtime", "the execution has been ended")
        time.sleep(min(_POLL, left))
