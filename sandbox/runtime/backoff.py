# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a service waits before it starts a task again after one that failed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

FIRST, LONGEST = 1.0, 60.0  # seconds

# A task that ran this long was healthy: its end starts the count anew.
HEALTHY_AFTER = 60.0


@dataclass
class _Failures:
    deployment: str
    count: int
    not_before: float  # monotonic clock


class BackOff:
    """Failures in a row, by service. A new deployment starts without a past."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, ...], _Failures] = {}
        self._lock = threading.Lock()

    def failed(self, service: tuple[str, ...], deployment: str, ran: float) -> float:
        """Note that a task failed after running *ran* seconds. Seconds until the next may start."""
        with self._lock:
            known = self._failures.get(service)
            count = 1 if known is None or known.deployment != deployment or ran >= HEALTHY_AFTER else known.count + 1
            delay: float = min(LONGEST, FIRST * 2 ** min(count - 1, 16))
            self._failures[service] = _Failures(deployment, count, time.monotonic() + delay)
            return delay

    def remaining(self, service: tuple[str, ...], deployment: str) -> float:
        """Seconds until the service may start a task; 0 when it may now."""
        with self._lock:
            known = self._failures.get(service)
            if known is None or known.deployment != deployment:
                return 0.0
            return max(0.0, known.not_before - time.monotonic())
