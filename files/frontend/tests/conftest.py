# SPDX-License-Identifier: GPL-3.0-or-later
"""The service as its image starts it, on a real S3, seen by a real browser."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from account import ACCOUNT_ID, BUCKET, ORGANISATION_ACCOUNT_ID, POLICIES, REGION, SHARED, Account
from chromium import chromium_browser
from image import read_image
from localgov_frontend.submissions import new_submission
from playwright.sync_api import Browser, BrowserContext, Page
from processes import free_port, server
from provider import Provider, running_provider

PROJECT = Path(__file__).parents[1]
# Small, so that "too large" can be tried without a large file; large enough to see progress.
MAX_UPLOAD_BYTES = 4 * 1024 * 1024
SESSION_KEY, PREVIOUS_SESSION_KEY = "newest-session-key-" * 4, "previous-session-key-" * 4


@dataclass(frozen=True)
class Frontend:
    address: str
    log: Path
    process: int

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.address)


def clean_environment() -> dict[str, str]:
    """Without the credentials and addresses of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("emulator")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    settings = {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        # ministack 1.5.33 takes the signer of a form for the default account when it is a role's session.
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "SFTP_ENABLED": "0",
    }
    command = [str(Path(sys.executable).with_name("ministack"))]
    health = f"{endpoint}/_ministack/health"
    with server(command, {**clean_environment(), **settings}, folder, folder / "log", health):
        account = Account(endpoint)
        account.create()
        yield account


@pytest.fixture(scope="session")
def settings(account: Account) -> dict[str, str]:
    """The environment of a task in this account, on top of the image's."""
    return {
        **clean_environment(),
        **{name: value for name, value in read_image(PROJECT / "Dockerfile").environment.items() if name != "PORT"},
        **account.task_credentials(),
        "ACCOUNT_ID": ACCOUNT_ID,
        "ACCOUNT_NAME": "camden",
        "AWS_ENDPOINT_URL": account.endpoint,
        "AWS_REGION": REGION,
        "BIND_ADDRESS": "127.0.0.1",
        "DATA_STORE_LOCATION": f"s3://{BUCKET}",
        "MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "ORGANISATION_ACCOUNT_ID": ORGANISATION_ACCOUNT_ID,
        "SHARED_LOCATION": f"s3://{SHARED}",
        # Who comes in is the matter of test_sign_in.py and test_browser_sign_in.py.
        "SIGN_IN": "none",
        "SUPPORT_CONTACT": "the data team",
        "UPLOAD_ENDPOINT_URL": account.endpoint,
    }


@contextmanager
def running_frontend(settings: dict[str, str], log: Path) -> Iterator[Frontend]:
    """The image's command, on the port that the settings name or one of its own."""
    port = settings.get("PORT") or free_port()
    address = f"http://127.0.0.1:{port}"
    _, *arguments = read_image(PROJECT / "Dockerfile").command
    with server(
        [sys.executable, *arguments], {**settings, "PORT": str(port)}, PROJECT, log, f"{address}/health"
    ) as process:
        yield Frontend(address, log, process)


@pytest.fixture(scope="session")
def frontend(
    account: Account, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Frontend]:
    with running_frontend(settings, tmp_path_factory.mktemp("frontend") / "log") as frontend:
        account.allow_origins(frontend.address)
        yield frontend


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def signing_in(settings: dict[str, str], provider: Provider) -> dict[str, str]:
    """The environment of a frontend that people sign in to, on a port that is known beforehand."""
    port = free_port()
    return {
        **settings,
        **provider.settings(),
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SESSION_KEY": SESSION_KEY,
        "SESSION_KEY_PREVIOUS": PREVIOUS_SESSION_KEY,
        "SIGN_IN_GROUPS": json.dumps(
            {
                "uploaders": {"may": "upload"},
                "viewers": {"may": "view"},
                "managers": {"may": "withdraw"},
                "needs": {"may": "view", "datasets": ["cin"]},
            }
        ),
    }


@pytest.fixture(scope="session")
def camden(signing_in: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    """A frontend that people sign in to."""
    with running_frontend(signing_in, tmp_path_factory.mktemp("camden") / "log") as frontend:
        yield frontend


@pytest.fixture
def data_store(account: Account) -> Iterator[Account]:
    """The account with an empty data store, a share and the role's full permissions; all of it again afterwards."""
    account.empty()
    account.share(POLICIES["granted"])
    yield account
    account.permit()
    account.empty()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium_browser(PROJECT / "build" / "chromium") as browser:
        yield browser


def open_page(context: BrowserContext) -> Page:
    context.set_default_timeout(15_000)
    return context.new_page()


def listen(page: Page) -> list[str]:
    """What goes wrong in the life of the page from now on: scripts that fail, and breaches of the content policy."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None,
    )
    return complaints


@pytest.fixture
def page(browser: Browser, frontend: Frontend) -> Iterator[Page]:
    """A page in whose life no script fails and nothing breaks the content security policy."""
    context = browser.new_context(base_url=frontend.address, viewport={"width": 1100, "height": 900})
    page = open_page(context)
    complaints = listen(page)
    yield page
    context.close()
    assert not complaints


@pytest.fixture
def submissions() -> list[str]:
    """Names (dataset/year/identifier) of submissions of the last minutes, newest first."""
    now = datetime.now(UTC)
    return [new_submission("ssda903", 2026, now - timedelta(minutes=age)).path for age in range(25)]
