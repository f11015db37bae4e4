# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a submission's objects lie, and which uploads still wait to be processed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

UPLOADS_PREFIX = "uploads/"
RESULTS_PREFIX = "results/"
WITHDRAWALS_PREFIX = "withdrawals/"
RETENTION_PREFIX = "retention/"
# Of the SHA-256 in the name of a shared file.
SHARED_DIGITS = 16
STAGES = ("parsed", "cleaned", "pseudonymised")

_PATH = r"(?P<dataset>[a-z0-9_]{1,40})/(?P<year>\d{4})/(?P<submission>[a-z0-9][a-z0-9-]{0,79})"
_UPLOAD = re.compile(rf"{UPLOADS_PREFIX}{_PATH}\.(?P<extension>csv|xlsx|xml)")
_REPORT = re.compile(rf"{RESULTS_PREFIX}{_PATH}/report\.json")
_WITHDRAWAL = re.compile(rf"{WITHDRAWALS_PREFIX}{_PATH}\.json")


class DatasetYear(NamedTuple):
    """What supersedes what is decided within one dataset and year."""

    dataset: str
    year: int

    @property
    def path(self) -> str:
        return f"{self.dataset}/{self.year}"

    @property
    def results_prefix(self) -> str:
        return f"{RESULTS_PREFIX}{self.path}/"

    @property
    def withdrawals_prefix(self) -> str:
        return f"{WITHDRAWALS_PREFIX}{self.path}/"

    @property
    def index_key(self) -> str:
        return f"{self.results_prefix}index.json"


class Submission(NamedTuple):
    """One upload. The identifier is made by the frontend and never holds a file name."""

    dataset: str
    year: int
    submission: str
    extension: str = "csv"

    @property
    def path(self) -> str:
        """What Dagster calls the partition."""
        return f"{self.dataset}/{self.year}/{self.submission}"

    @property
    def dataset_year(self) -> DatasetYear:
        return DatasetYear(self.dataset, self.year)

    @property
    def upload_key(self) -> str:
        return f"{UPLOADS_PREFIX}{self.path}.{self.extension}"

    @property
    def report_key(self) -> str:
        return self.result_key("report.json")

    @property
    def withdrawal_key(self) -> str:
        return f"{WITHDRAWALS_PREFIX}{self.path}.json"

    def result_key(self, name: str) -> str:
        return f"{RESULTS_PREFIX}{self.path}/{name}"

    @property
    def progress_prefix(self) -> str:
        return self.result_key("done/")

    def stage_prefix(self, stage: str) -> str:
        return f"{stage}/{self.path}/"

    def stage_key(self, stage: str, name: str) -> str:
        return f"{self.stage_prefix(stage)}{name}.parquet"

    def shared_key(self, profile: str, table: str, sha256: str, form: str) -> str:
        """Of a content: whoever reads what a manifest names is never given another in the middle of it."""
        return f"{self.dataset}/{profile}/{self.year}/{table}/{self.submission}.{sha256[:SHARED_DIGITS]}.{form}"


def submission_of_shared(shared_key: str) -> str:
    """Its identifier; empty for a manifest."""
    name = shared_key.rpartition("/")[2]
    return "" if name == "manifest.json" else name.partition(".")[0]


def submission_of(upload_key: str) -> Submission | None:
    found = _UPLOAD.fullmatch(upload_key)
    if found is None:
        return None
    return Submission(found["dataset"], int(found["year"]), found["submission"], found["extension"])


def submission_of_report(report_key: str) -> Submission | None:
    return _identified(_REPORT, report_key)


def submission_of_withdrawal(withdrawal_key: str) -> Submission | None:
    return _identified(_WITHDRAWAL, withdrawal_key)


def _identified(pattern: re.Pattern[str], key: str) -> Submission | None:
    found = pattern.fullmatch(key)
    return None if found is None else Submission(found["dataset"], int(found["year"]), found["submission"])


class ObjectVersion(NamedTuple):
    key: str
    version_id: str
    is_latest: bool
    last_modified: datetime


class Upload(NamedTuple):
    submission: Submission
    version_id: str

    def run_key(self, bucket: str) -> str:
        return f"{bucket}/{self.submission.upload_key}@{self.version_id}"


def pending_uploads(
    versions: Iterable[ObjectVersion],
    reports: Mapping[str, datetime],
    reported_version: Callable[[str], str | None],
) -> list[Upload]:
    """Uploads whose report does not name their latest version, oldest first.

    `reports` maps each report's key to its modification time. A report written after the only version of an upload
    can only be about that version, so `reported_version` (which costs a request) is asked in the other cases alone.
    """
    latest: dict[str, tuple[ObjectVersion, Submission]] = {}
    count: dict[str, int] = {}
    for version in versions:
        submission = submission_of(version.key)
        if submission is None:
            continue
        path = submission.path
        count[path] = count.get(path, 0) + 1
        # There is one report for a submission: of two objects that differ in their endings alone, the later counts.
        if version.is_latest and (path not in latest or latest[path][0].last_modified < version.last_modified):
            latest[path] = version, submission

    def is_reported(version: ObjectVersion, submission: Submission) -> bool:
        written = reports.get(submission.report_key)
        if written is None:
            return False
        if count[submission.path] == 1 and written >= version.last_modified:
            return True
        return reported_version(submission.report_key) == version.version_id

    waiting = [pair for pair in latest.values() if not is_reported(*pair)]
    waiting.sort(key=lambda pair: (pair[0].last_modified, pair[0].key))
    return [Upload(submission, version.version_id) for version, submission in waiting]


# When nothing is heard for so long, a run was lost: it died more often than Dagster starts one again, or Dagster itself
# was away when it had to be. The wait doubles with each time that a run is asked for again.
LOST_SECONDS = 5 * 60
# Also when others are heard of: longer than a run may last (`max_runtime_seconds` of the instance).
LONGEST_SECONDS = 2 * 60 * 60
_AGAIN_AT_MOST = 4


class Waiting(NamedTuple):
    """When a run of an upload was last asked for (POSIX time), and how many times again since the first. `since` is the
    first asking of all (POSIX time), 0 where there was no other."""

    asked_at: float
    again: int = 0
    since: float = 0.0


class Agenda(NamedTuple):
    """What a sensor tick asks for. `waiting`, by run key, is remembered until the next tick. `overdue`: of what is
    asked for again now, that for which a single lost run is no explanation any more."""

    process: list[tuple[Upload, int]]
    give_up: list[tuple[Upload, int]]
    waiting: dict[str, Waiting]
    overdue: list[tuple[Upload, Waiting]]


def agenda(
    pending: Iterable[Upload], bucket: str, before: Mapping[str, Waiting], now: float, heard_at: float
) -> Agenda:
    """One run for each upload, another when it was lost, and in the end a report: an uploader never waits for ever.

    `heard_at` is when a run, of whatever upload, last left something. A run that stopped leaves nothing, whoever
    stopped it, so nothing of this counts faults of a file: those end its run with a report.
    """
    found = Agenda([], [], {}, [])
    for upload in pending:
        run_key = upload.run_key(bucket)
        waiting = before.get(run_key, Waiting(now))
        if _is_lost(waiting, now, heard_at):
            waiting = Waiting(now, waiting.again + 1, waiting.since or waiting.asked_at)
            if 1 < waiting.again <= _AGAIN_AT_MOST:
                found.overdue.append((upload, waiting))
        found.waiting[run_key] = waiting
        (found.give_up if waiting.again > _AGAIN_AT_MOST else found.process).append((upload, waiting.again))
    return found


def _is_lost(waiting: Waiting, now: float, heard_at: float) -> bool:
    silent = now - max(waiting.asked_at, heard_at)
    return silent > LOST_SECONDS * 2**waiting.again or now - waiting.asked_at > LONGEST_SECONDS
