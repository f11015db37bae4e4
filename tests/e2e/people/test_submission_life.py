# SPDX-License-Identifier: GPL-3.0-or-later
"""A submission's life as a person of the authority sees it: its faults, the download, the withdrawal, and its end."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from playwright.sync_api import Browser, expect

from sandbox import people
from sandbox.journey.organisation import READER, Organisation, shared_file
from sandbox.journey.person import wait_for
from sandbox.people import MANAGER
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import record, sample
from tests.e2e.people.test_sign_in import browser, send, sign_in  # noqa: F401 - a fixture

ACCOUNT = "sutton"


def test_a_file_with_faults_is_explained_and_then_taken_back_until_nothing_of_it_is_left(
    settings: Settings,
    organisation: Organisation,
    browser: Browser,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = tmp_path / "header.csv"
    file.write_bytes(sample("header_with_errors.csv"))
    with browser.new_context() as context:
        context.set_default_timeout(30_000)
        page = context.new_page()
        sign_in(page, organisation.frontend(ACCOUNT), people.find(settings, ACCOUNT, MANAGER))
        send(page, file)
        expect(page.get_by_role("heading", name="Accepted")).to_be_visible(timeout=120_000)
        path = page.url.partition("/submissions/")[2]
        report = organisation.report(ACCOUNT, f"results/{path}/")

        for group in report["errors"]["by_rule"]:
            expect(page.get_by_role("row").filter(has_text=group["reason"]).first).to_be_visible()
        expect(page.get_by_role("row", name="header Shared copied on")).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download all findings with their rows (CSV)").click()
        listed = list(csv.DictReader(download.value.path().read_text().splitlines()))
        assert (
            sum(row["rule"] in {group["rule"] for group in report["errors"]["by_rule"]} for row in listed)
            == (report["errors"]["total"])
        )
        shared = shared_file(report)
        assert organisation.read(READER, shared.bucket, shared.key)

        page.get_by_role("button", name="Withdraw this submission").click()
        asked = time.monotonic()
        page.get_by_role("button", name="Withdraw it for good").click()
        expect(page.get_by_role("heading", name="This submission was withdrawn")).to_be_visible(timeout=120_000)
        measured = {"name": "asked to withdraw, until the page says that it is done", "unit": "s"}
        record("withdrawal", [{**measured, "value": round(time.monotonic() - asked, 1)}])
        expect(page.locator("dt:text-is('Asked for by') + dd")).to_contain_text(f"{MANAGER}@{ACCOUNT}.example")

    identifier = path.rpartition("/")[2]
    root = client_of_root(settings, ACCOUNT, "s3")
    for kind in ("workspace", "shared"):
        listed_versions = root.list_object_versions(Bucket=organisation.bucket(ACCOUNT, kind))
        assert not [entry for entry in listed_versions.get("Versions", []) if identifier in entry["Key"]]
    wait_for(
        lambda: (
            not [row for row in organisation.regional("ssda903", 2026, "header") if row["submission"] == identifier]
        ),
        "the organisation to take it out",
        120,
    )
