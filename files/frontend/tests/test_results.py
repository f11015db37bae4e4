# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what the pipeline wrote back."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from account import rejection, report
from localgov_frontend.app import ranges, readable_time
from localgov_frontend.history import page_links, parse_history
from localgov_frontend.results import (
    Finding,
    FindingGroup,
    ReportUnreadableError,
    Rows,
    SharedPart,
    SharedTable,
    State,
    parse_report,
)
from localgov_frontend.submissions import Submission

_SUBMISSION = "ssda903/2026/20261121t101500-6f1c9a20b7d44f0e"


def test_an_accepted_report_gives_counts_errors_and_what_is_shared() -> None:
    parsed = parse_report(json.dumps(report(_SUBMISSION)).encode())
    assert parsed.accepted
    assert parsed.rows == Rows(read=3, written=3, shared=3)
    assert parsed.errors == (FindingGroup("DOB", "header", "date", "Not a date. Write it as DD/MM/YYYY.", 1, (2,)),)
    assert [(check.title, check.passed) for check in parsed.checks] == [("A child is in the header once.", True)]
    manifest = "ssda903/regional/2026/manifest.json"
    table = SharedTable("header", 3, ("CHILD", "SEX", "DOB", "MOTHER"), ())
    assert parsed.shared == (SharedPart("regional", "localgov-210987654321-shared", manifest, (table,)),)
    assert parsed.warnings == 0


def test_a_rejected_report_gives_reasons_and_nothing_shared() -> None:
    parsed = parse_report(json.dumps(report(_SUBMISSION, **rejection("The file is empty."))).encode())
    assert not parsed.accepted
    assert parsed.table_names == []
    assert parsed.shared == ()
    assert [(error.rows, error.reason) for error in parsed.errors] == [((), "The file is empty.")]


def test_a_report_says_of_which_submission_a_file_is_the_duplicate() -> None:
    changes = {"state": "duplicate", "duplicate_of": "20261120t101500-00000000000000aa", "shared": []}
    parsed = parse_report(json.dumps(report(_SUBMISSION, **changes)).encode())
    assert (parsed.state, parsed.duplicate_of) == (State.DUPLICATE, "20261120t101500-00000000000000aa")


def test_what_was_remarked_and_a_check_that_failed_are_warnings() -> None:
    notice = {"table": "header", "row": None, "column": None, "rule": "encoding", "reason": "Read as Windows-1252."}
    check = {"title": "A", "severity": "warning", "passed": False, "findings": 1, "shown": [{**notice, "row": 5}]}
    parsed = parse_report(json.dumps(report(_SUBMISSION, notices=[notice], checks=[check])).encode())
    assert parsed.notices == (Finding(None, None, "header", "Read as Windows-1252."),)
    assert parsed.checks[0].shown[0].row == 5
    assert parsed.checks[0].made, "reports of before do not say so"
    assert parsed.warnings == 2


def test_a_check_that_was_not_made_is_no_warning() -> None:
    reason = {"table": "episodes", "row": None, "column": None, "reason": "Not checked yet: no table header."}
    said = {"title": "A", "severity": "warning", "made": False, "passed": False, "findings": 1, "shown": [reason]}
    parsed = parse_report(json.dumps(report(_SUBMISSION, checks=[said])).encode())
    assert [(check.made, check.shown[0].reason) for check in parsed.checks] == [(False, reason["reason"])]
    assert parsed.warnings == 0


_NAMES = [f"2026112{day}t101500-6f1c9a20b7d44f0e" for day in range(3)]
_FIRST, _SECOND, _THIRD = (Submission("ssda903", 2026, name) for name in _NAMES)


def _index(*reports: dict[str, object], **current: str) -> bytes:
    known = {str(number): {"etag": "", "report": entry} for number, entry in enumerate(reports)}
    return json.dumps({"current": current, "reports": known}).encode()


def test_the_index_tells_what_is_current_and_what_came_before() -> None:
    first, second, third = (
        report(submission.path, uploaded_at=f"2026-11-2{day}T10:15:02Z")
        for day, submission in enumerate((_FIRST, _SECOND, _THIRD))
    )
    second |= {"tables": {"episodes": {}}}
    third |= {"tables": {"header": {}, "episodes": {}}}
    history = parse_history(_index(second, third, first, header=_NAMES[2], episodes=_NAMES[2]), "ssda903", 2026)
    assert [entry.submission for entry in history.entries] == [_THIRD, _SECOND, _FIRST]
    assert history.current_tables(_THIRD) == ["header", "episodes"]
    before = {table: history.before(_THIRD, table) for table in ("header", "episodes")}
    assert {table: entry and entry.submission for table, entry in before.items()} == {
        "header": _FIRST,
        "episodes": _SECOND,
    }
    assert history.before(_FIRST, "header") is None
    assert history.knows(_FIRST, State.ACCEPTED)
    assert not history.knows(_FIRST, State.WITHDRAWN)


def test_what_came_before_is_never_a_submission_that_was_withdrawn() -> None:
    first, second, third = (
        report(submission.path, uploaded_at=f"2026-11-2{day}T10:15:02Z")
        for day, submission in enumerate((_FIRST, _SECOND, _THIRD))
    )
    second |= {"state": "withdrawn"}
    history = parse_history(_index(first, second, third, header=_NAMES[2]), "ssda903", 2026)
    before = history.before(_THIRD, "header")
    assert before is not None
    assert before.submission == _FIRST


@pytest.mark.parametrize(
    ("page", "pages", "links"),
    [
        (1, 1, [1]),
        (1, 4, [1, 2, 3, 4]),
        (1, 20, [1, 2, None, 20]),
        (4, 20, [1, 2, 3, 4, 5, None, 20]),
        (10, 20, [1, None, 9, 10, 11, None, 20]),
        (20, 20, [1, None, 19, 20]),
    ],
)
def test_a_page_leads_to_its_neighbours_and_both_ends_and_leaves_out_no_single_page(
    page: int, pages: int, links: list[int | None]
) -> None:
    assert page_links(page, pages) == links


@pytest.mark.parametrize("body", [b"", b"[]", b'{"reports": {}}', _index({"submission": "x"})])
def test_an_index_of_another_shape_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(ReportUnreadableError, match=r"index.json: .+"):
        parse_history(body, "ssda903", 2026)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps(report(_SUBMISSION, state="perhaps")).encode(),
        json.dumps(report(_SUBMISSION, rows={"read": 3})).encode(),
        json.dumps(report(_SUBMISSION, errors={"total": 1, "by_rule": ["DOB"]})).encode(),
        json.dumps(report(_SUBMISSION, checks=[{"title": "A child is in the header once."}])).encode(),
        json.dumps(report(_SUBMISSION, withdrawn={"who": "Ada"})).encode(),
        json.dumps(report(_SUBMISSION, finished_at="2026-07-21T09:15:31")).encode(),
        json.dumps(report(_SUBMISSION, shared="s3://somewhere")).encode(),
        json.dumps(report(_SUBMISSION, shared=None)).encode(),
    ],
)
def test_a_report_of_another_shape_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(ReportUnreadableError, match=r"Error: .+"):
        parse_report(body)


@pytest.mark.parametrize(
    ("rows", "text"),
    [([], ""), ([7], "7"), ([2, 3], "2, 3"), ([2, 5, 6, 7, 9], "2, 5 to 7, 9"), ([1, 1, 2], "1, 2")],
)
def test_rows_that_follow_each_other_are_written_as_one(rows: list[int], text: str) -> None:
    assert ranges(rows) == text


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
