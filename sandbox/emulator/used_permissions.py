# SPDX-License-Identifier: GPL-3.0-or-later
"""Which permissions the services' own tasks have really used: the measure of what their roles need.

Kept in ``permissions.json`` of the state folder: account to role to actions, as IAM names them, since the sandbox
was made. What AWS asks for beside the request itself when a task is launched is added: ``iam:PassRole`` and
``ecs:TagResource``. Sessions that tests, demonstrations and trials of access have of the same roles do not count.
"""

from __future__ import annotations

import functools
import json
import threading
from pathlib import Path
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_EVALUATOR = "ministack.core.iam_evaluator"
_TASKS = "ministack.services.ecs._tasks"
NEEDS = (f"{_EVALUATOR}.caller_arn", f"{_EVALUATOR}.evaluate", "ministack.services.ecs._ACTION_MAP", _TASKS)

FILE = "permissions.json"


class Record:
    """Account and role to actions, in memory and in the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._sessions: dict[str, bool] = {}  # by name, which is the task's id
        self._used: dict[str, dict[str, list[str]]] = json.loads(file.read_text()) if file.exists() else {}

    def note(self, principal: str, *actions: str) -> None:
        account, role, session = parts_of(principal)
        if not role or not self._is_own_task(session):
            return
        with self._lock:
            known = self._used.setdefault(account, {}).setdefault(role, [])
            new = [action for action in actions if action not in known]
            if new:
                known[:] = sorted([*known, *new])
                self._write()

    def _is_own_task(self, session: str) -> bool:
        """Whether the session is that of a task, which has its task definition's own role."""
        if session not in self._sessions:
            tasks = (task for _, task in find(_TASKS).all_items() if task["taskArn"].endswith(f"/{session}"))
            task = next(tasks, None)
            self._sessions[session] = task is not None and not (task.get("overrides") or {}).get("taskRoleArn")
        return self._sessions[session]

    def _write(self) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(self._used, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(self._file)


def install(settings: Settings) -> None:
    evaluator, record = find(_EVALUATOR), Record(settings.state / FILE)
    evaluator.evaluate = _noting(evaluator.evaluate, record)
    actions = find("ministack.services.ecs._ACTION_MAP")
    actions["RunTask"] = _noting_launch(actions["RunTask"], record)


def parts_of(principal: str) -> tuple[str, str, str]:
    """Account, role and session's name of the ARN of a session; empty for anybody else."""
    parts = principal.split(":", 5)
    kind, _, name = parts[5].partition("/") if len(parts) == 6 else ("", "", "")
    role, _, session = name.partition("/")
    return (parts[4], role, session) if kind == "assumed-role" else ("", "", "")


def _noting(shipped: Any, record: Record) -> Any:  # noqa: ANN401 - the emulator's own function
    @functools.wraps(shipped)
    def evaluate(context: Any, *policies: Any) -> Any:  # noqa: ANN401
        result = shipped(context, *policies)
        if result.decision == "Allow":
            record.note(context.principal_arn, context.action)
        return result

    return evaluate


def _noting_launch(shipped: Any, record: Record) -> Any:  # noqa: ANN401 - the emulator's own function
    """A launch hands the task's roles over, and tags the task where tags are given."""

    @functools.wraps(shipped)
    def run_task(data: dict[str, Any]) -> Any:  # noqa: ANN401
        tagged = ["ecs:TagResource"] if data.get("tags") or data.get("propagateTags") else []
        record.note(find(f"{_EVALUATOR}.caller_arn")(), "iam:PassRole", *tagged)
        return shipped(data)

    return run_task
