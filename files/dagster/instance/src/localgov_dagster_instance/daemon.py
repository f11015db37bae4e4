# SPDX-License-Identifier: GPL-3.0-or-later
"""Dagster's daemon, with connections to the database that it keeps, and with an eye on runs that never begin.

`dagster-daemon run` opens one for each query, also when there is nothing to do. Most of what an idle account costs is
then the making of them, TLS and login included, here and in the database.

That all its parts live it writes down beside it, so that a health check need not load Dagster to read their heartbeats.
"""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dagster import DagsterInstance
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import all_daemons_live, daemon_controller_from_instance
from dagster._utils.interrupts import capture_interrupts

from localgov_dagster_instance import liveness, schema
from localgov_dagster_instance.starts import daemons

# Each of Dagster's three storages keeps one connection, and makes it anew after this time.
_RECYCLE_SECONDS = 600
# So many more may be open while they are used.
_MORE_CONNECTIONS = 20
_NO_STATEMENT_TIMEOUT = 0
_FIRST_LOOKS_SECONDS = 2


def run(workspaces: list[str]) -> None:
    """As `dagster-daemon run`, until the signal to stop."""
    with capture_interrupts(), DagsterInstance.get() as instance:
        # Named after the webserver, which alone has Dagster's settings for it.
        instance.optimize_for_webserver(
            statement_timeout=_NO_STATEMENT_TIMEOUT, pool_recycle=_RECYCLE_SECONDS, max_overflow=_MORE_CONNECTIONS
        )
        schema.tell(instance)
        tolerance = int(os.environ["DAGSTER_DAEMON_HEARTBEAT_TOLERANCE"])
        with (
            daemon_controller_from_instance(
                instance,
                workspace_load_target=WorkspaceFileTarget(paths=workspaces),
                heartbeat_tolerance_seconds=tolerance,
                gen_daemons=daemons,
            ) as controller,
            _told_to_live(instance, tolerance),
        ):
            controller.check_daemon_loop()


@contextmanager
def _told_to_live(instance: DagsterInstance, tolerance: int) -> Iterator[None]:
    liveness.forget()
    ended = threading.Event()

    def tell() -> None:
        pause = _FIRST_LOOKS_SECONDS
        while not ended.wait(pause):
            # Where the database is away for longer than a moment, what was told last grows old.
            with suppress(Exception):
                if all_daemons_live(instance, heartbeat_tolerance_seconds=tolerance):
                    liveness.tell()
                    pause = liveness.LOOKS_SECONDS

    threading.Thread(target=tell, name="liveness", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="localgov_dagster_instance.daemon")
    parser.add_argument("--workspace", action="append", required=True)
    with suppress(KeyboardInterrupt):
        run(parser.parse_args().workspace)
