# SPDX-License-Identifier: GPL-3.0-or-later

"""Preparing and clearing, where AWS answers in pages, refuses, or names who calls in its own way."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import Identity
from ansible_collections.localgov.platform.plugins.module_utils._access_ground import (
    Folder,
    Role,
    caller,
    probe_present,
    probes_absent,
    role_absent,
    role_present,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from botocore.stub import Stubber

ACCOUNT = "012345670123"
IDENTITY = Identity(f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/me", ACCOUNT, "aws", "eu-west-2")
WHERE = {"Bucket": "shared", "ExpectedBucketOwner": ACCOUNT}
FOUND: dict[str, Any] = {
    "Path": "/",
    "RoleName": "reader",
    "RoleId": "AROAMADEUPMADEUPMADE",
    "Arn": f"arn:aws:iam::{ACCOUNT}:role/reader",
    "CreateDate": "2026-11-21T00:00:00Z",
    "AssumeRolePolicyDocument": "{}",
}


def stubbed(service: str) -> tuple[Any, Stubber]:
    connect: Any = boto3.client
    client = connect(
        service, region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up-secret"
    )
    stubber = Stubber(client)
    stubber.activate()
    return RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff(retries=3, delay=0)), stubber


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


@pytest.mark.parametrize(
    ("contents", "is_needed"),
    [
        ([], True),
        ([{"Key": ".access-probe/probe", "Size": 13}], False),
        ([{"Key": ".access-probe/probe", "Size": 7}], True),
        ([{"Key": ".access-probe/probe-2", "Size": 13}], True),
    ],
)
def test_a_probe_is_known_by_its_name_and_size(contents: list[dict[str, Any]], is_needed: bool) -> None:
    s3, stubber = stubbed("s3")
    stubber.add_response("list_objects_v2", {"Contents": contents}, {**WHERE, "Prefix": ".access-probe/probe"})
    assert probe_present(Folder(s3, IDENTITY, "shared", "/")).is_needed is is_needed


def test_a_refusal_names_what_the_identity_needs_and_where() -> None:
    s3, stubber = stubbed("s3")
    stubber.add_client_error("list_objects_v2", "AccessDenied", "no")
    with pytest.raises(RefusedError) as refused:
        probe_present(Folder(s3, IDENTITY, "shared", ""))
    assert str(refused.value) == (
        "Cannot look for the probe in the bucket shared in account 012345670123: AccessDenied: no. This task's "
        "identity needs s3:ListBucket on the bucket shared, with nothing denying it."
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
