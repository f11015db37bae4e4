# SPDX-License-Identifier: GPL-3.0-or-later

"""Preparing and clearing, where AWS answers in pages, refuses, or names who calls in its own way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import Identity
from ansible_collections.localgov.platform.plugins.module_utils._access_ground import (
    Folder,
    Role,
    RunningError,
    caller,
    probe_present,
    probes_absent,
    role_absent,
    role_present,
    run_present,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from botocore.stub import Stubber

from tests.unit.answering_aws import stubbed

ACCOUNT = "012345670123"
IDENTITY = Identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/me", ACCOUNT, "aws", "eu-west-2")
WHERE = {"Bucket": "shared", "ExpectedBucketOwner": ACCOUNT}
SIGN = {
    **WHERE,
    "Key": ".access-probe/run",
    "Body": b"access probe\n",
    "ContentType": "text/plain",
    "Tagging": "purpose=access-probe",
}
PURPOSE = {"Key": "purpose", "Value": "access-probe"}
FOUND: dict[str, Any] = {
    "Path": "/",
    "RoleName": "reader",
    "RoleId": "AROAMADEUPMADEUPMADE",
    "Arn": f"arn:aws:iam::{ACCOUNT}:role/reader",
    "CreateDate": "2026-11-21T00:00:00Z",
    "AssumeRolePolicyDocument": "{}",
}


def test_all_pages_of_versions_are_removed() -> None:
    s3, stubber = stubbed("s3")
    asked = {**WHERE, "Prefix": "ssda903/.access-probe/"}
    onward = {"KeyMarker": "one", "VersionIdMarker": "1"}
    first = {"IsTruncated": True, "NextKeyMarker": "one", "NextVersionIdMarker": "1"}
    stubber.add_response("list_object_versions", {**first, "Versions": [{"Key": "one", "VersionId": "1"}]}, asked)
    last = {"IsTruncated": False, "DeleteMarkers": [{"Key": "two", "VersionId": "2"}]}
    stubber.add_response("list_object_versions", last, {**asked, **onward})
    (item,) = probes_absent(Folder(s3, IDENTITY, "shared", "ssda903"))
    assert item.before == ["one (1)", "two (2)"]
    versions = [{"Key": "one", "VersionId": "1"}, {"Key": "two", "VersionId": "2"}]
    stubber.add_response("delete_objects", {}, {**WHERE, "Delete": {"Objects": versions, "Quiet": True}})
    item.make()
    stubber.assert_no_pending_responses()


def test_a_version_that_stays_is_an_error_although_the_call_succeeds() -> None:
    s3, stubber = stubbed("s3")
    stubber.add_response("list_object_versions", {"IsTruncated": False, "Versions": [{"Key": "one", "VersionId": "1"}]})
    (item,) = probes_absent(Folder(s3, IDENTITY, "shared", ""))
    stubber.add_response("delete_objects", {"Errors": [{"Key": "one", "Code": "AccessDenied", "Message": "no"}]})
    with pytest.raises(RefusedError) as refused:
        item.make()
    assert "of the bucket shared in account 012345670123, such as one: AccessDenied: no" in str(refused.value)
    assert "s3:DeleteObjectVersion" in str(refused.value)


def version(key: str, **more: object) -> dict[str, Any]:
    return {"Key": key, "Size": 13, "IsLatest": True, "VersionId": "one", "LastModified": datetime.now(UTC), **more}


@pytest.mark.parametrize(
    ("found", "is_needed"),
    [
        ([], True),
        ([version(".access-probe/probe")], False),
        ([version(".access-probe/probe", Size=7)], True),
        ([version(".access-probe/probe", IsLatest=False)], True),
        ([version(".access-probe/probe-2")], True),
    ],
)
def test_a_probe_is_known_by_its_name_and_size(found: list[dict[str, Any]], is_needed: bool) -> None:
    s3, stubber = stubbed("s3")
    stubber.add_response("list_object_versions", {"Versions": found}, {**WHERE, "Prefix": ".access-probe/probe"})
    assert probe_present(Folder(s3, IDENTITY, "shared", "/")).is_needed is is_needed


def a_run_since(**ago: int) -> tuple[Folder, Stubber]:
    s3, stubber = stubbed("s3")
    sign = version(".access-probe/run", LastModified=datetime.now(UTC) - timedelta(**ago))
    stubber.add_response("list_object_versions", {"Versions": [sign]}, {**WHERE, "Prefix": ".access-probe/run"})
    return Folder(s3, IDENTITY, "shared", ""), stubber


def test_a_run_that_is_to_be_alone_stops_where_another_has_begun_and_says_how_to_go_on() -> None:
    folder, _ = a_run_since(minutes=59)
    with pytest.raises(RunningError) as running:
        run_present(folder, alone=True)
    for told in ("in account 012345670123 since", "s3://shared/.access-probe/run", "killed", "alone: false"):
        assert told in str(running.value)


def test_what_a_run_left_more_than_an_hour_ago_is_taken_over_and_counts_from_now() -> None:
    folder, stubber = a_run_since(minutes=61)
    sign = run_present(folder, alone=True)
    assert sign.is_needed
    stubber.add_response("put_object", {})
    sign.make()
    stubber.assert_no_pending_responses()


def test_who_need_not_be_alone_takes_over_at_once() -> None:
    folder, _ = a_run_since(minutes=1)
    assert not run_present(folder, alone=False).is_needed


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict"])
def test_of_two_that_begin_at_the_same_moment_one_stops(code: str) -> None:
    s3, stubber = stubbed("s3")
    stubber.add_response("list_object_versions", {})
    sign = run_present(Folder(s3, IDENTITY, "shared", ""), alone=True)
    stubber.add_client_error("put_object", code, expected_params={**SIGN, "IfNoneMatch": "*"})
    with pytest.raises(RunningError):
        sign.make()


def test_a_role_that_another_run_has_made_stops_one_that_is_to_be_alone() -> None:
    made = {**FOUND, "Tags": [{"Key": "purpose", "Value": "access-probe"}], "CreateDate": datetime.now(UTC)}
    iam, stubber = stubbed("iam")
    stubber.add_response("get_role", {"Role": made})
    with pytest.raises(RunningError, match="role/reader"):
        role_present(Role(iam, IDENTITY, "reader", [], make=True), alone=True)


def a_role(**found: object) -> tuple[Role, Stubber]:
    """A role to be made by whoever is no role, so that only this one is looked at."""
    iam, stubber = stubbed("iam")
    if found:
        stubber.add_response("get_role", {"Role": {**FOUND, "Tags": [PURPOSE], **found}})
    else:
        stubber.add_client_error("get_role", "NoSuchEntity")
    anna = Identity(f"arn:aws:iam::{ACCOUNT}:user/anna", ACCOUNT, "aws", "eu-west-2")
    return Role(iam, anna, "reader", [], make=True), stubber


@pytest.mark.parametrize(("alone", "error"), [(True, RunningError), (False, RefusedError)])
def test_of_two_that_make_the_same_role_at_the_same_moment_one_stops(alone: bool, error: type[Exception]) -> None:
    role, stubber = a_role()
    made, _ = role_present(role, alone)
    stubber.add_client_error("create_role", "EntityAlreadyExists")
    with pytest.raises(RefusedError) as refused:
        made.make()
    assert type(refused.value) is error


def test_a_role_that_a_killed_run_left_is_made_anew_so_that_it_shows_this_run() -> None:
    role, stubber = a_role(CreateDate=datetime.now(UTC) - timedelta(minutes=61))
    made, policy = role_present(role, alone=True)
    assert made.is_needed
    assert policy.is_needed
    left = {**FOUND, "Tags": [PURPOSE], "CreateDate": datetime.now(UTC) - timedelta(minutes=61)}
    stubber.add_response("get_role", {"Role": left})
    stubber.add_client_error("delete_role_policy", "NoSuchEntity")
    stubber.add_response("delete_role", {}, {"RoleName": "reader"})
    stubber.add_response("create_role", {"Role": dict(FOUND)})
    made.make()
    stubber.assert_no_pending_responses()


def test_a_role_that_another_run_has_made_anew_meanwhile_is_left_to_it() -> None:
    role, stubber = a_role(CreateDate=datetime.now(UTC) - timedelta(minutes=61))
    made, _ = role_present(role, alone=True)
    stubber.add_response("get_role", {"Role": {**FOUND, "Tags": [PURPOSE], "CreateDate": datetime.now(UTC)}})
    with pytest.raises(RunningError):
        made.make()
    stubber.assert_no_pending_responses()


def test_what_shows_that_a_policy_counts_ends_with_what_is_lent() -> None:
    ends = {"DateLessThan": {"aws:CurrentTime": "2026-11-21T13:00:00Z"}}
    lent = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    elsewhere = {"StringNotEquals": {"aws:ResourceAccount": ACCOUNT}}
    role = Role(None, IDENTITY, "reader", [lent, {**lent, "Condition": {**elsewhere, **ends}}])
    known = role.policy["Statement"][-1]
    assert known["Action"] == "s3:ListAllMyBuckets"
    assert known["Condition"] == ends


def test_a_refusal_names_what_the_identity_needs_and_where() -> None:
    s3, stubber = stubbed("s3")
    stubber.add_client_error("list_object_versions", "AccessDenied", "no")
    with pytest.raises(RefusedError) as refused:
        probe_present(Folder(s3, IDENTITY, "shared", ""))
    assert str(refused.value) == (
        "Cannot look for .access-probe/probe in the bucket shared in account 012345670123: AccessDenied: no. This "
        "task's identity needs s3:ListBucketVersions on the bucket shared, with nothing denying it."
    )


def test_who_calls_is_named_by_the_role_with_its_path() -> None:
    iam, stubber = stubbed("iam")
    arn = f"arn:aws:iam::{ACCOUNT}:role/ops/deploy"
    stubber.add_response("get_role", {"Role": {**FOUND, "Arn": arn, "Path": "/ops/"}}, {"RoleName": "deploy"})
    assert caller(iam, IDENTITY) == arn


@pytest.mark.parametrize("resource", ["user/ops/anna", "root"])
def test_who_is_no_role_is_named_as_it_is(resource: str) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:{resource}"
    assert caller(None, Identity(arn, ACCOUNT, "aws", "eu-west-2")) == arn


def test_a_policy_in_another_order_is_the_same_policy() -> None:
    iam, stubber = stubbed("iam")
    statement = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"}
    role = Role(iam, IDENTITY, "reader", [statement])
    stubber.add_response("get_role", {"Role": dict(FOUND)})
    known = '{"Sid": "AccessProbeIsKnown", "Resource": ["*"], "Action": "s3:ListAllMyBuckets", "Effect": "Allow"}'
    lent = '{"Resource": "*", "Action": ["s3:PutObject", "s3:GetObject"], "Effect": "Allow"}'
    document = f'{{"Version": "2012-10-17", "Statement": [{known}, {lent}]}}'
    answer = {"RoleName": "reader", "PolicyName": "access-probe", "PolicyDocument": document}
    stubber.add_response("get_role_policy", answer)
    (item,) = role_present(role)
    assert not item.is_needed


def test_a_role_of_somebody_else_is_not_removed() -> None:
    iam, stubber = stubbed("iam")
    stubber.add_response("get_role", {"Role": {**FOUND, "Tags": [{"Key": "purpose", "Value": "production"}]}})
    with pytest.raises(RefusedError, match="The role reader in account 012345670123 was not made for trials"):
        role_absent(Role(iam, IDENTITY, "reader", [], make=True))
    stubber.assert_no_pending_responses()
