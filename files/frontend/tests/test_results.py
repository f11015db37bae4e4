# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what the pipeline wrote back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from account import rejection, report
from localgov_frontend.app import readable_time
from localgov_frontend.results import ReportUnreadableError, RowError, Rows, SharedPart, State, parse_report

_SUBMISSION = "ssda903/2026/20261121t101500-6f1c9a20b7d44f0e"


def test_an_accepted_report_gives_counts_errors_and_what_is_shared() -> None:
    parsed = parse_report(json.dumps(report(_SUBMISSION)).encode())
    assert parsed.accepted
    assert parsed.rows == Rows(read=3, written=3, shared=3)
    assert parsed.errors_shown == (RowError(2, "DOB", "date", "Not a date. Write it as DD/MM/YYYY."),)
    assert parsed.rules == [("date", 1)]
    manifest = "ssda903/regional/2026/manifest.json"
    assert parsed.shared == (SharedPart("regional", "localgov-210987654321-shared", manifest),)


def test_a_rejected_report_gives_reasons_and_nothing_shared() -> None:
    parsed = parse_report(json.dumps(report(_SUBMISSION, **rejection("The file is empty."))).encode())
    assert not parsed.accepted
    assert parsed.table is None
    assert parsed.shared == ()
    assert [(error.row, error.reason) for error in parsed.errors_shown] == [(None, "The file is empty.")]


def test_a_report_says_of_which_submission_a_file_is_the_duplicate() -> None:
    changes = {"state": "duplicate", "duplicate_of": "20261120t101500-00000000000000aa", "shared": []}
    parsed = parse_report(json.dumps(report(_SUBMISSION, **changes)).encode())
    assert (parsed.state, parsed.duplicate_of) == (State.DUPLICATE, "20261120t101500-00000000000000aa")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps(report(_SUBMISSION, state="perhaps")).encode(),
        json.dumps(report(_SUBMISSION, rows={"read": 3})).encode(),
        json.dumps(report(_SUBMISSION, errors={"total": 1, "shown": ["DOB"]})).encode(),
        json.dumps(report(_SUBMISSION, finished_at="2026-07-21T09:15:31")).encode(),
        json.dumps(report(_SUBMISSION, shared="s3://somewhere")).encode(),
        json.dumps(report(_SUBMISSION, shared=None)).encode(),
    ],
)
def test_a_report_of_another_shape_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(ReportUnreadableError, match=r"Error: .+"):
        parse_report(body)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 7, 21, 9, 15, tzinfo=UTC), "21 July 2026 at 10:15am"),
        (datetime(2026, 11, 1, 0, 5, tzinfo=UTC), "1 November 2026 at 12:05am"),
        (datetime(2026, 11, 1, 12, 0, tzinfo=UTC), "1 November 2026 at 12:00pm"),
    ],
)
def test_times_are_written_as_people_in_the_united_kingdom_read_them(moment: datetime, text: str) -> None:
    assert readable_time(moment) == text
