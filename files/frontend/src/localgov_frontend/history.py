# SPDX-License-Identifier: GPL-3.0-or-later
"""The submissions of one data return and year: which of them counts for each table, which came before it.

The pipeline decides that and writes it into an index; here it is only read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from localgov_frontend.results import ReportUnreadableError, State, exists
from localgov_frontend.submissions import Submission

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class Entry:
    submission: Submission
    state: State
    uploaded_at: datetime
    tables: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """`current`: table to the submission that is shared of it. `entries`: the newest first."""

    current: dict[str, Submission]
    entries: tuple[Entry, ...] = ()

    def knows(self, submission: Submission, state: State) -> bool:
        """Whether what is current has been decided since the submission came into this state."""
        return any(entry.submission == submission and entry.state is state for entry in self.entries)

    def current_tables(self, submission: Submission) -> list[str]:
        return [table for table, current in self.current.items() if current == submission]

    def before(self, submission: Submission, table: str) -> Entry | None:
        """The submission that this one superseded, if it held the table."""
        own = next((entry for entry in self.entries if entry.submission == submission), None)
        if own is None:
            return None
        earlier = (entry for entry in self.entries if table in entry.tables and entry.uploaded_at < own.uploaded_at)
        return next(earlier, None)


def read_history(s3: S3Client, bucket: str, dataset: str, year: int) -> History:
    """Empty where nothing has been decided yet."""
    key = f"results/{dataset}/{year}/index.json"
    if not exists(s3, bucket, key):
        return History({})
    return parse_history(s3.get_object(Bucket=bucket, Key=key)["Body"].read(), dataset, year)


def parse_history(body: bytes, dataset: str, year: int) -> History:
    try:
        document = json.loads(body)
        entries = [_entry(known["report"], dataset, year) for known in document["reports"].values()]
        current = {str(table): Submission(dataset, year, str(name)) for table, name in document["current"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ReportUnreadableError(f"index.json: {type(error).__name__}: {error}") from error
    return History(current, tuple(sorted(entries, key=lambda entry: entry.uploaded_at, reverse=True)))


def _entry(report: dict[str, Any], dataset: str, year: int) -> Entry:
    return Entry(
        Submission(dataset, year, str(report["submission"])),
        State(report["state"]),
        datetime.fromisoformat(report["uploaded_at"]),
        tuple(report["tables"]),
    )
