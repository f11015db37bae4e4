# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of container definitions."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from sandbox.runtime.containers import MARK, Container

HEALTHY, UNHEALTHY, UNKNOWN = "HEALTHY", "UNHEALTHY", "UNKNOWN"

# Until it answers for the first time a container is asked more often, so that nobody waits long for a quick start.
_FIRST_INTERVALS = (2.0, 15.0)  # at least, at most
_SOONER = 10


@dataclass(frozen=True)
class Check:
    """A health check, times in seconds; the defaults are those of ECS."""

    command: list[str]
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0


def watch(container: Container, check: Check, report: Callable[[str], None]) -> None:
    """Ask in the background for as long as the container runs; *report* each change of status."""
    threading.Thread(
        target=_watch, args=(container, check, report), name=f"sandbox-health-{container.short_id}", daemon=True
    ).start()


def _watch(container: Container, check: Check, report: Callable[[str], None]) -> None:
    status, failures = UNKNOWN, 0
    # What an unanswering container may take before it counts as unhealthy.
    patience = time.monotonic() + check.start_period + check.retries * check.interval
    ended = threading.Event()
    container.on_end(ended.set)
    while container.status == "running":
        least, most = _FIRST_INTERVALS
        sooner = min(check.interval, most, max(least, check.interval / _SOONER))
        if ended.wait(sooner if status == UNKNOWN else check.interval):
            return
        failures = 0 if _is_healthy(container, check) else failures + 1
        if not failures:
            wanted = HEALTHY
        elif (status == UNKNOWN and time.monotonic() < patience) or failures < check.retries:
            wanted = status
        else:
            wanted = UNHEALTHY
        if wanted != status and container.status == "running":
            status = wanted
            report(status)


def _is_healthy(container: Container, check: Check) -> bool:
    launch = container.launch
    try:
        process = subprocess.Popen(
            check.command,
            env={**launch.environment, MARK: f"{container.state}:{container.id}"},
            cwd=launch.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return process.wait(check.timeout) == 0
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
