# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures whose name tells the workflow what to do and whose text repeats nothing of a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Handler = Callable[[dict[str, Any], object], dict[str, Any]]

_PASSING = {"InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException"}


class Unavailable(Exception):  # noqa: N818 - the workflow retries what is called so
    """May work a moment later."""


class Refused(Exception):  # noqa: N818 - the workflow does not retry what is called so
    """Will not work a moment later either."""


def quietly(handler: Handler) -> Handler:
    """*handler*, whose failures are Unavailable or Refused: what Python says of others may quote what was read."""

    def handle(event: dict[str, Any], context: object) -> dict[str, Any]:
        try:
            return handler(event, context)
        except Exception as reason:
            raise named(reason) from None

    return handle


def named(reason: Exception) -> Exception:
    """By the code that AWS gave, or by the kind of the failure."""
    if isinstance(reason, (Unavailable, Refused)):
        return reason
    if isinstance(reason, OSError):
        return Unavailable(f"the file system answers {type(reason).__name__}, error {reason.errno}")
    response = getattr(reason, "response", None)
    if not isinstance(response, dict):
        passing = type(reason).__module__.startswith(("botocore", "urllib3"))
        return (Unavailable if passing else Refused)(type(reason).__name__)
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    what = f"{getattr(reason, 'operation_name', 'a call')} answers {code}"
    return (Unavailable if code in _PASSING or status >= 500 else Refused)(what)
