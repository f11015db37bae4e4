# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the pictures of the documentation in Chromium, from made-up accounts: `make screenshots`."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from files.frontend.tests.chromium import chromium_browser
from tests.unit.playbooks import estates

CHECKOUT = Path(__file__).resolve().parents[1]
IMAGES = Path(__file__).resolve().parent / "images"
ROLLOUTS = CHECKOUT / "build" / "bench" / "fleet"
# The digest of the page that was taken, by which tests/lint/test_pictures.py knows whether it has changed.
TAKEN = IMAGES / "estate.sha256"
_WIDE, _PHONE = {"width": 1180, "height": 980}, {"width": 360, "height": 720}


def _authorities(page: Path) -> int:
    return int(page.parent.parent.name.partition("-")[0])


def digest() -> str:
    """Of the page as it is now, for it changes neither by itself nor from one machine to another."""
    return hashlib.sha256(estates.page(estates.small()).encode()).hexdigest()


def take(browser: Browser, folder: Path) -> None:
    """The page of six accounts, on a screen and on a phone, and its drawings."""
    file = folder / "estate.html"
    file.write_text(estates.page(estates.small()), encoding="utf-8")
    for name, size in (("estate", _WIDE), ("estate-phone", _PHONE)):
        page = browser.new_page(viewport=size)  # type: ignore[arg-type]
        page.goto(file.as_uri())
        page.screenshot(path=IMAGES / f"{name}.png")
        if name == "estate":
            page.locator("figure svg").nth(0).screenshot(path=IMAGES / "estate-trust.png")
            page.locator("figure svg").nth(2).screenshot(path=IMAGES / "estate-network.png")
        page.close()


def take_rollout(browser: Browser, file: Path) -> None:
    """The first accounts of the page that a rollout has left."""
    page = browser.new_page(viewport={"width": 1180, "height": 620})
    page.goto(file.as_uri())
    page.screenshot(path=IMAGES / "rollout.png")
    page.close()


def main() -> None:
    """Write them into docs/images."""
    with tempfile.TemporaryDirectory() as folder, chromium_browser(CHECKOUT / "build" / "chromium") as browser:
        take(browser, Path(folder))
        # Where `make bench-fleet` has rolled one out.
        if largest := max(ROLLOUTS.glob("*-0/A-fresh-report/site.html"), key=_authorities, default=None):
            take_rollout(browser, largest)
    TAKEN.write_text(f"{digest()}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
