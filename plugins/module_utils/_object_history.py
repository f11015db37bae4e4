# SPDX-License-Identifier: GPL-3.0-or-later
"""What versions of objects say of a moment, and the least that has to be done to be there again. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple

from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

# One page of list_object_versions.
Page = dict[str, Any]


class Version(NamedTuple):
    """One version of an object; without an entity tag a delete marker."""

    id: str
    at: datetime
    is_latest: bool
    etag: str | None
    size: int


class Copy(NamedTuple):
    """A version that becomes the latest again; `is_same_size` where what is there now may be a copy of it already."""

    key: str
    version: str
    is_same_size: bool


@dataclass
class Plan:
    """`unmark`: keys with the delete markers to take away; `newer`: what came later than the moment and is there."""

    unmark: list[tuple[str, str]] = field(default_factory=list)
    restored_by_unmarking: int = 0
    copy: list[Copy] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    unchanged: int = 0


def moment(text: str, now: datetime) -> datetime:
    """As in `2026-11-21T10:15:00Z`, in whole seconds, by which S3 dates versions. RefusedError where it is not over."""
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise RefusedError(f"'{text}' is no moment. Write it in UTC, as in 2026-11-21T10:15:00Z.") from None
    if at > now:
        raise RefusedError(f"{text} is still to come. Give a moment that is over; it is {now:%Y-%m-%dT%H:%M:%SZ}.")
    return at


def shortest_memory(rules: Iterable[dict[str, Any]], prefixes: list[str], exclude: list[str]) -> int | None:
    """For how many days a bucket's lifecycle keeps versions of all that the prefixes name; None for ever."""
    days = [
        rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in rules
        if rule["Status"] == "Enabled"
        and "NoncurrentDays" in rule.get("NoncurrentVersionExpiration", {})
        and any(prefix.startswith(_scope(rule)) or _scope(rule).startswith(prefix) for prefix in prefixes)
        and not _scope(rule).startswith(tuple(exclude))
    ]
    return min(days, default=None)


def _scope(rule: dict[str, Any]) -> str:
    chosen = rule.get("Filter", rule)
    prefix: str = chosen.get("And", chosen).get("Prefix", "")
    return prefix


def histories(pages: Iterable[Page]) -> dict[str, list[Version]]:
    """Of each key its versions, the latest first. S3 dates them by the second and lists each kind in order."""
    found: dict[str, list[Version]] = defaultdict(list)
    for page in pages:
        for entry in chain(page.get("Versions", []), page.get("DeleteMarkers", [])):
            version = Version(
                entry["VersionId"], entry["LastModified"], entry["IsLatest"], entry.get("ETag"), entry.get("Size", 0)
            )
            found[entry["Key"]].append(version)
    for versions in found.values():
        # What was deleted in the second in which it was written is gone.
        versions.sort(key=lambda version: (version.is_latest, version.at, version.etag is None), reverse=True)
    return found


def plan(found: dict[str, list[Version]], at: datetime) -> Plan:
    """What has to be done so that each key has the object again that it had at the moment."""
    todo = Plan()
    for key, versions in found.items():
        later = [version for version in versions if version.at > at]
        then = versions[len(later)] if len(later) < len(versions) else None
        latest = versions[0]
        if then is None or then.etag is None:
            if latest.etag is None:
                todo.unchanged += 1
            else:
                todo.newer.append(key)
        elif not later or _is_same(latest, then):
            todo.unchanged += 1
        elif all(version.etag is None for version in later):
            todo.unmark += [(key, version.id) for version in later]
            todo.restored_by_unmarking += 1
        else:
            is_same_size = latest.etag is not None and latest.size == then.size
            todo.copy.append(Copy(key, then.id, is_same_size))
    return todo


def _is_same(latest: Version, then: Version) -> bool:
    return latest.etag == then.etag and latest.size == then.size
