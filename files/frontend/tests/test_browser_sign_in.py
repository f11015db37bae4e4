# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of signing in, in a real browser, at a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from account import Account
from conftest import Frontend, listen, open_page
from playwright.sync_api import Browser, Page, expect
from provider import Provider, person
from test_browser import choose, look, send, wait_for_follow_page

_LONG_NAME = "anna-katharina.featherstonehaugh-cholmondeley@kensington-and-chelsea.example"


@pytest.fixture(params=[1100, 360], ids=["desk", "phone"])
def width(request: pytest.FixtureRequest) -> int:
    chosen: int = request.param
    return chosen


@pytest.fixture
def page(
    browser: Browser, frontend: Frontend, camden: Frontend, data_store: Account, provider: Provider, width: int
) -> Iterator[Page]:
    """A page in whose life no script fails and nothing breaks the content security policy."""
    provider.signed_in, provider.sign = person("Ada", "uploaders", email=_LONG_NAME), None
    data_store.allow_origins(frontend.address, camden.address)
    with browser.new_context(base_url=camden.address, viewport={"width": width, "height": 800}) as context:
        page = open_page(context)
        complaints = listen(page)
        yield page
    assert not complaints


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "header.csv"
    path.write_bytes(b"CHILD\n1\n")
    return path


def seen(page: Page, name: str, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    look(page, f"sign-in-{name}-{width}")


def test_a_signed_in_person_uploads_by_script_and_signs_out(
    page: Page, width: int, data_store: Account, file: Path
) -> None:
    choose(page)
    page.goto("/")
    expect(page.get_by_text(_LONG_NAME)).to_be_visible()
    seen(page, "signed-in", width)
    choose(page)
    seen(page, "upload", width)
    send(page, file)
    submission = wait_for_follow_page(page)
    assert list(data_store.uploads()) == [f"uploads/{submission}.csv"]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You have signed out")).to_be_visible()
    seen(page, "signed-out", width)


def test_whoever_is_in_no_group_is_told_so_and_can_leave(page: Page, width: int, provider: Provider) -> None:
    provider.signed_in = person("Eve", "strangers", email=_LONG_NAME)
    page.goto("/")
    expect(page.get_by_role("heading", name="You do not have access to this service")).to_be_visible()
    seen(page, "without-group", width)
    page.get_by_role("main").get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You have signed out")).to_be_visible()


def test_whoever_may_only_look_on_is_offered_no_upload(page: Page, width: int, provider: Provider) -> None:
    provider.signed_in = person("Vic", "viewers")
    page.goto("/")
    expect(page.get_by_text("You may look at results, but not upload files.")).to_be_visible()
    seen(page, "viewer", width)


def test_a_sign_in_that_fails_can_be_tried_again(page: Page, width: int) -> None:
    page.goto("/sign-in/callback?code=x&state=y")
    expect(page.get_by_role("heading", name="You could not be signed in")).to_be_visible()
    seen(page, "failed", width)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Which data return do you want to upload?")).to_be_visible()


def test_a_session_that_ended_meanwhile_is_named_in_place_of_the_upload(page: Page, width: int, file: Path) -> None:
    choose(page)
    page.context.clear_cookies()
    send(page, file)
    expect(page.locator("#failure")).to_contain_text("You are not signed in.")
    seen(page, "session-ended", width)
