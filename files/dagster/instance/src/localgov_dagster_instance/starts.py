# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that will never begin: their task ended on its way, or the daemon was killed before it had one.

Dagster's own monitoring looks at the tasks of runs that have begun. The others would keep their place among the runs of
the account for the whole `start_timeout_seconds`, which has to be long enough for an image to be pulled.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import time
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster._daemon.controller import create_daemons_from_instance
from dagster._daemon.daemon import DaemonIterator, DagsterDaemon, IntervalDaemon

# What Dagster's daemons are given: the instance, and a workspace of whatever kind.
_Given = IWorkspaceProcessContext[Any]
# To ask ECS for a task takes seconds, with all attempts.
_LAUNCH_SECONDS = 60
_NEVER_BEGAN = "Its task ended before the run began, or was never there."


class StartsDaemon(IntervalDaemon[_Given]):
    """Fails such runs, so that they are tried again."""

    @classmethod
    def daemon_type(cls) -> str:
        return "STARTS"

    def run_iteration(self, workspace_process_context: _Given) -> DaemonIterator:
        instance = workspace_process_context.instance
        for record in instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.STARTING])):
            yield None
            if never_begins(instance, record):
                instance.report_run_failed(record.dagster_run, _NEVER_BEGAN)


def never_begins(instance: DagsterInstance, record: RunRecord) -> bool:
    run = record.dagster_run
    health = instance.run_launcher.check_run_worker_health(run).status
    if health == WorkerStatus.RUNNING:
        return False
    if health == WorkerStatus.UNKNOWN and time() - record.update_timestamp.timestamp() < _LAUNCH_SECONDS:
        return False
    # One whose task ended may have begun, and ended as well, since it was listed.
    now = instance.get_run_by_id(run.run_id)
    return now is not None and now.status == DagsterRunStatus.STARTING


def daemons(instance: DagsterInstance) -> Iterable[DagsterDaemon[_Given]]:
    """Dagster's own, and this one."""
    return [*create_daemons_from_instance(instance), StartsDaemon(instance.run_monitoring_poll_interval_seconds)]
