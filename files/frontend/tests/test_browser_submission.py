# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a submission's life in a real browser, from its faults to its withdrawal, at any width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from account import POLICIES, Account, group, rejection, report
from conftest import Frontend, listen, open_page
from localgov_frontend.submissions import new_submission
from playwright.sync_api import Browser, Page, expect
from provider import Provider, person
from test_browser import look

_DATE = "Not a date. Write it as DD/MM/YYYY."
_CODE = "Not a code of this column. Use one of 1, 2."
_BY_RULE = [
    group(_DATE, *range(2, 22), count=1204, column="DOB", rule="date"),
    group(_CODE, 7, 90, count=2, column="SEX", rule="code"),
    group("A code of another year's return. Use one of 0, 1.", 31, count=1, column="ETHNIC", rule="another_year"),
]


def check(title: str, severity: str, findings: int = 0, *shown: tuple[int | None, str | None, str]) -> dict[str, Any]:
    rows = [{"row": row, "column": column, "table": "header", "reason": reason} for row, column, reason in shown]
    said = {"name": "check", "title": title, "severity": severity, "made": True}
    return {**said, "passed": not findings, "findings": findings, "shown": rows}


_CHECKS = [
    check("A child is in the header once.", "error"),
    check(
        "Every child of an episode is in the header.",
        "warning",
        43,
        *[
            (row, "CHILD", "There is no row with this CHILD in the table header. Add it, or mend CHILD.")
            for row in range(5, 25)
        ],
    ),
    check(
        "There are about as many rows as in the year before.",
        "warning",
        1,
        (None, None, "1207 rows, and 2411 in the year before. Check that the file is whole and of the right year."),
    ),
]
_NOT_YET = (
    "Not checked yet: no table header of 2026 has been accepted. Upload it, and its report says what does not fit."
)
_NOT_MADE = {
    **check("Every child with an episode is in the header.", "warning", 1),
    "made": False,
    "shown": [{"row": None, "column": None, "table": "episodes", "reason": _NOT_YET}],
}
_NOTICES = [
    {"table": "header", "row": None, "column": None, "rule": "encoding", "reason": "Read as Windows-1252, not UTF-8."},
    {
        "table": "header",
        "row": 1210,
        "column": None,
        "rule": "footer",
        "reason": "A total below the table was left out.",
    },
]


@pytest.fixture(params=[1100, 360], ids=["desk", "phone"])
def width(request: pytest.FixtureRequest) -> int:
    chosen: int = request.param
    return chosen


@pytest.fixture
def page(browser: Browser, camden: Frontend, data_store: Account, provider: Provider, width: int) -> Iterator[Page]:
    """Of somebody who may withdraw. No script fails and nothing breaks the content security policy."""
    provider.signed_in, provider.sign = person("Mia", "managers", name="Mia Manager"), None
    with browser.new_context(base_url=camden.address, viewport={"width": width, "height": 800}) as context:
        page = open_page(context)
        complaints = listen(page)
        yield page
    assert not complaints


@pytest.fixture
def older() -> str:
    return new_submission("ssda903", 2026, datetime.now(UTC) - timedelta(days=3)).path


@pytest.fixture
def newer() -> str:
    return new_submission("ssda903", 2026, datetime.now(UTC)).path


def seen(page: Page, name: str, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    look(page, f"submission-{name}-{width}")


def faults() -> dict[str, Any]:
    rows = {"read": 1210, "written": 1207, "shared": 1207}
    tables = {"header": {"rows": rows}}
    errors = {"total": 1207, "by_rule": _BY_RULE, "shown": []}
    return {"rows": rows, "tables": tables, "errors": errors, "checks": _CHECKS, "notices": _NOTICES}


def test_a_file_with_faults_is_explained_whole(page: Page, data_store: Account, newer: str, width: int) -> None:
    data_store.accept(newer, **faults())
    page.goto(f"/submissions/{newer}")
    expect(page.get_by_role("row", name=_DATE)).to_contain_text("Rows 2 to 21 and 1,184 more")
    expect(page.get_by_role("row", name=_DATE)).to_contain_text("1,204")
    expect(page.get_by_role("row", name="Every child of an episode")).to_contain_text("Warning")
    expect(page.get_by_role("row", name="Every child of an episode")).to_contain_text("and 23 more")
    expect(page.get_by_role("row", name="A child is in the header once.")).to_contain_text("Passed")
    expect(page.get_by_text("Read as Windows-1252, not UTF-8.")).to_be_visible()
    expect(page.locator("dt:text-is('Warnings') + dd")).to_have_text("4")
    seen(page, "faulty", width)


def test_a_check_that_was_not_made_says_why_and_is_neither_a_warning_nor_passed(
    page: Page, data_store: Account, newer: str, width: int
) -> None:
    checks = [_NOT_MADE, *_CHECKS]
    data_store.accept(newer, **{**faults(), "checks": checks})
    page.goto(f"/submissions/{newer}")
    row = page.get_by_role("row", name="Every child with an episode is in the header.")
    expect(row).to_contain_text(_NOT_YET)
    expect(row.locator("strong")).to_have_text("Not checked")
    expect(row.locator("strong")).to_have_class(re.compile("govuk-tag--grey"))
    expect(page.locator("dt:text-is('Warnings') + dd")).to_have_text("4")
    results = page.get_by_role("table", name="Checks and their results").locator("strong")
    expect(results).to_have_text(["Warning", "Warning", "Not checked", "Passed"])
    seen(page, "not-checked", width)


def test_a_file_that_a_check_stops_is_explained_by_that_check(
    page: Page, data_store: Account, newer: str, width: int
) -> None:
    reason = "The same CHILD stands in an earlier row. Keep one of the rows."
    errors = {"total": 30, "by_rule": [group(reason, *range(5, 25), count=30, column="CHILD")], "shown": []}
    failed = check("A child is in the header once.", "error", 30, *[(row, "CHILD", reason) for row in range(5, 25)])
    rows = {"read": 33, "written": 0, "shared": 0}
    data_store.write_report(
        newer, **{**rejection(), "table": "header", "rows": rows, "errors": errors, "checks": [failed]}
    )
    page.goto(f"/submissions/{newer}")
    expect(page.get_by_role("heading", name="Your file was rejected")).to_be_visible()
    expect(page.get_by_role("row", name="A child is in the header once.")).to_contain_text("Failed")
    expect(page.get_by_role("link", name="Download all findings with their rows (CSV)")).to_be_visible()
    seen(page, "stopped", width)


def test_a_page_says_who_may_read_what_is_shared_before_and_after_it_is_revoked(
    page: Page, data_store: Account, newer: str, width: int
) -> None:
    data_store.accept(newer)
    data_store.share(POLICIES["limited"], share="granted", share_since="2026-11-26T08:00:00Z")
    page.goto(f"/submissions/{newer}")
    expect(page.get_by_role("heading", name="Who may read it")).to_be_visible()
    expect(page.get_by_text("The organisation (account 200000000001) may read this")).to_be_visible()
    expect(page.get_by_role("row", name="header Shared copied on")).to_be_visible()
    seen(page, "shared", width)
    data_store.share(POLICIES["revoked"], share="revoked", share_since="2026-11-27T08:00:00Z")
    page.reload()
    expect(page.get_by_text("Nobody outside Camden may read this")).to_be_visible()
    expect(page.get_by_role("row", name="header Closed copied on 21 July 2026 at 10:15am")).to_be_visible()
    seen(page, "revoked", width)
    data_store.permit("s3:GetBucketPolicy")
    page.reload()
    expect(page.get_by_text("Who outside Camden may read this is not known at the moment")).to_be_visible()
    seen(page, "readers-unknown", width)


def test_a_corrected_file_and_the_one_before_lead_to_each_other(
    page: Page, data_store: Account, older: str, newer: str, width: int
) -> None:
    data_store.supersede(older, newer)
    page.goto(f"/submissions/{older}")
    seen(page, "superseded", width)
    page.get_by_role("row", name="header Superseded").get_by_role("link").click()
    expect(page.get_by_role("row", name="header Shared copied on")).to_be_visible()
    page.get_by_role("row", name="header Shared copied on").get_by_role("link").click()
    expect(page.get_by_text(older.rpartition("/")[2])).to_be_visible()
    page.get_by_role("link", name="All submissions of 2026").click()
    expect(page.get_by_role("heading", name="All submissions of 2026")).to_be_visible()
    seen(page, "year", width)


def test_a_thousand_submissions_of_a_year_are_gone_through_page_by_page_from_the_keyboard(
    page: Page, data_store: Account, newer: str, width: int
) -> None:
    begun = datetime(2026, 11, 1, 9, tzinfo=UTC)
    names = [new_submission("ssda903", 2026, begun + timedelta(minutes=number)).path for number in range(1000)]
    sent = [
        report(name, uploaded_at=(begun + timedelta(minutes=number)).isoformat()) for number, name in enumerate(names)
    ]
    data_store.write_index(*sent, current={"header": names[-1].rpartition("/")[2]})
    links = page.locator("table").last.locator("tbody a")

    page.goto("/submissions/ssda903/2026")
    seen(page, "year-first-page", width)
    found = links.evaluate_all("found => found.map(link => link.pathname)")
    page.get_by_role("link", name="Older submissions").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Page 2", exact=True)).to_have_attribute("aria-current", "page")
    expect(page.get_by_role("table", name="What is in the shared bucket now")).to_have_count(0)
    seen(page, "year-second-page", width)
    found += links.evaluate_all("found => found.map(link => link.pathname)")
    assert found == [f"/submissions/{name}" for name in reversed(names[-100:])]

    page.get_by_role("link", name="Page 20", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page).to_have_title(re.compile("page 20 of 20"))
    assert links.last.get_attribute("href") == f"/submissions/{names[0]}"
    expect(page.get_by_role("link", name="Older submissions")).to_have_count(0)
    page.get_by_role("link", name="Newer submissions").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_title(re.compile("page 19 of 20"))


def test_a_file_whose_checks_are_delayed_is_said_to_be_and_followed_all_the_same(
    page: Page, data_store: Account, older: str, width: int
) -> None:
    data_store.tell_progress(older, "uploaded", "parsed")
    page.goto(f"/submissions/{older}")
    expect(page.get_by_role("heading", name="The checks are delayed")).to_be_visible()
    seen(page, "delayed", width)
    data_store.accept(older)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()


def test_a_submission_is_withdrawn_after_a_confirmation_and_followed_to_its_end(
    page: Page, data_store: Account, newer: str, width: int
) -> None:
    data_store.accept(newer)
    page.goto(f"/submissions/{newer}")
    page.get_by_role("button", name="Withdraw this submission").click()
    expect(page.get_by_role("heading", name="Do you want to withdraw this submission?")).to_be_visible()
    seen(page, "withdrawal", width)
    page.get_by_role("link", name="Keep it").click()
    assert data_store.withdrawals() == []
    page.get_by_role("button", name="Withdraw this submission").click()
    page.get_by_role("button", name="Withdraw it for good").click()
    expect(page.get_by_role("heading", name="Being withdrawn")).to_be_visible()
    assert data_store.withdrawals() == [f"withdrawals/{newer}.json"]
    seen(page, "withdrawing", width)
    done = {"who": "Mia Manager (subject-of-Mia)", "completed_at": "2026-11-21T10:15:09Z"}
    nothing = {"errors": {"total": 0, "by_rule": [], "shown": []}, "checks": [], "shared": []}
    data_store.write_report(newer, state="withdrawn", withdrawn=done, **nothing)
    expect(page.get_by_role("heading", name="This submission was withdrawn")).to_be_visible()
    expect(page.locator("dt:text-is('Asked for by') + dd")).to_have_text("Mia Manager (subject-of-Mia)")
    seen(page, "withdrawn", width)
