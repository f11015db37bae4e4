# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a submission's objects lie, and which uploads still wait to be processed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

UPLOADS_PREFIX = "uploads/"
RESULTS_PREFIX = "results/"

_UPLOAD = re.compile(
    r"uploads/(?P<dataset>[a-z0-9_]{1,40})/(?P<year>\d{4})/(?P<submission>[a-z0-9][a-z0-9-]{0,79})\.csv"
)


class Submission(NamedTuple):
    """One upload. The identifier is made by the frontend and never holds a file name."""

    dataset: str
    year: int
    submission: str

    @property
    def _path(self) -> str:
        return f"{self.dataset}/{self.year}/{self.submission}"

    @property
    def upload_key(self) -> str:
        return f"{UPLOADS_PREFIX}{self._path}.csv"

    @property
    def report_key(self) -> str:
        return self.result_key("report.json")

    def result_key(self, name: str) -> str:
        return f"{RESULTS_PREFIX}{self._path}/{name}"

    def stage_key(self, stage: str, table: str) -> str:
        return f"{stage}/{self._path}/{table}.parquet"

    def shared_key(self, table: str) -> str:
        return f"{self.dataset}/{self.year}/{table}/{self.submission}.csv"


def submission_of(upload_key: str) -> Submission | None:
    found = _UPLOAD.fullmatch(upload_key)
    if found is None:
        return None
    return Submission(found["dataset"], int(found["year"]), found["submission"])


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
    latest: dict[Submission, ObjectVersion] = {}
    count: dict[Submission, int] = {}
    for version in versions:
        submission = submission_of(version.key)
        if submission is None:
            continue
        count[submission] = count.get(submission, 0) + 1
        if version.is_latest:
            latest[submission] = version

    def is_reported(submission: Submission, version: ObjectVersion) -> bool:
        written = reports.get(submission.report_key)
        if written is None:
            return False
        if count[submission] == 1 and written >= version.last_modified:
            return True
        return reported_version(submission.report_key) == version.version_id

    waiting = [(version, submission) for submission, version in latest.items() if not is_reported(submission, version)]
    waiting.sort(key=lambda pair: (pair[0].last_modified, pair[0].key))
    return [Upload(submission, version.version_id) for version, submission in waiting]


class Agenda(NamedTuple):
    """What a sensor tick asks for. `first_seen` (run key to POSIX time) is remembered until the next tick."""

    process: list[Upload]
    give_up: list[Upload]
    first_seen: dict[str, float]


def agenda(
    pending: Iterable[Upload], bucket: str, first_seen: Mapping[str, float], now: float, patience: float
) -> Agenda:
    """Give up, with a report, on what has waited longer than `patience` seconds: an uploader never waits for ever.

    A run normally reports its own failure; this is for runs that died without a word (no memory, no capacity).
    """
    process: list[Upload] = []
    given_up: list[Upload] = []
    seen: dict[str, float] = {}
    for upload in pending:
        run_key = upload.run_key(bucket)
        seen[run_key] = first_seen.get(run_key, now)
        (given_up if now - seen[run_key] > patience else process).append(upload)
    return Agenda(process, given_up, seen)
