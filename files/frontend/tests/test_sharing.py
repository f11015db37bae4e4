# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the shared bucket's policy lets in, from policies as the role shared_bucket writes them, and as others might."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from account import ACCOUNT_ID, ORGANISATION_ACCOUNT_ID, POLICIES, SHARED
from localgov_frontend.sharing import Place, PolicyUnreadableError, Sharing, sharing_of

_PLACE = Place(SHARED, ACCOUNT_ID, ORGANISATION_ACCOUNT_ID)
_ORGANISATION = "The organisation (account 200000000001)"
_FOLDER = "ssda903/regional/2026/"
_NOW = datetime(2026, 11, 28, tzinfo=UTC)
_END = datetime(2999, 3, 31, tzinfo=UTC)
_RUN = "arn:aws:iam::333333333333:role/run"


def sharing(name: str, *beside: dict[str, Any], **tags: str) -> Sharing:
    """Of one of the role's policies, with statements of somebody else beside its own."""
    policy = {**POLICIES[name], "Statement": [*POLICIES[name]["Statement"], *beside]}
    return sharing_of(json.dumps(policy), {key.replace("_", "-"): value for key, value in tags.items()}, _PLACE)


def statement(**elements: object) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{SHARED}/*",
        **elements,
    }


def read_by(found: Sharing, folder: str = _FOLDER, now: datetime = _NOW) -> list[str]:
    return [reader.who for reader in found.audience(folder, now).read]


def condition(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {"Condition": {operator: {key: values[0] if len(values) == 1 else list(values)}}}


def test_what_is_granted_is_read_by_the_organisation_without_an_end() -> None:
    (reader,) = sharing("granted").audience(_FOLDER, _NOW).read
    assert (reader.who, reader.until, reader.by_share) == (_ORGANISATION, None, True)


def test_who_lists_and_reads_is_named_once() -> None:
    assert sharing("granted").audience(_FOLDER, _NOW).see_names == ()


def test_the_authoritys_own_decision_tells_since_when() -> None:
    found = sharing("granted", share="granted", share_since="2026-11-26T08:00:00Z")
    assert (found.decided, found.decided_at) == ("granted", datetime(2026, 11, 26, 8, tzinfo=UTC))


@pytest.mark.parametrize("since", ["before this was noted", "2026-11-26", ""])
def test_a_time_that_was_not_noted_is_not_made_up(since: str) -> None:
    assert sharing("granted", share="granted", share_since=since).decided_at is None


def test_what_is_revoked_is_read_by_nobody() -> None:
    found = sharing("revoked", share="revoked", share_since="2026-11-26T08:00:00Z")
    assert read_by(found) == []
    assert found.decided == "revoked"


@pytest.mark.parametrize("policy", ["", json.dumps(POLICIES["revoked"])])
def test_what_nobody_has_ever_decided_about_and_no_statement_allows_is_read_by_nobody(policy: str) -> None:
    found = sharing_of(policy, {}, _PLACE)
    assert (read_by(found), found.decided, found.decided_at) == ([], "", None)


def test_a_share_of_one_folder_is_no_share_of_another() -> None:
    assert read_by(sharing("limited")) == [_ORGANISATION]
    assert read_by(sharing("limited"), "cin/regional/2026/") == []


def test_a_folder_whose_name_begins_alike_is_another() -> None:
    assert read_by(sharing("limited"), "ssda903-drafts/regional/2026/") == []


def test_a_share_until_a_day_lets_in_until_then_and_then_has_ended() -> None:
    (reader,) = sharing("limited").audience(_FOLDER, _NOW).read
    assert reader.until == _END
    after = sharing("limited").audience(_FOLDER, _END)
    assert (after.read, after.see_names, after.ended_at) == ((), (), _END)


def test_of_a_share_that_goes_on_no_end_is_told() -> None:
    assert sharing("limited").audience(_FOLDER, _NOW).ended_at is None


@pytest.mark.parametrize(
    ("elements", "who"),
    [
        ({"Principal": "*"}, "Everybody"),
        ({"NotPrincipal": {"AWS": _RUN}, "Principal": None}, "Everybody"),
        ({"Principal": {"AWS": "333333333333"}}, "Account 333333333333"),
        ({"Principal": {"AWS": "arn:aws:iam::333333333333:root"}}, "Account 333333333333"),
        ({"Principal": {"AWS": "AROAEXAMPLEOFADELETEDROLE"}}, "Somebody unknown (AWS AROAEXAMPLEOFADELETEDROLE)"),
        ({"Principal": {"CanonicalUser": "79a59d"}}, "Somebody unknown (CanonicalUser 79a59d)"),
        # It hands on what it reads to whoever visits the web site.
        ({"Principal": {"Service": "cloudfront.amazonaws.com"}}, "The AWS service cloudfront.amazonaws.com"),
        # Revoking the share does not take it away.
        ({"Sid": "OrganisationPipelineBackup", "Principal": {"AWS": "333333333333"}}, "Account 333333333333"),
        (condition("ArnLike", "AWS:principalARN", _RUN), "Account 333333333333"),
        (condition("StringEquals", "aws:PrincipalAccount", "333333333333"), "Account 333333333333"),
        (condition("StringEquals", "aws:PrincipalOrgID", "o-a1b2c3"), "Any account of the organisation o-a1b2c3"),
        # What may fit several accounts, or does not have to be there, limits nobody to one.
        (condition("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*:role/localgov-run-task"), "Everybody"),
        (condition("ArnLike", "aws:PrincipalArn", _RUN, "arn:aws:iam::*:role/run"), "Everybody"),
        (condition("ArnLikeIfExists", "aws:PrincipalArn", _RUN), "Everybody"),
        (condition("ArnNotLike", "aws:PrincipalArn", _RUN), "Everybody"),
        (condition("IpAddress", "aws:SourceIp", "10.0.0.0/8"), "Everybody"),
        # More than reading is reading, too.
        ({"Action": "s3:*"}, "Everybody"),
        ({"Action": None, "NotAction": "s3:DeleteObject"}, "Everybody"),
        ({"Resource": "*"}, "Everybody"),
        ({"Resource": None, "NotResource": f"arn:aws:s3:::{SHARED}/cin/*"}, "Everybody"),
        ({"Resource": f"arn:aws:s3:::{SHARED}/*/regional/2026/*"}, "Everybody"),
        (condition("DateLessThanIfExists", "aws:CurrentTime", "2020-01-01T00:00:00Z"), "Everybody"),
        (condition("DateLessThan", "aws:CurrentTime", "1577836800"), "Everybody"),
        (condition("DateLessThan", "aws:CurrentTime", "9999-12-31T23:59:59-05:00"), "Everybody"),
    ],
)
def test_a_statement_that_is_no_part_of_the_share_is_told_though_the_share_is_revoked(
    elements: dict[str, Any], who: str
) -> None:
    given = {name: value for name, value in statement(**elements).items() if value is not None}
    (reader,) = sharing("revoked", given, share="revoked").audience(_FOLDER, _NOW).read
    assert (reader.who, reader.by_share) == (who, False)


@pytest.mark.parametrize(
    "elements",
    [
        {"Principal": {"AWS": ACCOUNT_ID}},
        {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:role/localgov-run-task"}},
        condition("ArnLike", "aws:PrincipalArn", f"arn:aws:iam::{ACCOUNT_ID}:role/*"),
        condition("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"),
        {"Resource": f"arn:aws:s3:::{SHARED}/cin/*"},
        {"Effect": "Deny"},
    ],
)
def test_who_is_of_the_account_itself_or_reaches_nothing_of_the_folder_is_not_told(elements: dict[str, Any]) -> None:
    assert read_by(sharing("revoked", statement(**elements))) == []


def test_each_account_that_a_statement_names_is_told() -> None:
    roles = [f"arn:aws:iam::{account}:role/run" for account in ("333333333333", ACCOUNT_ID, "444444444444")]
    found = sharing("revoked", statement(**condition("ArnEquals", "aws:PrincipalArn", *roles)))
    assert read_by(found) == ["Account 333333333333", "Account 444444444444"]


def test_who_may_only_list_sees_names_and_reads_nothing() -> None:
    lists = {"Action": ["s3:ListBucket", "s3:ListBucketVersions"], "Resource": f"arn:aws:s3:::{SHARED}"}
    audience = sharing("revoked", statement(**lists, Principal={"AWS": _RUN})).audience(_FOLDER, _NOW)
    assert audience.read == ()
    assert [lister.who for lister in audience.see_names] == ["Account 333333333333"]


def test_without_knowing_the_organisations_account_its_number_is_told() -> None:
    found = sharing_of(json.dumps(POLICIES["granted"]), {}, Place(SHARED, ACCOUNT_ID, ""))
    assert read_by(found) == ["Account 200000000001"]


@pytest.mark.parametrize(
    "policy",
    [
        "{",
        "[]",
        "{}",
        '{"Statement": null}',
        '{"Statement": ["Allow"]}',
        '{"Statement": [{"Condition": []}]}',
        '{"Statement": [], "Statement": [{"Principal": "*"}]}',
    ],
)
def test_a_policy_of_another_shape_is_not_taken_for_one_that_lets_nobody_in(policy: str) -> None:
    with pytest.raises(PolicyUnreadableError, match=r"Error: .+"):
        sharing_of(policy, {}, _PLACE)
