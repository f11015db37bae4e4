# SPDX-License-Identifier: GPL-3.0-or-later
"""Which regional tables the organisation has to write, given what local authorities share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

REGIONAL_PREFIX = "regional/"
# How long a file that is listed and refused is left alone; what differs in the list is read at once.
RETRY_AFTER = timedelta(minutes=10)

_SHARED = re.compile(
    r"(?P<dataset>[a-z0-9_]{1,40})/(?P<year>\d{4})/(?P<table>[a-z0-9_]{1,40})/(?P<submission>[a-z0-9][a-z0-9-]{0,79})\.csv"
)
_MANIFEST = re.compile(
    rf"{REGIONAL_PREFIX}(?P<dataset>[a-z0-9_]{{1,40}})/(?P<year>\d{{4}})/(?P<table>[a-z0-9_]{{1,40}})\.json"
)


class RegionalTable(NamedTuple):
    dataset: str
    year: int
    table: str

    @property
    def prefix(self) -> str:
        return f"{self.dataset}/{self.year}/{self.table}/"

    def key(self, extension: str) -> str:
        return f"{REGIONAL_PREFIX}{self.dataset}/{self.year}/{self.table}.{extension}"


class SharedFile(NamedTuple):
    local_authority: str
    key: str
    etag: str


def table_of_shared_key(key: str) -> RegionalTable | None:
    found = _SHARED.fullmatch(key)
    return None if found is None else RegionalTable(found["dataset"], int(found["year"]), found["table"])


def table_of_manifest_key(key: str) -> RegionalTable | None:
    found = _MANIFEST.fullmatch(key)
    return None if found is None else RegionalTable(found["dataset"], int(found["year"]), found["table"])


def fingerprint(files: Iterable[SharedFile], closed: Iterable[str]) -> str:
    """Changes whenever a file comes, goes or changes, and when a local authority closes or opens its bucket."""
    state = [sorted(map(list, files)), sorted(closed)]
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def written_fingerprints(
    manifests: Mapping[RegionalTable, Mapping[str, Any]], now: datetime
) -> dict[RegionalTable, str]:
    """Each regional table with the fingerprint in its manifest, but for those that are due to be tried again."""
    return {
        table: manifest["fingerprint"]
        for table, manifest in manifests.items()
        if not manifest.get("retry_at") or datetime.fromisoformat(manifest["retry_at"]) > now
    }


def tables_to_write(
    shared: Iterable[SharedFile],
    closed: Mapping[str, Collection[str]],
    known: Iterable[RegionalTable],
    written: Mapping[RegionalTable, str],
) -> dict[RegionalTable, str]:
    """Tables whose content would differ from what was last written, with the fingerprint of what is there now.

    `closed` maps a dataset to the local authorities that are closed for it. `written` maps a table to the fingerprint
    with which it is up to date. A `known` table whose last file has gone is written once more, without rows: what is no
    longer shared must not stay.
    """
    files: dict[RegionalTable, list[SharedFile]] = {table: [] for table in known}
    for file in shared:
        table = table_of_shared_key(file.key)
        if table is not None:
            files.setdefault(table, []).append(file)
    now = {table: fingerprint(of_table, closed.get(table.dataset, ())) for table, of_table in files.items()}
    return {table: mark for table, mark in sorted(now.items()) if written.get(table) != mark}
