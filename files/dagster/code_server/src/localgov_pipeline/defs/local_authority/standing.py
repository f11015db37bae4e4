# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shared now follows from the reports, and manifests are brought into line with it, by whoever comes last.

Runs do not wait for each other. Each writes its report, then the manifests that follow from all reports, and looks
whether others came meanwhile; so in whichever order they end, the last one to look has seen every report. A file is
removed only when its submission has a report and no manifest names it, and never before the manifest is switched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from localgov_pipeline.defs.storage import JSON, Storage
from localgov_pipeline.lib import manifests
from localgov_pipeline.lib.declarations import UnknownDatasetError, declared, retention_of
from localgov_pipeline.lib.submissions import (
    DatasetYear,
    submission_of_report,
    submission_of_shared,
    submission_of_withdrawal,
)

# Of a report, what later decisions need.
_KEPT = (
    "submission", "state", "uploaded_at", "sha256", "tables", "shared", "schema_version", "code_version", "version_id",
    "duplicate_of",
)  # fmt: skip


class Listed(NamedTuple):
    """`reports`: key to entity tag; `written`: submission to when its report was written. `withdrawn`: submissions that
    somebody has asked to withdraw."""

    reports: dict[str, str]
    written: dict[str, datetime]
    withdrawn: frozenset[str]


class Standing(NamedTuple):
    """What is known of all submissions of one dataset and year."""

    reports: dict[str, dict[str, Any]]
    current: Mapping[str, Mapping[str, Any]]
    # Profile to what its manifest has to be.
    manifests: Mapping[str, bytes]


def standing(storage: Storage, where: DatasetYear) -> Standing:
    """As it is; nothing is changed."""
    listed = _listed(storage, where)
    return _standing(where, listed, _read(storage, listed, _index(storage, where)))


def settle(storage: Storage, where: DatasetYear) -> Standing:
    """Bring the manifests, and the files beside them, into line with the reports."""
    known = _index(storage, where)
    seen: Listed | None = None
    while (listed := _listed(storage, where)) != seen:
        known = _read(storage, listed, known)
        found = _standing(where, listed, known)
        _switch(storage, where, found)
        seen = listed
    _remove_what_is_not_named(storage, where, found, listed.written)
    _write_index(storage, where, found, known)
    return found


def _write_index(storage: Storage, where: DatasetYear, found: Standing, known: Mapping[str, dict[str, Any]]) -> None:
    """Of nothing there is none: it goes with the last report."""
    if not known:
        storage.erase(storage.data_store, where.index_key, where.index_key.__eq__)
        return
    current = {table: report["submission"] for table, report in found.current.items()}
    index = {"current": current, "reports": known}
    storage.put(storage.data_store, where.index_key, json.dumps(index).encode(), JSON)


def _listed(storage: Storage, where: DatasetYear) -> Listed:
    results = storage.objects(storage.data_store, where.results_prefix)
    asked = storage.objects(storage.data_store, where.withdrawals_prefix)
    withdrawn = (submission_of_withdrawal(entry.key) for entry in asked)
    reports = [(found.submission, entry) for entry in results if (found := submission_of_report(entry.key)) is not None]
    return Listed(
        {entry.key: entry.etag for _, entry in reports},
        {submission: entry.last_modified for submission, entry in reports},
        frozenset(submission.submission for submission in withdrawn if submission is not None),
    )


def _index(storage: Storage, where: DatasetYear) -> dict[str, dict[str, Any]]:
    """What the last run knew: a report is read once, whatever the number of those that come after it."""
    if not storage.has(storage.data_store, where.index_key):
        return {}
    fetched = storage.fetch(storage.data_store, where.index_key)
    known: dict[str, dict[str, Any]] = {} if fetched is None else json.loads(fetched.content)["reports"]
    # What an earlier release kept may lack what is needed now: read once more.
    return {key: entry for key, entry in known.items() if set(entry["report"]) == set(_KEPT)}


def seen_reports(storage: Storage, where: DatasetYear) -> dict[str, str]:
    """Keys, with their entity tags, of the reports that the manifests follow from."""
    return {key: entry["etag"] for key, entry in _index(storage, where).items()}


def _read(storage: Storage, listed: Listed, known: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for key, etag in listed.reports.items():
        if key in known and known[key]["etag"] == etag:
            found[key] = known[key]
            continue
        fetched = storage.fetch(storage.data_store, key)
        # It was there a moment ago: whoever removed it settles after that.
        if fetched is not None:
            report = json.loads(fetched.content)
            found[key] = {"etag": etag, "report": _kept(report)}
    return found


def _kept(report: Mapping[str, Any]) -> dict[str, Any]:
    """The reports of the form before knew neither tables nor manifests, so nothing of theirs is current."""
    kept = {name: report.get(name) for name in _KEPT}
    return {
        **kept,
        "uploaded_at": kept["uploaded_at"] or report["finished_at"],
        "tables": kept["tables"] or {},
        "shared": kept["shared"] if isinstance(kept["shared"], list) else [],
    }


def _standing(where: DatasetYear, listed: Listed, known: Mapping[str, dict[str, Any]]) -> Standing:
    reports = {entry["report"]["submission"]: entry["report"] for entry in known.values()}
    profiles = manifests.profiles_of(reports.values())
    with suppress(UnknownDatasetError):
        # A report that said what was shared may have been replaced by one that shares nothing.
        profiles |= set(declared(where.dataset, where.year).profiles)
    since = datetime.now(UTC) - timedelta(days=retention_of(where.dataset, where.year).shared)
    current = manifests.current_reports(reports.values(), listed.withdrawn, since)
    return Standing(reports, current, manifests.manifests(where, profiles, current))


def _switch(storage: Storage, where: DatasetYear, found: Standing) -> None:
    for profile, content in found.manifests.items():
        key = manifests.ManifestName(where.dataset, profile, where.year).key
        there = storage.fetch(storage.shared, key) if storage.has(storage.shared, key) else None
        is_new = there is None and bool(manifests.named_keys(content))
        if is_new or (there is not None and there.content != content):
            storage.put(storage.shared, key, content, JSON)


def _remove_what_is_not_named(
    storage: Storage, where: DatasetYear, found: Standing, written: Mapping[str, datetime]
) -> None:
    """But for what is younger than its submission's report: a run that is under way will name it in the next."""
    for profile, content in found.manifests.items():
        prefix = manifests.ManifestName(where.dataset, profile, where.year).prefix
        named = manifests.named_keys(content)
        unnamed = [entry for entry in storage.objects(storage.shared, prefix) if entry.key not in named]
        reported = [(entry, written.get(submission_of_shared(entry.key))) for entry in unnamed]
        stale = [entry.key for entry, moment in reported if moment is not None and entry.last_modified <= moment]
        storage.remove(storage.shared, stale)
