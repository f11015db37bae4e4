# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of an estate, as people see it: in Chromium, on a screen, on a phone, on paper and without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from files.frontend.tests.chromium import chromium_browser
from sandbox.settings import ROOT
from tests.unit.playbooks import estates

AXE = ROOT / "files" / "frontend" / "tests" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {"small": estates.small, "large": estates.large}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_browser(ROOT / "build" / "chromium") as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each estate."""
    folder = tmp_path_factory.mktemp("pages")
    for name, accounts in PAGES.items():
        (folder / f"{name}.html").write_text(estates.page(accounts()), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.fixture
def opened(browser: Browser, files: dict[str, Path]) -> Iterator[Callable[..., Page]]:
    """Opens the page of an estate; whatever it asks of others, or complains of, fails the test."""
    contexts, asked = [], []

    def opens(name: str, width: int = 1280, fragment: str = "", **how: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **how)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        address = files[name].as_uri()
        page.on("request", lambda request: asked.append(request.url) if not request.url.startswith(address) else None)
        page.on("console", lambda message: asked.append(message.text))
        page.goto(f"{address}{fragment}")
        return page

    yield opens
    for context in contexts:
        context.close()
    assert asked == []


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_no_violation(opened: Callable[..., Page], scheme: str, width: int) -> None:
    page = opened("small", width, color_scheme=scheme)
    open_all(page)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    violations = page.evaluate("axe.run().then(found => found.violations)")
    assert [(found["id"], found["nodes"][0]["html"]) for found in violations] == []


def test_the_first_sentence_says_at_a_glance_what_is_wrong_and_it_is_red(opened: Callable[..., Page]) -> None:
    page = opened("small")
    sentence = page.get_by_text("6 accounts, 2 differ, 1 unreachable, 1 with alarms.")
    expect(sentence).to_be_in_viewport()
    expect(sentence).to_have_css("color", "rgb(159, 18, 57)")
    wrong = page.get_by_role("region", name="What is not as it is declared").get_by_role("row")
    row = wrong.filter(has_text="service frontend: image")
    expect(row.get_by_role("rowheader")).to_have_text("sutton")
    expect(row.get_by_role("cell").last).to_have_text("0f5e2b7c9d11")
    expect(row.get_by_role("cell").last).to_have_css("color", "rgb(159, 18, 57)")
    expect(wrong.filter(has_text="unreachable: Cannot assume the role")).to_have_count(1)


def test_all_that_is_promised_of_an_account_is_there_without_scripts(opened: Callable[..., Page]) -> None:
    page = opened("small", java_script_enabled=False)
    assert page.locator("script").count() == 0
    croydon = page.locator("details.account").filter(has=page.get_by_role("heading", name="croydon", exact=True))
    for summary in croydon.locator("details summary").all():
        summary.click()
    for table in ("Services of croydon", "The latest submissions of croydon", "Stacks of croydon", "Alarms of croydon"):
        expect(croydon.get_by_role("table", name=table)).to_be_visible()
    services = croydon.get_by_role("table", name="Services of croydon")
    expect(services.get_by_role("row").filter(has_text="daemon")).to_contain_text("0 of 1")
    expect(croydon.get_by_role("table", name="What croydon costs in a month")).to_contain_text("Interface endpoints")
    expect(croydon.get_by_role("table", name="by another choice")).to_contain_text("way out: nat")
    expect(croydon).to_contain_text("1.13.27")
    expect(page.get_by_role("img", name="Who trusts whom between accounts")).to_be_visible()
    drawings = page.get_by_role("img", name="Who may open a connection to whom")
    assert drawings.count() == 3
    expect(drawings.nth(1)).to_contain_text("code server")


def test_nobody_is_named(opened: Callable[..., Page]) -> None:
    page = opened("small")
    assert "somebody@example.gov.uk" not in page.content()


@pytest.mark.parametrize("name", PAGES)
def test_on_a_phone_nothing_is_cut_off_and_only_tables_and_drawings_scroll(
    opened: Callable[..., Page], name: str
) -> None:
    page = opened(name, 360)
    open_all(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    too_small = (
        "[...document.querySelectorAll('body *')].filter(one => parseFloat(getComputedStyle(one).fontSize) < 11)"
    )
    assert page.evaluate(f"{too_small}.length") == 0
    # What is scrolled sideways can be scrolled by the keyboard, too.
    assert page.evaluate(
        "[...document.querySelectorAll('.wide')].every(one => one.scrollWidth <= one.clientWidth || one.tabIndex === 0)"
    )


def test_of_150_accounts_the_page_shows_an_index_and_opens_the_one_that_is_followed(
    opened: Callable[..., Page],
) -> None:
    page = opened("large")
    expect(page.get_by_text("150 accounts, 2 differ, 1 unreachable, 1 with alarms.")).to_be_in_viewport()
    index = page.get_by_role("region", name="Every account")
    expect(index.get_by_role("row")).to_have_count(151)
    assert page.locator("details.account[open]").count() == 0
    index.get_by_role("link", name="authority-149").click()
    expect(page.get_by_role("table", name="Services of authority-149")).to_be_in_viewport()
    # Networks that are alike are drawn once.
    assert page.get_by_role("img").count() == 4
    expect(page.get_by_role("img", name="Who trusts whom")).to_contain_text("147 authorities")


def test_on_paper_each_account_is_printed_whole_and_in_dark_on_light(opened: Callable[..., Page]) -> None:
    page = opened("small", color_scheme="dark")
    hidden = page.get_by_role("table", name="What merton costs in a month", include_hidden=True)
    expect(hidden).to_be_hidden()
    page.emulate_media(media="print")
    expect(hidden).to_be_visible()
    assert page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_an_estate_without_faults_says_so_and_has_no_list_of_them(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(estates.page([estates.account("hub", 0), estates.account("camden", 1)]))
    expect(page.get_by_text("2 accounts, 0 differ, 0 unreachable.")).to_have_css("color", "rgb(20, 102, 58)")
    expect(page.get_by_role("heading", name="What is wrong")).to_have_count(0)
    page.close()


def test_what_an_account_is_called_or_answers_cannot_become_part_of_the_page(browser: Browser) -> None:
    hostile = "<script>document.title='taken'</script>"
    account = estates.account("camden", 1)
    account["state"]["alarms"] = [{"name": hostile, "since": hostile, "description": hostile}]
    account["state"]["stacks"][0]["status"] = hostile
    account["state"]["runs"][0].update(dataset=hostile, state=hostile, finished_at=hostile)
    account["versions"]["dagster"] = hostile
    page = browser.new_page()
    page.set_content(estates.page([account]))
    assert page.title() == "How the accounts are"
    assert page.locator("script").count() == 0
    page.close()
