# SPDX-License-Identifier: GPL-3.0-or-later
"""What a message of the queue says, and what is remembered from one look at the queue to the next."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_REQUEST = re.compile(r"[A-Za-z0-9-]{1,64}")


class NotUnderstoodError(ValueError):
    """A message that says nothing about an object of this bucket. It quotes nothing of the message."""


class Announcement(NamedTuple):
    """That a version of an object is there. `requested` names the request to work on it again, if it is one."""

    key: str
    version_id: str
    requested: str = ""


def understood(body: str, bucket: str) -> Announcement:
    """What S3 says by EventBridge, where keys are not encoded; or who asks for a run, by the same with `requested`."""
    try:
        detail = json.loads(body)["detail"]
        named, key, version = detail["bucket"]["name"], detail["object"]["key"], detail["object"]["version-id"]
        requested = detail.get("requested", "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotUnderstoodError(f"no event of an object: {type(error).__name__}") from None
    if not all(isinstance(text, str) for text in (named, key, version, requested)):
        raise NotUnderstoodError("an event with something else where text should be")
    if named != bucket:
        raise NotUnderstoodError("an event of another bucket")
    if requested and not _REQUEST.fullmatch(requested):
        raise NotUnderstoodError("a request with a name that cannot be one")
    return Announcement(key, version, requested)


class Memory(NamedTuple):
    """`handles` are receipts of messages whose runs Dagster has by the next tick. `listed_at` is POSIX time."""

    handles: tuple[str, ...] = ()
    listed_at: float = 0.0
    listing: str | None = None

    @classmethod
    def of(cls, cursor: str | None) -> Memory:
        said: dict[str, Any] = json.loads(cursor) if cursor else {}
        return cls(tuple(said.get("handles", ())), said.get("listed_at", 0.0), said.get("listing"))

    def cursor(self) -> str:
        return json.dumps(self._asdict())
