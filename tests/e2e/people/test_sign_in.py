# SPDX-License-Identifier: GPL-3.0-or-later
"""Two people of two authorities sign in with a browser, upload, see their own, and get no further with each other's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Page, expect

from files.frontend.tests.chromium import chromium_browser
from sandbox import people
from sandbox.journey.organisation import Organisation
from sandbox.people import UPLOADER, VIEWER, Person
from sandbox.settings import ROOT, Settings
from tests.e2e.conftest import sample


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_browser(ROOT / "build" / "chromium") as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        context.set_default_timeout(30_000)
        yield context


def sign_in(page: Page, frontend: str, person: Person) -> None:
    page.goto(frontend)
    page.get_by_label("Username").fill(person.email)
    page.get_by_label("Password").fill(person.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{frontend}/**")


def send(page: Page, path: Path) -> None:
    page.get_by_label("SSDA903").check()
    page.get_by_label("Year").select_option("2026")
    page.get_by_role("button", name="Continue").click()
    # The script takes over from the plain form once it has been loaded.
    page.locator("#upload[novalidate]").wait_for()
    page.get_by_label("File", exact=True).set_input_files(path)
    page.get_by_role("button", name="Upload file").click()


def session_of(context: BrowserContext) -> str:
    (session,) = [cookie["value"] for cookie in context.cookies() if cookie["name"] == "session"]
    return session


def uploads_of(page: Page) -> set[str]:
    """The submissions that the first page lists."""
    links = page.locator('a[href^="/submissions/"]').all()
    return {(link.get_attribute("href") or "").rpartition("/")[2] for link in links}


def test_people_of_two_authorities_upload_and_each_sees_their_own(
    settings: Settings, organisation: Organisation, browser: Browser, tmp_path: Path
) -> None:
    sent: dict[str, str] = {}
    listed: dict[str, set[str]] = {}
    sessions: dict[str, str] = {}
    frontends = {account: organisation.frontend(account) for account in ("camden", "croydon")}
    for account, frontend in frontends.items():
        with browser.new_context() as context:
            context.set_default_timeout(30_000)
            page = context.new_page()
            person = people.find(settings, account, UPLOADER)
            sign_in(page, frontend, person)
            expect(page.get_by_text(person.email)).to_be_visible()
            path = tmp_path / "header.csv"
            path.write_bytes(sample("header.csv"))
            send(page, path)
            expect(page.get_by_role("heading", name="Accepted")).to_be_visible(timeout=120_000)
            sent[account] = page.url.rpartition("/")[2]
            page.goto(frontend)
            listed[account] = uploads_of(page)
            sessions[account] = session_of(context)
    for account, other in (("camden", "croydon"), ("croydon", "camden")):
        assert sent[account] in listed[account]
        assert sent[account] not in listed[other]
        stolen = requests.get(
            frontends[other], cookies={"session": sessions[account]}, allow_redirects=False, timeout=30
        )
        assert stolen.status_code == 303
        assert "/sign-in?" in stolen.headers["location"]
        own = requests.get(
            frontends[account], cookies={"session": sessions[account]}, allow_redirects=False, timeout=30
        )
        assert own.status_code == 200


def test_a_person_of_another_authority_is_not_let_in_by_the_sign_in_pages(
    settings: Settings, organisation: Organisation, context: BrowserContext
) -> None:
    stranger = people.find(settings, "croydon")
    page = context.new_page()
    page.goto(organisation.frontend("camden"))
    page.get_by_label("Username").fill(stranger.email)
    page.get_by_label("Password").fill(stranger.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Incorrect username or password.")).to_be_visible()
    assert [cookie["name"] for cookie in context.cookies() if cookie["name"] == "session"] == []


def test_a_viewer_cannot_upload_and_signing_out_asks_for_the_password_again(
    settings: Settings, organisation: Organisation, context: BrowserContext
) -> None:
    frontend = organisation.frontend("camden")
    page = context.new_page()
    sign_in(page, frontend, people.find(settings, "camden", VIEWER))
    expect(page.get_by_text("You may look at results, but not upload files.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You have signed out")).to_be_visible()
    page.get_by_role("button", name="Sign in again").click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_a_file_that_is_damaged_and_one_that_is_too_large_are_refused(
    settings: Settings, organisation: Organisation, context: BrowserContext, tmp_path: Path
) -> None:
    frontend = organisation.frontend("croydon")
    page = context.new_page()
    sign_in(page, frontend, people.find(settings, "croydon"))
    workbook = tmp_path / "header.xlsx"
    workbook.write_bytes(b"PK\x03\x04" + bytes(range(256)))
    send(page, workbook)
    expect(page.get_by_role("heading", name="Your file was rejected")).to_be_visible(timeout=120_000)
    large = tmp_path / "large.csv"
    with large.open("wb") as file:
        file.truncate(200 * 1024 * 1024 + 1)
    page.goto(frontend)
    send(page, large)
    expect(page.locator("#summary")).to_contain_text(re.compile(r"no larger than 200 MB"))


def test_the_services_log_tells_who_signed_in_and_holds_no_secret(
    settings: Settings, organisation: Organisation
) -> None:
    password = people.find(settings, "camden").password
    logs = list((settings.state / "tasks" / organisation.account_id("camden")).glob("localgov-frontend-*/frontend.log"))
    text = "".join(log.read_text() for log in logs)
    assert "signed in, in groups: uploaders" in text
    assert password not in text
    assert "code=" not in text
