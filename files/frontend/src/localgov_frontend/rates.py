# SPDX-License-Identifier: GPL-3.0-or-later
"""How many uploads a person, and an address, may begin. Each task of the service counts for itself."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from localgov_frontend.sign_in import visit


class Rates:
    def __init__(self, per_person: RateLimitItem, per_address: RateLimitItem) -> None:
        self._limits = {"person": per_person, "address": per_address}
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def begin(self, person: str | None, address: str) -> int | None:
        """Count one more upload, or say in how many seconds there may be one."""
        counted = [
            (self._limits[kind], kind, name) for kind, name in (("person", person), ("address", address)) if name
        ]
        full = [entry for entry in counted if not self._limiter.test(*entry)]
        if full:
            free_at = max(self._limiter.get_window_stats(*entry).reset_time for entry in full)
            return max(1, math.ceil(free_at - time.time()))
        for entry in counted:
            self._limiter.hit(*entry)
        return None


def person(request: Request) -> str | None:
    """Who is signed in. Where nobody signs in nobody is known, and addresses alone are counted."""
    session = visit(request).session
    return session.subject if session else None


def address(request: Request, *, behind_balancer: bool) -> str:
    """Where the request comes from. A balancer adds to whatever the sender claimed: its own word is the last."""
    claimed = request.headers.get("x-forwarded-for", "") if behind_balancer else ""
    return claimed.rpartition(",")[2].strip() or (request.client.host if request.client else "")
