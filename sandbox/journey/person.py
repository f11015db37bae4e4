# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does at a frontend: sign in, upload a file straight to S3 and follow it to its result."""

from __future__ import annotations

import html
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from sandbox.people import Person

_SECONDS_TO_ANSWER = 30
_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_FORM_TOKEN = re.compile(r'<meta name="form-token" content="([^"]+)">')
Found = TypeVar("Found")

# Who has signed in at which frontend keeps that session, as a browser does.
_browsers: dict[str, requests.Session] = {}


class JourneyError(Exception):
    """The way ended early: says where, and what was expected there."""


@dataclass(frozen=True)
class Submission:
    """A file on its way. `follow` is the page that shows it."""

    identifier: str
    dataset: str
    year: int
    frontend: str
    follow: str

    @property
    def path(self) -> str:
        """What Dagster calls the partition."""
        return f"{self.dataset}/{self.year}/{self.identifier}"

    @property
    def upload_key(self) -> str:
        return f"uploads/{self.path}.csv"

    @property
    def results_prefix(self) -> str:
        return f"results/{self.path}/"


def sign_in(frontend: str, person: Person) -> requests.Session:
    """Go to a frontend, fill in the sign-in page that it leads to, and come back; a session that holds is kept."""
    browser = _browsers.get(frontend)
    if browser:
        seen = browser.get(frontend, allow_redirects=False, timeout=_SECONDS_TO_ANSWER)
        if seen.status_code == requests.codes.ok:
            return browser
    browser = requests.Session()
    page = browser.get(frontend, timeout=_SECONDS_TO_ANSWER)
    fields = {name: html.unescape(value) for name, value in _INPUT.findall(page.text)}
    login = {**fields, "username": person.email, "password": person.password}
    back = browser.post(urljoin(page.url, "/login"), data=login, timeout=_SECONDS_TO_ANSWER)
    if not back.ok or urlsplit(back.url).netloc != urlsplit(frontend).netloc:
        raise JourneyError(f"{person.email} could not sign in at {frontend}: {back.status_code} at {back.url}")
    _browsers[frontend] = browser
    return browser


def _browser(address: str) -> requests.Session:
    """The person's browser at the frontend of an address; where nobody has signed in, an empty one."""
    parts = urlsplit(address)
    return _browsers.get(f"{parts.scheme}://{parts.netloc}") or requests.Session()


def _form_token(browser: requests.Session, frontend: str) -> dict[str, str]:
    """What the pages give their scripts to send along."""
    found = _FORM_TOKEN.search(browser.get(frontend, timeout=_SECONDS_TO_ANSWER).text)
    return {"X-Form-Token": found[1]} if found else {}


def ask(frontend: str, path: str, body: dict[str, object]) -> requests.Response:
    """What a page's script sends to its frontend: JSON, in the person's session and with its token."""
    browser = _browser(frontend)
    token = _form_token(browser, frontend)
    return browser.post(f"{frontend}{path}", json=body, headers=token, timeout=_SECONDS_TO_ANSWER)


def upload(frontend: str, content: bytes, *, dataset: str = "ssda903", year: int = 2026) -> Submission:
    """Ask the frontend for a signed request and send the file with it, as the page's script does."""
    answer = ask(frontend, "/submissions", {"dataset": dataset, "year": year})
    if answer.status_code != requests.codes.created:
        raise JourneyError(f"{frontend} did not begin a submission: {answer.status_code} {answer.text[:300]}")
    begun = answer.json()
    sent = requests.post(
        begun["url"], data=begun["fields"], files={"file": ("upload.csv", content)}, timeout=_SECONDS_TO_ANSWER
    )
    if not sent.ok:
        raise JourneyError(f"S3 refused the upload: {sent.status_code} {sent.text[:300]}")
    return Submission(begun["submission"], dataset, year, frontend, frontend + begun["follow"])


def wait_for_result(submission: Submission, seconds: float = 120) -> str:
    """`accepted`, `rejected`, `duplicate` or `withdrawn`, from the same place that the waiting page asks."""

    def state() -> str | None:
        answer = _browser(submission.follow).get(f"{submission.follow}/status", timeout=_SECONDS_TO_ANSWER)
        answer.raise_for_status()
        found = answer.json()
        return None if found["goes_on"] else str(found["state"])

    return wait_for(state, f"a result of submission {submission.identifier} at {submission.follow}", seconds)


def page_text(submission: Submission) -> str:
    """The page that the person sees."""
    answer = _browser(submission.follow).get(submission.follow, timeout=_SECONDS_TO_ANSWER)
    answer.raise_for_status()
    return answer.text


def another(content: bytes) -> bytes:
    """The same rows in another file: one whose content counts already is recognised, and not worked on again."""
    return content + b"\n" * (1 + secrets.randbelow(20_000)) if content else content


def answers(frontend: str) -> bool:
    """Whether the frontend is up."""
    try:
        return requests.get(f"{frontend}/health", timeout=_SECONDS_TO_ANSWER).ok
    except requests.ConnectionError:
        return False


def wait_for(condition: Callable[[], Found | None], what: str, seconds: float) -> Found:
    """What the condition returns once it is true; an error that names what never came, after so many seconds."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > limit:
            raise JourneyError(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(0.25)
    return found
