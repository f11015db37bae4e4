# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pipeline wrote back about submissions."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import TYPE_CHECKING, Any

from localgov_frontend.datasets import DATASETS
from localgov_frontend.submissions import Submission, find_submission, time_part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RECENT_PERIOD = timedelta(days=30)
RECENT_COUNT = 20
_PARALLEL_REQUESTS = 8


class State(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    # The content of a submission that counts already.
    DUPLICATE = "duplicate"
    WITHDRAWN = "withdrawn"


class ReportUnreadableError(Exception):
    """The pipeline's report is not of the agreed shape."""


@dataclass(frozen=True)
class RowError:
    row: int | None
    column: str | None
    rule: str
    reason: str


@dataclass(frozen=True)
class Rows:
    read: int
    written: int
    shared: int


@dataclass(frozen=True)
class SharedPart:
    """What is shared under one profile; the manifest names the files."""

    profile: str
    bucket: str
    manifest: str


@dataclass(frozen=True)
class Report:
    state: State
    table: str | None
    finished_at: datetime
    rows: Rows | None
    errors_total: int
    errors_shown: tuple[RowError, ...]
    shared: tuple[SharedPart, ...]
    duplicate_of: str | None = None

    @property
    def accepted(self) -> bool:
        return self.state is State.ACCEPTED

    @property
    def rules(self) -> list[tuple[str, int]]:
        """How often each rule was broken among the errors shown, most frequent first."""
        return Counter(error.rule for error in self.errors_shown).most_common()


def parse_report(body: bytes) -> Report:
    try:
        document = json.loads(body)
        rows = document.get("rows")
        return Report(
            state=State(document["state"]),
            table=document["table"],
            finished_at=_moment(document["finished_at"]),
            rows=Rows(*(int(rows[name]) for name in ("read", "written", "shared"))) if rows else None,
            errors_total=int(document["errors"]["total"]),
            errors_shown=tuple(_row_error(error) for error in document["errors"]["shown"]),
            shared=tuple(_shared_part(part) for part in document["shared"]),
            duplicate_of=document.get("duplicate_of"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReportUnreadableError(f"{type(error).__name__}: {error}") from error


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"finished_at {value!r} has no time zone")
    return moment


def _row_error(error: dict[str, Any]) -> RowError:
    row = error["row"]
    return RowError(None if row is None else int(row), error["column"], str(error["rule"]), str(error["reason"]))


def _shared_part(part: dict[str, Any]) -> SharedPart:
    return SharedPart(*(str(part[name]) for name in ("profile", "bucket", "manifest")))


def exists(s3: S3Client, bucket: str, key: str) -> bool:
    """Whether the key is there, by listing: S3 answers a read of a missing key with "access denied" to whoever may
    list only part of the bucket. So a refusal, here or after it, is a real one.
    """
    return s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"] > 0


def read_report(s3: S3Client, bucket: str, submission: Submission) -> Report | None:
    """The report of a submission, or None while the pipeline has not written it."""
    return _get_report(s3, bucket, submission) if exists(s3, bucket, submission.report_key) else None


def _get_report(s3: S3Client, bucket: str, submission: Submission) -> Report:
    return parse_report(s3.get_object(Bucket=bucket, Key=submission.report_key)["Body"].read())


def recent_reports(s3: S3Client, bucket: str, now: datetime) -> list[tuple[Submission, Report | None]]:
    """The newest submissions of the last days that have a report; None where the report cannot be read."""

    def list_year(place: tuple[str, int]) -> list[Submission]:
        return list(_list_year(s3, bucket, *place, since=now - RECENT_PERIOD))

    def read(submission: Submission) -> Report | None:
        try:
            return _get_report(s3, bucket, submission)
        except ReportUnreadableError:
            return None

    places = [(dataset.name, year) for dataset in DATASETS.values() for year in dataset.years]
    with ThreadPoolExecutor(_PARALLEL_REQUESTS) as pool:
        found: Iterable[Submission] = chain.from_iterable(pool.map(list_year, places))
        newest = heapq.nlargest(RECENT_COUNT, found, key=lambda submission: submission.identifier)
        return list(zip(newest, pool.map(read, newest), strict=True))


def _list_year(s3: S3Client, bucket: str, dataset: str, year: int, since: datetime) -> Iterator[Submission]:
    prefix = f"results/{dataset}/{year}/"
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, StartAfter=prefix + time_part(since)
    )
    for entry in chain.from_iterable(page.get("Contents", []) for page in pages):
        identifier, _, name = entry["Key"].removeprefix(prefix).partition("/")
        submission = find_submission(dataset, str(year), identifier)
        if submission is not None and name == "report.json":
            yield submission
