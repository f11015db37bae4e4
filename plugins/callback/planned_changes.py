# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback `planned_changes`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: planned_changes
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
type: aggregate
short_description: Keeps what a rehearsal foresees
description:
  - In a run with C(--check) it keeps, for each stack that a task looks at, what the stack's change set says, and for
    every other task that would change something, what and where.
    P(localgov.platform.planned_changes#lookup) hands that to the tasks that follow. It prints nothing, and does
    nothing in any other run.
requirements:
  - To be named in C(callbacks_enabled) of C(ansible.cfg), or in E(ANSIBLE_CALLBACKS_ENABLED).
seealso:
  - plugin: localgov.platform.planned_changes
    plugin_type: lookup
"""

from ansible import context
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook import Playbook
from ansible.plugins.callback import CallbackBase
from ansible_collections.localgov.platform.plugins.plugin_utils import _planned_changes


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no type stubs
    """Listens to what tasks return."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "localgov.platform.planned_changes"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        _planned_changes.listening = bool(context.CLIARGS.get("check"))

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        # Of a loop, each item has been told of before.
        if not _is_loop(result):
            _keep(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        _keep(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        if not _is_loop(result):
            _keep_unseen(result)

    def v2_runner_item_on_skipped(self, result: CallbackTaskResult) -> None:
        _keep_unseen(result)


def _is_loop(result: CallbackTaskResult) -> bool:
    return bool(result.task.loop or result.task.loop_with)


def _account(result: CallbackTaskResult) -> str:
    return str(result.task_fields.get("delegate_to") or result.host.get_name())


def _task(result: CallbackTaskResult) -> str:
    return str(result.task_fields.get("name") or result.task.get_name())


def _keep(result: CallbackTaskResult) -> None:
    if not _planned_changes.listening:
        return
    action = str(result.task.resolved_action or result.task.action)
    if found := _planned_changes.planned(_account(result), _task(result), action, result.result):
        _planned_changes.changes.append(found)


def _keep_unseen(result: CallbackTaskResult) -> None:
    if _planned_changes.listening and "does not support check mode" in str(result.result.get("msg") or ""):
        _planned_changes.unseen.append({"account": _account(result), "task": _task(result)})
