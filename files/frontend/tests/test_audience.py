# SPDX-License-Identifier: GPL-3.0-or-later
"""What a submission's page says of who may read what is shared of it, since when and until when."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from account import POLICIES, SHARED, Account, report
from botocore.exceptions import ClientError
from conftest import Frontend, running_frontend

_ORGANISATION = "The organisation (account 200000000001) may read this:"
_COPIED = "since 21 July 2026 at 10:15am"


@pytest.fixture
def http(frontend: Frontend, data_store: Account) -> httpx.Client:
    return frontend.http


@pytest.fixture
def submission(data_store: Account, submissions: list[str]) -> str:
    data_store.accept(submissions[0])
    return submissions[0]


def told(http: httpx.Client, submission: str) -> list[str]:
    """The paragraphs under the heading, of each profile."""
    page = http.get(f"/submissions/{submission}")
    assert page.status_code == 200
    _, *parts = re.split(r"<h3[^>]*>Who may read it", page.text)
    found = [re.findall(r"<p[^>]*>(.*?)</p>", part.partition("<details")[0], re.DOTALL) for part in parts]
    return [" ".join(html.unescape(paragraph).split()) for paragraphs in found for paragraph in paragraphs]


def beside(**elements: object) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{SHARED}/*", **elements}
    return {**POLICIES["revoked"], "Statement": [*POLICIES["revoked"]["Statement"], statement]}


def test_what_was_always_shared_is_read_since_it_was_copied(http: httpx.Client, submission: str) -> None:
    assert told(http, submission) == [f"{_ORGANISATION} {_COPIED}, until Camden revokes it."]


def test_what_was_shared_later_by_the_authoritys_decision_is_read_since_then_and_until_its_end(
    http: httpx.Client, data_store: Account, submission: str
) -> None:
    data_store.share(POLICIES["limited"], share="granted", share_since="2026-11-26T08:00:00Z")
    until = "until 31 March 2999 at 12:00am"
    assert told(http, submission) == [f"{_ORGANISATION} since 26 November 2026 at 8:00am, {until}."]


def test_a_decision_of_before_the_copy_does_not_count_for_it(
    http: httpx.Client, data_store: Account, submission: str
) -> None:
    data_store.share(POLICIES["granted"], share="granted", share_since="2026-01-05T08:00:00Z")
    assert told(http, submission) == [f"{_ORGANISATION} {_COPIED}, until Camden revokes it."]


def test_a_revocation_is_told_at_once_with_its_day(http: httpx.Client, data_store: Account, submission: str) -> None:
    assert told(http, submission)[0].startswith(_ORGANISATION)
    data_store.share(POLICIES["revoked"], share="revoked", share_since="2026-11-26T08:00:00Z")
    revoked = "the share was revoked on 26 November 2026 at 8:00am"
    assert told(http, submission) == [f"Nobody outside Camden may read this: {revoked}."]
    data_store.share(POLICIES["revoked"], share="revoked", share_since="before this was noted")
    assert told(http, submission) == ["Nobody outside Camden may read this: the share was revoked."]
    data_store.share(POLICIES["granted"], share="granted", share_since="2026-11-27T08:00:00Z")
    assert told(http, submission)[0].startswith(_ORGANISATION)


def test_where_nothing_was_ever_granted_nobody_may_read(
    http: httpx.Client, data_store: Account, submission: str
) -> None:
    data_store.share(POLICIES["revoked"])
    assert told(http, submission) == ["Nobody outside Camden may read this."]


def test_a_share_that_has_ended_says_when(http: httpx.Client, data_store: Account, submission: str) -> None:
    policy = json.dumps(POLICIES["limited"]).replace("2999-03-31", "2026-03-31")
    data_store.share(json.loads(policy), share="granted", share_since="2026-01-05T08:00:00Z")
    until = "the share ended on 31 March 2026 at 1:00am"
    assert told(http, submission) == [f"Nobody outside Camden may read this: {until}."]


def test_whoever_else_is_let_in_is_named_though_the_share_is_revoked(
    http: httpx.Client, data_store: Account, submission: str
) -> None:
    data_store.share(beside(Principal={"AWS": "arn:aws:iam::333333333333:root"}), share="revoked")
    (said,) = told(http, submission)
    assert said.startswith("Account 333333333333 may read this, by a rule of the bucket that is no part of the share.")
    assert "tell the data team" in said


def test_who_sees_names_alone_is_said_to_read_nothing(http: httpx.Client, data_store: Account, submission: str) -> None:
    lists = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{SHARED}"}
    data_store.share(beside(Principal={"AWS": "arn:aws:iam::333333333333:root"}, **lists))
    assert told(http, submission) == [
        "Nobody outside Camden may read this.",
        "Account 333333333333 may see that it is there, and not read it.",
    ]


def test_each_profile_says_who_reads_it(http: httpx.Client, data_store: Account, submissions: list[str]) -> None:
    (part,) = report(submissions[0])["shared"]
    other = {**part, "profile": "other", "manifest": "another/other/2026/manifest.json"}
    data_store.share(POLICIES["limited"])
    data_store.accept(submissions[0], shared=[part, other])
    first, second = told(http, submissions[0])
    assert first.startswith(_ORGANISATION)
    assert second == "Nobody outside Camden may read this."


@pytest.mark.parametrize("action", ["s3:GetBucketPolicy", "s3:GetBucketTagging"])
def test_where_the_bucket_may_not_be_looked_at_that_is_said_and_the_rest_is_there(
    http: httpx.Client, data_store: Account, submission: str, action: str
) -> None:
    data_store.permit(action)
    (said,) = told(http, submission)
    assert said.startswith("Who outside Camden may read this is not known at the moment")
    assert ">Shared</strong>" in http.get(f"/submissions/{submission}").text


def test_of_a_copy_in_a_bucket_that_is_not_this_accounts_shared_one_nothing_is_claimed(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    (part,) = report(submissions[0])["shared"]
    data_store.accept(submissions[0], shared=[{**part, "bucket": "former-bucket"}])
    assert "is not known at the moment" in told(http, submissions[0])[0]


def test_of_what_is_no_longer_in_the_bucket_nobody_is_named(
    http: httpx.Client, data_store: Account, submissions: list[str]
) -> None:
    newer, older = submissions[:2]
    data_store.supersede(older, newer)
    assert told(http, older) == []
    assert told(http, newer) != []


def test_an_account_that_shares_no_bucket_says_nothing_of_readers(
    settings: dict[str, str], data_store: Account, submission: str, tmp_path: Path
) -> None:
    without = {name: value for name, value in settings.items() if name != "SHARED_LOCATION"}
    with running_frontend(without, tmp_path / "log") as frontend:
        assert told(frontend.http, submission) == []
        assert "Who may read there, your authority decides." in frontend.http.get(f"/submissions/{submission}").text


def test_to_follow_a_file_does_not_ask_for_the_policy(
    http: httpx.Client, data_store: Account, submission: str, frontend: Frontend
) -> None:
    data_store.permit("s3:GetBucketPolicy")
    before = frontend.log.read_text().count("could not be read")
    assert http.get(f"/submissions/{submission}/status").json()["state"] == "accepted"
    assert frontend.log.read_text().count("could not be read") == before


def test_the_role_sees_who_is_let_in_to_the_shared_bucket_and_nothing_that_it_holds(data_store: Account) -> None:
    s3 = data_store.task_client()
    s3.get_bucket_policy(Bucket=SHARED)
    requests: tuple[Callable[[], object], ...] = (
        lambda: s3.list_objects_v2(Bucket=SHARED),
        lambda: s3.get_object(Bucket=SHARED, Key="ssda903/regional/2026/manifest.json"),
        lambda: s3.put_bucket_policy(Bucket=SHARED, Policy="{}"),
    )
    for request in requests:
        with pytest.raises(ClientError, match="AccessDenied"):
            request()
