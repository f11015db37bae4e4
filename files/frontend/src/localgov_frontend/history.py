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

# On a page.
_LISTED = 50


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

    @property
    def pages(self) -> int:
        """Over how many pages the entries go; one, if there are none."""
        return max(1, -(-len(self.entries) // _LISTED))

    def page(self, number: int) -> tuple[Entry, ...]:
        """Of the first page, 1, the newest."""
        return self.entries[(number - 1) * _LISTED : number * _LISTED]

    def before(self, submission: Submission, table: str) -> Entry | None:
        """The one that held the table before this one. What was withdrawn is no part of that: nothing of it is kept."""
        own = next((entry for entry in self.entries if entry.submission == submission), None)
        if own is None:
            return None
        holders = (entry for entry in self.entries if table in entry.tables and entry.state is not State.WITHDRAWN)
        return next((entry for entry in holders if entry.uploaded_at < own.uploaded_at), None)


def page_links(page: int, pages: int) -> list[int | None]:
    """The pages that one page leads to: the first, the last and its neighbours. None stands for those left out,
    where they are more than one."""
    shown = [number for number in range(1, pages + 1) if number in {1, pages} or abs(number - page) <= 1]
    links: list[int | None] = []
    for number in shown:
        last = links[-1] if links else 0
        missing = list(range((last or 0) + 1, number))
        links += [None] if len(missing) > 1 else missing
        links.append(number)
    return links


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
