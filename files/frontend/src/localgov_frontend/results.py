# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pipeline wrote back about submissions."""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterable, Iterator
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
class Finding:
    row: int | None
    column: str | None
    table: str | None
    reason: str


@dataclass(frozen=True)
class FindingGroup:
    """One rule broken in one column, `count` times; `rows` are the first of them, where rows are to blame."""

    column: str | None
    table: str | None
    rule: str
    reason: str
    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """`shown` are the first of its findings; of one that could not be `made`, what there has to be first."""

    title: str
    severity: str
    made: bool
    passed: bool
    findings: int
    shown: tuple[Finding, ...]


@dataclass(frozen=True)
class Rows:
    read: int
    written: int
    shared: int


@dataclass(frozen=True)
class SharedTable:
    name: str
    rows: int
    columns: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SharedPart:
    """What is shared under one profile; the manifest names the files."""

    profile: str
    bucket: str
    manifest: str
    tables: tuple[SharedTable, ...]

    @property
    def folder(self) -> str:
        return self.manifest.rpartition("/")[0] + "/"


@dataclass(frozen=True)
class Withdrawal:
    who: str
    completed_at: datetime


@dataclass(frozen=True)
class Report:
    """`tables` maps a table to its counts; `rows` are those of all together."""

    state: State
    uploaded_at: datetime
    finished_at: datetime
    rows: Rows
    tables: dict[str, Rows]
    errors_total: int
    errors: tuple[FindingGroup, ...]
    notices: tuple[Finding, ...]
    checks: tuple[Check, ...]
    shared: tuple[SharedPart, ...]
    # Of a file that was refused there are no tables, but it may be known what it was meant to be.
    table: str | None = None
    duplicate_of: str | None = None
    withdrawal: Withdrawal | None = None

    @property
    def accepted(self) -> bool:
        return self.state is State.ACCEPTED

    @property
    def table_names(self) -> list[str]:
        return [*self.tables] or [name for name in (self.table,) if name]

    @property
    def warnings(self) -> int:
        """Of an accepted file: checks that failed, and what was remarked as it was read."""
        return sum(check.made and not check.passed for check in self.checks) + len(self.notices)


def parse_report(body: bytes) -> Report:
    try:
        document = json.loads(body)
        errors = document["errors"]
        return Report(
            state=State(document["state"]),
            uploaded_at=_moment(document["uploaded_at"]),
            finished_at=_moment(document["finished_at"]),
            rows=_rows(document["rows"]),
            tables={str(table): _rows(entry["rows"]) for table, entry in document["tables"].items()},
            errors_total=int(errors["total"]),
            errors=tuple(_group(group) for group in errors["by_rule"]),
            notices=tuple(_finding(notice) for notice in document["notices"]),
            checks=tuple(_check(check) for check in document["checks"]),
            shared=tuple(_shared_part(part) for part in document["shared"]),
            table=document["table"],
            duplicate_of=document.get("duplicate_of"),
            withdrawal=_withdrawal(document.get("withdrawn")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReportUnreadableError(f"{type(error).__name__}: {error}") from error


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return moment


def _rows(rows: dict[str, Any]) -> Rows:
    return Rows(*(int(rows[name]) for name in ("read", "written", "shared")))


def _finding(found: dict[str, Any]) -> Finding:
    row = found["row"]
    return Finding(None if row is None else int(row), found["column"], found.get("table"), str(found["reason"]))


def _group(group: dict[str, Any]) -> FindingGroup:
    rows = tuple(int(row) for row in group["rows"])
    said = (group["column"], group["table"], str(group["rule"]), str(group["reason"]))
    return FindingGroup(*said, int(group["count"]), rows)


def _check(check: dict[str, Any]) -> Check:
    shown = tuple(_finding(found) for found in check["shown"])
    said = (str(check["title"]), str(check["severity"]))
    # Reports of before say nothing of checks that were not made.
    return Check(*said, bool(check.get("made", True)), bool(check["passed"]), int(check["findings"]), shown)


def _shared_part(part: dict[str, Any]) -> SharedPart:
    tables = tuple(
        SharedTable(str(name), int(table["rows"]), tuple(map(str, table["columns"])), tuple(map(str, table["notes"])))
        for name, table in part["tables"].items()
    )
    return SharedPart(str(part["profile"]), str(part["bucket"]), str(part["manifest"]), tables)


def _withdrawal(said: dict[str, Any] | None) -> Withdrawal | None:
    return None if said is None else Withdrawal(str(said["who"]), _moment(said["completed_at"]))


def exists(s3: S3Client, bucket: str, key: str) -> bool:
    """Whether the key is there, by listing: S3 answers a read of a missing key with "access denied" to whoever may
    list only part of the bucket. So a refusal, here or after it, is a real one.
    """
    return s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)["KeyCount"] > 0


def read_report(s3: S3Client, bucket: str, submission: Submission) -> Report:
    return parse_report(s3.get_object(Bucket=bucket, Key=submission.report_key)["Body"].read())


def recent_reports(
    s3: S3Client, bucket: str, now: datetime, datasets: Collection[str]
) -> list[tuple[Submission, Report | None]]:
    """The newest submissions of these datasets in the last days that have a report; None where it cannot be read."""

    def list_year(place: tuple[str, int]) -> list[Submission]:
        return list(_list_year(s3, bucket, *place, since=now - RECENT_PERIOD))

    def read(submission: Submission) -> Report | None:
        try:
            return read_report(s3, bucket, submission)
        except ReportUnreadableError:
            return None

    places = [(name, year) for name, dataset in DATASETS.items() if name in datasets for year in dataset.years]
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
