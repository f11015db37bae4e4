# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees, in a real browser, with and without scripts, at a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from account import Account, rejection
from conftest import MAX_UPLOAD_BYTES, PROJECT, Frontend, open_page
from playwright.sync_api import Browser, Page, expect

_AXE = (Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js").read_text()
_SCREENSHOTS = PROJECT / "build" / "screenshots"
_HEADER = b"CHILD,SEX,DOB\n1,M,01/02/2015\n2,F,never\n3,F,03/04/2016\n"


@pytest.fixture
def header_file(tmp_path: Path) -> Path:
    path = tmp_path / "confidential name.csv"
    path.write_bytes(_HEADER)
    return path


@pytest.fixture
def slow_network(page: Page) -> Iterator[None]:
    """512 KiB a second upwards, so that 3 MiB take long enough to be watched."""
    session = page.context.new_cdp_session(page)
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 512 * 1024}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", speed)
    yield
    session.detach()


def look(page: Page, name: str) -> None:
    """Keep a picture, and let axe judge what is on the page now."""
    page.screenshot(path=_SCREENSHOTS / f"{name}.png", full_page=True)
    page.evaluate(_AXE)
    violations = page.evaluate("axe.run().then(found => found.violations)")
    assert [(found["id"], found["nodes"][0]["html"]) for found in violations] == []


def choose(page: Page, dataset: str = "SSDA903", *, by_script: bool = True) -> None:
    page.goto("/")
    page.get_by_label(dataset).check()
    page.get_by_label("Year").select_option("2026")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Upload a file")).to_be_visible()
    if by_script:
        # The script takes over from the plain form once it has been loaded.
        page.locator("#upload[novalidate]").wait_for()


def send(page: Page, path: Path) -> None:
    page.get_by_label("File", exact=True).set_input_files(path)
    page.get_by_role("button", name="Upload file").click()


def wait_for_follow_page(page: Page) -> str:
    """The submission (dataset/year/identifier) that the page now follows."""
    page.wait_for_url(re.compile(r"/submissions/ssda903/2026/"))
    expect(page.get_by_role("heading", name="Your file is being checked")).to_be_visible()
    return urlsplit(page.url).path.removeprefix("/submissions/")


def test_a_file_goes_straight_to_the_data_store_and_is_followed_to_accepted(
    page: Page, data_store: Account, header_file: Path
) -> None:
    choose(page)
    look(page, "upload")
    send(page, header_file)
    submission = wait_for_follow_page(page)
    assert data_store.uploads() == {f"uploads/{submission}.csv": _HEADER}
    look(page, "waiting")
    data_store.tell_progress(submission, "uploaded", "parsed")
    expect(page.get_by_role("status")).to_have_text("Done: Tables read. Waiting for the result")
    expect(page.get_by_role("listitem").filter(has_text="Tables read")).to_contain_text("Done")
    expect(page.get_by_role("listitem").filter(has_text="Every cell checked")).to_contain_text("Now")
    expect(page.get_by_role("listitem").filter(has_text="Rows, tables and years")).to_contain_text("To come")
    look(page, "progress-of-stages")
    data_store.accept(submission)
    expect(page.get_by_role("heading", name="Accepted")).to_be_visible()
    expect(page).to_have_title(re.compile("^Accepted"))
    for key, value in {"Rows read": "3", "Rows kept": "3", "Rows shared": "3", "Errors": "1"}.items():
        expect(page.locator(f"dt:text-is('{key}') + dd")).to_have_text(value)
    expect(page.get_by_role("row", name="DOB Not a date. Write it as DD/MM/YYYY. Row 2 1")).to_be_visible()
    expect(page.get_by_role("row", name="header Shared copied on 21 July 2026 at 10:15am")).to_be_visible()
    page.get_by_text("For the organisation, to compare and plan").click()
    expect(page.locator("dt:text-is('Bucket') + dd")).to_have_text("localgov-210987654321-shared")
    look(page, "accepted")


def test_a_rejected_file_is_explained_and_can_be_corrected(page: Page, data_store: Account, header_file: Path) -> None:
    choose(page)
    send(page, header_file)
    reason = "The columns belong to no known table."
    data_store.write_report(wait_for_follow_page(page), **rejection(reason))
    expect(page.get_by_role("heading", name="Your file was rejected")).to_be_visible()
    expect(page.get_by_role("row", name=f"Whole file {reason}")).to_be_visible()
    look(page, "rejected")
    page.get_by_role("button", name="Upload a corrected file").click()
    expect(page.get_by_label("SSDA903")).to_be_checked()
    expect(page.get_by_label("Year")).to_have_value("2026")


@pytest.mark.usefixtures("slow_network")
def test_the_progress_of_a_large_file_is_shown(page: Page, data_store: Account, tmp_path: Path) -> None:
    large = tmp_path / "large.csv"
    large.write_bytes(b"CHILD\n" + b"1\n" * (3 * 512 * 1024))
    choose(page)
    send(page, large)
    expect(page.get_by_text(re.compile(r"^[2-8]\d% of 3\.0 MB"))).to_be_visible()
    look(page, "progress")
    submission = wait_for_follow_page(page)
    assert len(data_store.uploads()[f"uploads/{submission}.csv"]) == large.stat().st_size


def test_an_upload_without_scripts_goes_the_same_way(
    browser: Browser, frontend: Frontend, data_store: Account, header_file: Path
) -> None:
    with browser.new_context(base_url=frontend.address, java_script_enabled=False) as context:
        page = open_page(context)
        choose(page, by_script=False)
        send(page, header_file)
        submission = wait_for_follow_page(page)
        assert data_store.uploads() == {f"uploads/{submission}.csv": _HEADER}
        data_store.accept(submission)
        # The page loads itself anew every ten seconds.
        expect(page.get_by_role("heading", name="Accepted")).to_be_visible(timeout=20_000)


def test_after_a_lost_connection_one_button_tries_again(page: Page, data_store: Account, header_file: Path) -> None:
    choose(page)
    page.route("**/localgov-*-data-store", lambda route: route.abort("connectionreset"))
    send(page, header_file)
    expect(page.get_by_text("The connection was lost.")).to_be_visible()
    expect(page.locator("#failure")).to_be_focused()
    look(page, "error-connection-lost")
    assert data_store.uploads() == {}
    page.unroute_all()
    page.get_by_role("button", name="Try again").click()
    submission = wait_for_follow_page(page)
    assert data_store.uploads() == {f"uploads/{submission}.csv": _HEADER}


def test_a_machine_that_is_offline_is_told_so_before_the_upload(page: Page, header_file: Path) -> None:
    choose(page)
    page.context.set_offline(True)
    send(page, header_file)
    expect(page.get_by_text("The connection was lost before the upload began.")).to_be_visible()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    wait_for_follow_page(page)


def test_a_refusal_by_the_data_store_says_why_and_whom_to_ask(
    page: Page, data_store: Account, header_file: Path
) -> None:
    data_store.permit("s3:PutObject")
    choose(page)
    send(page, header_file)
    expect(page.get_by_text("The data store did not permit it.")).to_contain_text("ask the data team")
    look(page, "error-refused")
    assert data_store.uploads() == {}


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (None, "Select a file"),
        (0, "The selected file is empty"),
        (MAX_UPLOAD_BYTES + 1, "The selected file must be no larger than 4 MB"),
    ],
)
def test_a_file_that_cannot_be_sent_is_named_at_the_field(
    page: Page, data_store: Account, tmp_path: Path, size: int | None, message: str
) -> None:
    choose(page)
    if size is not None:
        path = tmp_path / "file.csv"
        path.write_bytes(b"1" * size)
        page.get_by_label("File", exact=True).set_input_files(path)
    page.get_by_role("button", name="Upload file").click()
    expect(page.locator("#summary")).to_be_focused()
    expect(page.locator("#summary")).to_contain_text(message)
    expect(page.locator("#file-error")).to_contain_text(message)
    look(page, "error-file")
    assert data_store.uploads() == {}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("return.xml", b"<a/>", "must be a CSV file (.csv) or an Excel workbook (.xlsx)"),
        ("return.csv", b"\xd0\xcf\x11\xe0\xa1", "is a workbook of an old kind"),
        ("return.csv", b"%PDF-1.7", "is a PDF"),
        ("return.csv", b"CHILD\n\x001\n", "is not text"),
    ],
)
def test_a_file_of_another_kind_is_named_before_it_is_sent(
    page: Page, data_store: Account, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    choose(page)
    send(page, path)
    expect(page.locator("#file-error")).to_contain_text(message)
    assert data_store.uploads() == {}


@pytest.mark.parametrize(
    ("dataset", "name", "content"),
    [
        ("SSDA903", "return.csv", "CHILD\n1\n".encode("utf-16")),
        ("SSDA903", "Return.XLSX", b"PK\x03\x04 and more"),
        ("Children in need", "census.xml", b"<Message/>"),
    ],
)
def test_each_data_return_takes_its_own_kinds_of_files(
    page: Page, data_store: Account, tmp_path: Path, dataset: str, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    choose(page, dataset)
    send(page, path)
    page.wait_for_url(re.compile(r"/submissions/"))
    submission = urlsplit(page.url).path.removeprefix("/submissions/")
    assert data_store.uploads() == {f"uploads/{submission}{path.suffix.lower()}": content}


def test_a_missing_choice_is_named_in_an_error_summary(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".govuk-error-summary")).to_be_focused()
    look(page, "error-choice")
    page.get_by_role("link", name="Select the year").click()
    expect(page.get_by_label("Year")).to_be_focused()


def test_the_first_page_lists_recent_submissions(page: Page, data_store: Account, submissions: list[str]) -> None:
    data_store.write_report(submissions[0])
    data_store.write_report(submissions[1], **rejection("The file is empty."))
    page.goto("/")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_text("Accepted", exact=True)).to_be_visible()
    expect(page.get_by_text("Rejected", exact=True)).to_be_visible()
    look(page, "start")


def test_an_unknown_address_has_a_page_of_its_own(page: Page) -> None:
    page.goto("/nowhere")
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    look(page, "error-not-found")


def test_pages_fit_a_phone(page: Page, data_store: Account, submissions: list[str]) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    data_store.write_report(submissions[0])
    choose(page)
    for name, address in {"phone-start": "/", "phone-accepted": f"/submissions/{submissions[0]}"}.items():
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        look(page, name)


def test_a_result_can_be_printed_whole(page: Page, data_store: Account, submissions: list[str]) -> None:
    data_store.write_report(submissions[0])
    page.goto(f"/submissions/{submissions[0]}")
    page.emulate_media(media="print")
    expect(page.get_by_role("row", name="DOB Not a date. Write it as DD/MM/YYYY. Row 2 1")).to_be_visible()
    page.screenshot(path=_SCREENSHOTS / "print.png", full_page=True)
