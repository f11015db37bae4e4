# SPDX-License-Identifier: GPL-3.0-or-later
"""A large file goes up in parts, through a network that is cut, and the service never holds it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from account import BUCKET, Account
from conftest import Frontend, open_page, running_frontend
from cuts import Relay, relay
from localgov_frontend.multipart import PART_BYTES
from playwright.sync_api import Browser, Page, expect
from processes import wait_until
from test_browser import choose, look, send, wait_for_follow_page

_MEGABYTE = 1024 * 1024
_MOST_GROWTH = 50 * _MEGABYTE


@pytest.fixture(scope="module")
def network(account: Account) -> Iterator[Relay]:
    parts = urlsplit(account.endpoint)
    assert parts.hostname
    assert parts.port
    with relay(parts.hostname, parts.port) as running:
        yield running


@pytest.fixture(scope="module")
def large_frontend(
    account: Account,
    settings: dict[str, str],
    frontend: Frontend,
    network: Relay,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Frontend]:
    """A service that takes 2 GiB and sends browsers to S3 by the network that can be cut."""
    changed = {**settings, "MAX_UPLOAD_BYTES": str(2048 * _MEGABYTE), "UPLOAD_ENDPOINT_URL": network.address}
    with running_frontend(changed, tmp_path_factory.mktemp("large") / "log") as running:
        account.allow_origins(frontend.address, running.address)
        yield running


@pytest.fixture
def large_page(browser: Browser, large_frontend: Frontend, network: Relay, data_store: Account) -> Iterator[Page]:
    with browser.new_context(base_url=large_frontend.address, viewport={"width": 1100, "height": 900}) as context:
        yield open_page(context)
    network.mend()


@pytest.fixture
def large_file(tmp_path: Path, size: int) -> Iterator[Path]:
    """No two parts of it are equal."""
    path = tmp_path / "confidential name.csv"
    block = os.urandom(_MEGABYTE // 2).hex().encode()
    with path.open("wb") as file:
        for number in range(size // _MEGABYTE):
            file.write(b"%08d,%s\n" % (number, block[9 + 1 :]))
        file.write(b"x" * (size - file.tell()))
    yield path
    path.unlink()


def largest_memory(process: int) -> int:
    """The most that the process has ever held, in bytes. It has no children that could hold more."""
    folder = Path("/proc") / str(process)
    assert not "".join(path.read_text() for path in folder.glob("task/*/children"))
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", (folder / "status").read_text(), re.MULTILINE)
    return int(kilobytes) * 1024


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_object(account: Account, key: str) -> str:
    found = hashlib.sha256()
    for chunk in account.s3.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(_MEGABYTE):
        found.update(chunk)
    return found.hexdigest()


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(64 * _MEGABYTE, id="64 MB"),
        pytest.param(1024 * _MEGABYTE, id="1 GB", marks=pytest.mark.slow),
    ],
)
def test_a_large_file_is_resumed_after_two_cuts_and_a_closed_page_and_arrives_whole(
    large_page: Page, large_frontend: Frontend, network: Relay, data_store: Account, large_file: Path, size: int
) -> None:
    before, passed_before = largest_memory(large_frontend.process), network.passed
    choose(large_page)
    network.cut_after(size // 4)
    send(large_page, large_file)
    expect(large_page.locator("#trouble")).to_be_visible(timeout=60_000)
    expect(large_page.get_by_role("status")).to_contain_text("The connection broke. Trying again")
    look(large_page, "parts-cut")
    assert data_store.uploads() == {}
    network.cut_after(size // 2)
    network.is_cut.clear()
    assert network.is_cut.wait(240)
    context = large_page.context
    large_page.close()
    large_page = open_page(context)
    choose(large_page)
    expect(large_page.get_by_role("heading", name="An upload is not finished")).to_be_visible()
    look(large_page, "parts-unfinished")
    network.mend()
    send(large_page, large_file)
    large_page.wait_for_url(re.compile(r"/submissions/ssda903/2026/"), timeout=300_000)
    key = f"uploads/{wait_for_follow_page(large_page)}.csv"
    stored = data_store.s3.head_object(Bucket=BUCKET, Key=key)
    assert (stored["ContentLength"], stored["ContentType"]) == (size, "text/csv")
    assert sha256_of_object(data_store, key) == sha256_of_file(large_file)
    # What was under way at a cut was sent again, and no more: three parts, twice, and what lay in buffers.
    assert network.passed - passed_before < size + 8 * PART_BYTES
    assert largest_memory(large_frontend.process) - before < _MOST_GROWTH


@pytest.fixture
def size() -> int:
    return 3 * PART_BYTES


@pytest.fixture
def cut_upload(large_page: Page, network: Relay, large_file: Path, size: int) -> Page:
    """A page whose upload has lost its connection after the first part."""
    choose(large_page)
    network.cut_after(size // 2)
    send(large_page, large_file)
    expect(large_page.locator("#trouble")).to_be_visible()
    return large_page


def parts_under_way(account: Account) -> list[str]:
    return [upload["Key"] for upload in account.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


def test_a_person_who_cancels_leaves_nothing_behind(cut_upload: Page, data_store: Account) -> None:
    assert parts_under_way(data_store)
    cut_upload.get_by_role("button", name="Cancel upload").click()
    expect(cut_upload.get_by_role("status")).to_have_text("The upload is cancelled.")
    expect(cut_upload.get_by_label("File", exact=True)).to_be_focused()
    assert parts_under_way(data_store) == []
    choose(cut_upload)
    expect(cut_upload.locator("#unfinished")).to_be_hidden()


def test_an_upload_of_an_earlier_visit_can_be_cancelled(cut_upload: Page, data_store: Account) -> None:
    choose(cut_upload)
    cut_upload.get_by_role("button", name="Cancel that upload").click()
    expect(cut_upload.get_by_role("status")).to_have_text("The upload is cancelled.")
    assert parts_under_way(data_store) == []


def test_after_many_attempts_one_button_goes_on_with_the_rest(
    cut_upload: Page, network: Relay, data_store: Account, large_file: Path
) -> None:
    cut_upload.set_viewport_size({"width": 360, "height": 740})
    look(cut_upload, "phone-parts-cut")
    cut_upload.clock.install()

    def has_given_up() -> bool:
        """Eight attempts, with pauses of up to a quarter of a minute that nobody has to wait for here."""
        cut_upload.clock.run_for(15_000)
        return cut_upload.locator("#failure").is_visible()

    wait_until(has_given_up, "the page says that the upload has failed")
    expect(cut_upload.locator("#failure")).to_be_focused()
    expect(cut_upload.locator("#failure")).to_contain_text("What has arrived is kept until tomorrow.")
    assert cut_upload.evaluate("document.documentElement.scrollWidth") <= 360
    look(cut_upload, "phone-parts-failed")
    network.mend()
    cut_upload.get_by_role("button", name="Go on").click()
    key = f"uploads/{wait_for_follow_page(cut_upload)}.csv"
    assert data_store.uploads() == {key: large_file.read_bytes()}


def test_a_file_that_was_changed_is_sent_as_it_is_now(
    cut_upload: Page, network: Relay, data_store: Account, large_file: Path
) -> None:
    """Even if its name, size and date say that it is the same."""
    date = large_file.stat().st_mtime_ns
    with large_file.open("r+b") as file:
        file.write(b"corrected")
    os.utime(large_file, ns=(date, date))
    choose(cut_upload)
    network.mend()
    send(cut_upload, large_file)
    key = f"uploads/{wait_for_follow_page(cut_upload)}.csv"
    assert data_store.uploads()[key].startswith(b"corrected")
    assert sha256_of_object(data_store, key) == sha256_of_file(large_file)


def test_two_tabs_do_not_send_the_same_file(cut_upload: Page, large_file: Path) -> None:
    other = open_page(cut_upload.context)
    choose(other)
    send(other, large_file)
    expect(other.locator("#failure")).to_contain_text("being uploaded in another tab")
