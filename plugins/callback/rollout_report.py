# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback `rollout_report`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rollout_report
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
type: aggregate
short_description: Says what a rollout did in each account
description:
  - At the end of a run that deployed stacks, or began to, it prints a line for each account - its outcome, the stacks
    that it changed, changes and seconds - and for each one that failed the task and AWS's own reason for the first
    resource that failed.
  - The same is written to C(<playbook>.json) and, as a page that needs nothing else, to C(<playbook>.html).
  - Accounts that are not done are listed in C(<playbook>.retry), for C(--limit @<playbook>.retry). Ansible's own
    retry files lack those that the rollout did not come to, and are announced in the middle of output that is JSON.
  - Nothing is printed where the output is JSON (C(stdout_callback)).
  - An account is done when each play that it is one of the hosts of was brought to its end for it, and unfinished when
    not, also where its turn never came. A play whose variable C(rollout_report) is false does not count.
  - Its part of a play is at its end, whatever becomes of others, when it gives its lock back or a task is well whose
    variable C(rollout_report_done) is true.
  - When the run ends, also by Ctrl-C, it gives back the locks of M(localgov.platform.deployment_lock) that are left.
  - A run that neither locks an account nor comes to a stack leaves no report, and neither does a rehearsal, nor a play
    whose variable C(rollout_report) is false.
requirements:
  - To be named in C(callbacks_enabled) of C(ansible.cfg), or in E(ANSIBLE_CALLBACKS_ENABLED).
options:
  folder:
    description: Where the files are written; it is made if need be.
    type: path
    default: ./build/rollout
    env:
      - name: LOCALGOV_ROLLOUT_REPORT_FOLDER
    ini:
      - section: callback_rollout_report
        key: folder
"""

import atexit
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.inventory.host import Host
from ansible.playbook import Playbook
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible_collections.localgov.platform.plugins.plugin_utils._rollout_report import Rollout
from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import give_locks_back
from ansible_collections.localgov.platform.plugins.plugin_utils._tables import aligned, printable
from jinja2 import Environment, FileSystemLoader

# By these a run is known for a rollout.
_LOCK = "localgov.platform.deployment_lock"
_ACTIONS = ("amazon.aws.cloudformation", _LOCK)
_TEMPLATES = Path(__file__).resolve().parents[2] / "playbooks" / "templates"
_COLUMNS = {
    "name": "Account",
    "outcome": "Outcome",
    "changed": "Stacks changed",
    "changes": "Changes",
    "seconds": "Seconds",
}


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no type stubs
    """Its methods are called in the process that is the run, one after the other."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "localgov.platform.rollout_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._rollout = Rollout()
        self._plays: list[Play] = []
        self._batch: tuple[Play, list[str]] | None = None
        self._deploys = False
        self._playbook = ""
        self._began = time.time()

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        # Not when the statistics are told, to which an interrupted run does not come.
        atexit.register(give_locks_back, Path(constants.DEFAULT_LOCAL_TMP))
        self._playbook = Path(playbook._file_name).stem
        self._plays = playbook.get_plays()

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Of a play in batches it is told for each batch."""
        self._finish_batch()
        self._batch = play, _hosts(play)

    def v2_runner_on_start(self, host: Host, task: Task) -> None:
        self._deploys = self._deploys or (task.action in _ACTIONS and _is_told(task.play))
        self._rollout.begin(host.get_name(), task._uuid, time.monotonic())

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._end(result)
        # Its part ends by this. When too many others of its batch have failed, Ansible takes it for failed after that.
        if self._batch and _is_last(result) and not self._rollout.has_failed(result.host.get_name()):
            self._rollout.finish(self._batch[0]._uuid, [result.host.get_name()])

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        self._end(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        self._end(result)
        if not ignore_errors:
            self._rollout.fail(result.host.get_name(), result.task.get_name(), result.task.action, result.result)

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._end(result)
        name = result.task.get_name()
        self._rollout.fail(result.host.get_name(), name, result.task.action, result.result, reached=False)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        if context.CLIARGS.get("check") or not self._deploys:
            return
        self._finish_batch()
        self._rollout.close(self._expected(), {*stats.failures, *stats.dark})
        ended = time.time()
        report = self._rollout.report(
            playbook=self._playbook,
            started=_moment(self._began),
            ended=_moment(ended),
            seconds=round(ended - self._began, 1),
        )
        self._write(report)
        if not str(constants.DEFAULT_STDOUT_CALLBACK).endswith(("json", "jsonl")):
            self._print(report)

    def _finish_batch(self) -> None:
        """Ansible removes from a play whom it does not bring to its end, whether for their own failure or others'."""
        if self._batch:
            play, hosts = self._batch
            self._rollout.finish(play._uuid, [host for host in hosts if host not in play._removed_hosts])

    def _expected(self) -> dict[str, list[str]]:
        """The hosts of each play, also of those that never began, by the inventory as it has become."""
        expected = {}
        for play in filter(_is_told, self._plays):
            # Whom a play is about may follow from a play before it, which never began either.
            with suppress(AnsibleError):
                expected[play._uuid] = _hosts(play, ignore_restrictions=True)
        return expected

    def _end(self, result: CallbackTaskResult) -> None:
        task = result.task
        self._rollout.end(result.host.get_name(), task._uuid, task.action, result.result, time.monotonic())

    def _file(self, ending: str) -> Path:
        return Path(self.get_option("folder")) / f"{self._playbook}.{ending}"

    def _write(self, report: dict[str, Any]) -> None:
        pages = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True)
        try:
            self._file("json").parent.mkdir(parents=True, exist_ok=True)
            self._file("json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            self._write_retry_file(report)
            self._file("html").write_text(pages.get_template("rollout_report.html.j2").render(report), encoding="utf-8")
        except OSError as reason:
            self._display.warning(f"The rollout's report cannot be written to {self.get_option('folder')}: {reason}.")

    def _write_retry_file(self, report: dict[str, Any]) -> None:
        unfinished = _unfinished(report)
        if unfinished:
            self._file("retry").write_text("\n".join(unfinished) + "\n", encoding="utf-8")
        else:
            self._file("retry").unlink(missing_ok=True)

    def _print(self, report: dict[str, Any]) -> None:
        self._display.banner("ROLLOUT REPORT")
        for line in aligned(map(_row, report["accounts"]), _COLUMNS):
            self._display.display(line)
        for account in report["accounts"]:
            if account["failure"]:
                said = "\n  ".join(map(printable, account["failure"]["reason"].splitlines()))
                self._display.display(f"\n{account['name']}: {printable(account['failure']['task'])}\n  {said}")
        if unfinished := _unfinished(report):
            self._display.display(
                f"\nOnce it is mended, run again {', '.join(unfinished)}: --limit @{self._file('retry')}"
            )
        self._display.display(f"\nThe page: {self._file('html')}\n")


def _hosts(play: Play, *, ignore_restrictions: bool = False) -> list[str]:
    """The hosts of a play under the limit; of its batch alone, which is a restriction, where one is being worked on."""
    variables = play.get_variable_manager()
    pattern = Templar(loader=play.get_loader(), variables=variables.get_vars(play=play)).template(play.hosts)
    found = variables._inventory.get_hosts(pattern, ignore_restrictions=ignore_restrictions)
    return [host.get_name() for host in found]


def _is_told(play: Play) -> bool:
    return bool(play.get_vars().get("rollout_report", True))


def _is_last(result: CallbackTaskResult) -> bool:
    """Whether an account's part of the play has come to its end by this task."""
    arguments = (result.result.get("invocation") or {}).get("module_args") or {}
    unlocks = result.task.action == _LOCK and arguments.get("state") == "released"
    return unlocks or bool(result.task.vars.get("rollout_report_done"))


def _unfinished(report: dict[str, Any]) -> list[str]:
    return [account["name"] for account in report["accounts"] if account["outcome"] != "done"]


def _row(account: dict[str, Any]) -> dict[str, Any]:
    changed = sum(stack["outcome"] in ("changed", "removed") for stack in account["stacks"])
    return {**account, "changed": changed}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
