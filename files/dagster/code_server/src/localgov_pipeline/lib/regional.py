# SPDX-License-Identifier: GPL-3.0-or-later
"""What the organisation has taken over from whom, and of which local authorities it has to look again.

One group of files is one dataset, profile and year. The state of a group stands in its manifest in the organisation's
own bucket, so that a tick compares names and entity tags alone, and a run touches what has changed and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from localgov_pipeline.lib.manifests import ManifestName, in_utc

REGIONAL_PREFIX = "regional/"
# How long a file that is listed and refused is left alone; what differs in the list is read at once.
RETRY_AFTER = timedelta(minutes=10)
KEEP_PUBLISHED = "keep_published"

_NAME = r"(?P<dataset>[a-z0-9_]{1,40})/(?P<profile>[a-z0-9_]{1,40})/(?P<year>\d{4})/manifest\.json"
_MEMBERS = re.compile(_NAME)
_OWN = re.compile(rf"{REGIONAL_PREFIX}{_NAME}")


def group_of_manifest(key: str) -> ManifestName | None:
    """The group of a manifest in a local authority's shared bucket."""
    return _group(_MEMBERS, key)


def group_of_state(key: str) -> ManifestName | None:
    """The group of a manifest in the organisation's own bucket."""
    return _group(_OWN, key)


def _group(pattern: re.Pattern[str], key: str) -> ManifestName | None:
    found = pattern.fullmatch(key)
    return None if found is None else ManifestName(found["dataset"], found["profile"], int(found["year"]))


def state_key(group: ManifestName) -> str:
    return f"{REGIONAL_PREFIX}{group.key}"


def table_key(group: ManifestName, table: str, extension: str) -> str:
    return f"{REGIONAL_PREFIX}{group.prefix}{table}.{extension}"


def summary_key(group: ManifestName) -> str:
    return f"{REGIONAL_PREFIX}{group.prefix}summary.csv"


def part_key(group: ManifestName, table: str, local_authority: str, submission: str) -> str:
    """In folders that Hive, polars, DuckDB and Athena take for columns."""
    folder = f"{REGIONAL_PREFIX}{group.prefix}{table}/local_authority={local_authority}"
    return f"{folder}/{submission}.parquet"


class Part(NamedTuple):
    """One table of one local authority, as taken over."""

    submission: str
    rows: int
    sha256: str


class Member(NamedTuple):
    """What is known of one local authority in one group.

    `etag` is of the manifest that was taken over, None where there was none. `reason` says why something is left out.
    An authority that has closed its bucket is not `is_open`; its parts are then those that it left by agreement.
    """

    is_open: bool
    etag: str | None
    parts: Mapping[str, Part]
    reason: str | None = None


class State(NamedTuple):
    """`combined` maps a table to the digest of the combined file that these members' parts make up. `shape` is that
    of the tables over all years (`all_years.shape`) of which the year's part was written."""

    members: Mapping[str, Member]
    combined: Mapping[str, str]
    finished_at: str = "never"
    retry_at: str | None = None
    shape: str = ""


EMPTY = State({}, {})


def state_json(group: ManifestName, state: State) -> bytes:
    document = {
        **group._asdict(),
        "finished_at": state.finished_at,
        "retry_at": state.retry_at,
        "shape": state.shape,
        "combined": dict(state.combined),
        "members": {
            name: {**member._asdict(), "parts": {table: part._asdict() for table, part in member.parts.items()}}
            for name, member in sorted(state.members.items())
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def read_state(content: bytes) -> State:
    document = json.loads(content)
    members = {name: _member(found) for name, found in document["members"].items()}
    # States of before there were tables over all years have no shape.
    shape = document.get("shape", "")
    return State(members, document["combined"], document["finished_at"], document["retry_at"], shape)


def _member(found: Mapping[str, Any]) -> Member:
    parts = {table: Part(**part) for table, part in found["parts"].items()}
    return Member(found["is_open"], found["etag"], parts, found["reason"])


class Look(NamedTuple):
    """What a listing says of one local authority in one group."""

    kind: Literal["manifest", "nothing", "closed", "unreachable"]
    etag: str | None = None


def changed_members(state: State, looks: Mapping[str, Look], now: datetime, agreements: Mapping[str, str]) -> list[str]:
    """Local authorities of which something else is to be taken over than what the state says.

    One that is no longer in the inventory counts as closed. What a closed one left by agreement goes when the agreement
    ends. One that cannot be reached stays as it is.
    """
    is_due = state.retry_at is not None and state.retry_at <= in_utc(now)
    gone = {name: Look("closed") for name in state.members if name not in looks}
    return sorted(
        name
        for name, look in {**looks, **gone}.items()
        if _differs(state.members.get(name), look, kept=keeps_published(agreements, name))
        or (is_due and _is_to_be_retried(state.members.get(name)))
    )


def _differs(member: Member | None, look: Look, *, kept: bool) -> bool:
    if look.kind == "unreachable":
        return False
    if member is None:
        return look.kind != "nothing"
    if look.kind == "closed":
        return member.is_open or (bool(member.parts) and not kept)
    # What is refused when it is read looks open to whoever lists it: it is tried again in its own time.
    return member.etag != look.etag


def _is_to_be_retried(member: Member | None) -> bool:
    return member is not None and member.reason is not None


def digest_of(looks: Mapping[str, Look], names: Iterable[str]) -> str:
    """Changes whenever what is to be taken over changes."""
    seen = [[name, *looks.get(name, Look("closed"))] for name in names]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:32]


def keeps_published(agreements: Mapping[str, str], local_authority: str) -> bool:
    return agreements.get(local_authority) == KEEP_PUBLISHED


def changed_tables(before: State, after: Mapping[str, Member]) -> list[str]:
    """Tables of which some local authority's part is another now."""
    names = {*before.members, *after}
    nobody = Member(True, None, {})

    def parts(members: Mapping[str, Member], name: str) -> Mapping[str, Part]:
        return members.get(name, nobody).parts

    return sorted(
        {
            table
            for name in names
            for table in {*parts(before.members, name), *parts(after, name)}
            if parts(before.members, name).get(table) != parts(after, name).get(table)
        }
    )


def part_keys(group: ManifestName, members: Mapping[str, Member]) -> set[str]:
    return {
        part_key(group, table, name, part.submission)
        for name, member in members.items()
        for table, part in member.parts.items()
    }


def authorities_of_table(members: Mapping[str, Member], table: str) -> dict[str, Part]:
    return {name: member.parts[table] for name, member in sorted(members.items()) if table in member.parts}


def table_json(
    group: ManifestName, table: str, members: Mapping[str, Member], finished_at: str, retry_at: str | None
) -> bytes:
    """How many rows of a combined table come from which submission of whom, and who is left out and why."""
    parts = authorities_of_table(members, table)
    document = {
        **group._asdict(),
        "table": table,
        "finished_at": finished_at,
        "retry_at": retry_at,
        "rows": {name: part.rows for name, part in parts.items()},
        "submissions": {name: part.submission for name, part in parts.items()},
        "skipped": skipped(members),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def skipped(members: Mapping[str, Member]) -> list[dict[str, str]]:
    return [
        {"local_authority": name, "reason": member.reason}
        for name, member in sorted(members.items())
        if member.reason is not None
    ]
