# SPDX-License-Identifier: GPL-3.0-or-later
"""Dagster's daemon, with connections to the database that it keeps.

`dagster-daemon run` opens one for each query, also when there is nothing to do. Most of what an idle account costs is
then the making of them, TLS and login included, here and in the database.
"""

from __future__ import annotations

import argparse
import os
from contextlib import suppress

from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import daemon_controller_from_instance
from dagster._utils.interrupts import capture_interrupts

# Each of Dagster's three storages keeps one connection, and makes it anew after this time.
_RECYCLE_SECONDS = 600
# So many more may be open while they are used.
_MORE_CONNECTIONS = 20
_NO_STATEMENT_TIMEOUT = 0


def run(workspaces: list[str]) -> None:
    """As `dagster-daemon run`, until the signal to stop."""
    with capture_interrupts(), DagsterInstance.get() as instance:
        # Named after the webserver, which alone has Dagster's settings for it.
        instance.optimize_for_webserver(
            statement_timeout=_NO_STATEMENT_TIMEOUT, pool_recycle=_RECYCLE_SECONDS, max_overflow=_MORE_CONNECTIONS
        )
        with daemon_controller_from_instance(
            instance,
            workspace_load_target=WorkspaceFileTarget(paths=workspaces),
            heartbeat_tolerance_seconds=int(os.environ["DAGSTER_DAEMON_HEARTBEAT_TOLERANCE"]),
        ) as controller:
            controller.check_daemon_loop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="localgov_dagster_instance.daemon")
    parser.add_argument("--workspace", action="append", required=True)
    with suppress(KeyboardInterrupt):
        run(parser.parse_args().workspace)
