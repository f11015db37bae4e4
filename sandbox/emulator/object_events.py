# SPDX-License-Identifier: GPL-3.0-or-later
"""S3's events on EventBridge name the object's version, which ministack leaves out of them."""

from __future__ import annotations

import functools
import json
from contextvars import ContextVar
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.services.eventbridge._dispatch_event",
    "ministack.services.s3._fire_s3_event",
)

_version: ContextVar[str | None] = ContextVar("version", default=None)


def install(settings: Settings) -> None:
    del settings
    _remember_version()
    _tell_version()


def _remember_version() -> None:
    s3 = find("ministack.services.s3")
    shipped = s3._fire_s3_event

    @functools.wraps(shipped)
    def fire(*arguments: Any, version_id: str | None = None, **more: Any) -> None:  # noqa: ANN401
        token = _version.set(version_id)
        try:
            shipped(*arguments, version_id=version_id, **more)
        finally:
            _version.reset(token)

    s3._fire_s3_event = fire


def _tell_version() -> None:
    events = find("ministack.services.eventbridge")
    shipped = events._dispatch_event

    @functools.wraps(shipped)
    def dispatch(event: dict[str, Any], *rest: Any) -> Any:  # noqa: ANN401
        version = _version.get()
        if version and event.get("Source") == "aws.s3":
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        return shipped(event, *rest)

    events._dispatch_event = dispatch
