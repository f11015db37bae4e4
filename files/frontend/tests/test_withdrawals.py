# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a submission back, over HTTP: who may, what is asked of the pipeline, what the page says until it is done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from account import Account, rejection
from conftest import Frontend
from localgov_frontend.submissions import new_submission
from provider import Provider, person
from test_sign_in import form_token, sign_in


@pytest.fixture
def http(camden: Frontend, data_store: Account, provider: Provider) -> Iterator[httpx.Client]:
    """The browser of somebody who may withdraw."""
    provider.signed_in, provider.sign = person("Mia", "managers", name="Mia Manager"), None
    with camden.http as client:
        yield client


@pytest.fixture
def accepted(data_store: Account) -> str:
    submission = new_submission("ssda903", 2026, datetime.now(UTC)).path
    data_store.accept(submission)
    return submission


def withdraw(http: httpx.Client, submission: str) -> httpx.Response:
    token = form_token(sign_in(http))
    return http.post(f"/submissions/{submission}/withdrawal", data={"form_token": token})


def test_after_a_confirmation_the_pipeline_is_asked_and_it_is_on_record_who_asked(
    http: httpx.Client, data_store: Account, accepted: str, camden: Frontend
) -> None:
    assert f'href="/submissions/{accepted}/withdrawal"' in sign_in(http, f"/submissions/{accepted}").text
    question = http.get(f"/submissions/{accepted}/withdrawal").text
    assert "Do you want to withdraw this submission?" in question
    assert "uploaded once more and counted as this one, that upload is removed as well." in question
    assert data_store.withdrawals() == [], "a question changes nothing"

    before = datetime.now(UTC) - timedelta(seconds=1)
    answer = withdraw(http, accepted)

    assert (answer.status_code, answer.headers["location"]) == (303, f"/submissions/{accepted}")
    asked = data_store.withdrawal(accepted)
    assert asked["who"] == "Mia Manager (subject-of-Mia)"
    assert before <= datetime.fromisoformat(asked["when"]) <= datetime.now(UTC)
    assert f"subject-of-Mia asked to withdraw {accepted}" in camden.log.read_text()
    assert "Mia Manager asked" not in camden.log.read_text()
    page = http.get(f"/submissions/{accepted}").text
    assert "Being withdrawn" in page
    assert f'href="/submissions/{accepted}/withdrawal"' not in page
    assert http.get(f"/submissions/{accepted}/status").json()["state"] == "withdrawing"


def test_whoever_asks_again_changes_nothing(
    http: httpx.Client, data_store: Account, accepted: str, provider: Provider
) -> None:
    withdraw(http, accepted)
    first = data_store.withdrawal(accepted)
    provider.signed_in = person("Max", "managers")
    sign_in(http, "/sign-in")
    assert withdraw(http, accepted).status_code == 303
    assert data_store.withdrawal(accepted) == first


@pytest.mark.parametrize("group", ["uploaders", "viewers"])
def test_whoever_may_not_withdraw_is_not_offered_it_and_refused(
    http: httpx.Client, data_store: Account, accepted: str, provider: Provider, group: str
) -> None:
    provider.signed_in = person("Ulf", group)
    page = sign_in(http, f"/submissions/{accepted}").text
    assert "withdrawal" not in page
    question = http.get(f"/submissions/{accepted}/withdrawal")
    assert (question.status_code, question.headers["location"]) == (303, f"/submissions/{accepted}")
    assert withdraw(http, accepted).status_code == 403
    assert data_store.withdrawals() == []


def test_a_withdrawal_needs_the_sessions_own_form(http: httpx.Client, data_store: Account, accepted: str) -> None:
    path = f"/submissions/{accepted}/withdrawal"
    assert http.post(path).status_code == 401
    token = form_token(sign_in(http))
    assert http.post(path).status_code == 403
    assert http.post(path, data={"form_token": "x"}).status_code == 403
    assert http.post(path, data={"form_token": token}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert data_store.withdrawals() == []


def test_a_rejected_file_can_be_taken_back_and_one_that_is_not_there_cannot(
    http: httpx.Client, data_store: Account
) -> None:
    rejected, missing = (new_submission("ssda903", 2026, datetime.now(UTC)).path for _ in range(2))
    data_store.write_report(rejected, **rejection("The file is empty."))
    assert withdraw(http, missing).status_code == 303
    assert withdraw(http, rejected).status_code == 303
    assert data_store.withdrawals() == [f"withdrawals/{rejected}.json"]


def test_a_role_that_may_not_ask_is_named_with_whom_to_tell(
    http: httpx.Client, data_store: Account, accepted: str
) -> None:
    data_store.permit("s3:PutObject")
    answer = withdraw(http, accepted)
    assert answer.status_code == 503
    assert "It is not permitted to ask for a withdrawal in the data store of Camden." in answer.text
