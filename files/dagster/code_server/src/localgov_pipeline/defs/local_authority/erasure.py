# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove what submissions left in the buckets, with all versions: a mark of deletion alone removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import chain

from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib.submissions import (
    RESULTS_PREFIX,
    STAGES,
    UPLOADS_PREFIX,
    DatasetYear,
    Submission,
    submission_of,
    submission_of_shared,
)

REPORT = "/report.json"
WORKSPACE, RESULTS, UPLOADS, SHARED = "workspace", "results", "uploads", "shared"


def erase_submission(storage: Storage, submission: Submission, duplicates: Collection[str] = ()) -> dict[str, int]:
    """Everything but the report, and the uploads of its duplicates: how many versions lay where."""
    where, own = submission.dataset_year, {submission.submission}
    return {
        SHARED: erase_shared(storage, where, own),
        RESULTS: erase_results(storage, where, own),
        WORKSPACE: sum(storage.erase(storage.workspace, submission.stage_prefix(stage)) for stage in STAGES),
        UPLOADS: erase_uploads(storage, where, own.union(duplicates)),
    }


def erase_shared(storage: Storage, where: DatasetYear, submissions: Collection[str]) -> int:
    """Whatever the profile and the table. Their manifests name them no more by then."""

    def is_theirs(key: str) -> bool:
        parts = key.split("/")
        return len(parts) == 5 and parts[2] == str(where.year) and submission_of_shared(key) in submissions

    return storage.erase(storage.shared, f"{where.dataset}/", is_theirs)


def erase_results(storage: Storage, where: DatasetYear, submissions: Collection[str]) -> int:
    def is_theirs(key: str) -> bool:
        submission, _, name = key.removeprefix(where.results_prefix).partition("/")
        return submission in submissions and name != REPORT.lstrip("/")

    return storage.erase(storage.data_store, where.results_prefix, is_theirs)


def erase_uploads(storage: Storage, where: DatasetYear, submissions: Collection[str]) -> int:
    def is_theirs(key: str) -> bool:
        found = submission_of(key)
        return found is not None and found.submission in submissions

    return storage.erase(storage.data_store, f"{UPLOADS_PREFIX}{where.path}/", is_theirs)


def erase_stages(storage: Storage, where: DatasetYear, is_past: Callable[[str], bool]) -> int:
    """Of the workspace, by key."""
    return sum(storage.erase(storage.workspace, f"{stage}/{where.path}/", is_past) for stage in STAGES)


def erase_reports(storage: Storage, where: DatasetYear, submissions: Iterable[str]) -> int:
    """Last of all: a submission without a report is one that has not been processed."""
    own = [Submission(where.dataset, where.year, submission) for submission in submissions]
    reports = storage.erase(storage.data_store, where.results_prefix, {one.report_key for one in own}.__contains__)
    asked = {one.withdrawal_key for one in own}
    return reports + storage.erase(storage.data_store, where.withdrawals_prefix, asked.__contains__)


def dataset_years(storage: Storage) -> list[DatasetYear]:
    """Of which there are uploads or results."""
    listed = (storage.objects(storage.data_store, prefix) for prefix in (UPLOADS_PREFIX, RESULTS_PREFIX))
    keys = (entry.key.split("/") for entry in chain.from_iterable(listed))
    found = {(parts[1], parts[2]) for parts in keys if len(parts) > 3 and parts[2].isdigit()}
    return [DatasetYear(dataset, int(year)) for dataset, year in sorted(found)]
