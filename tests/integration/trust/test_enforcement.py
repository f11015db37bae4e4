# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""What the statements let in, tried with real sessions of several accounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import (
    key_statements as declared_key_statements,
)
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import storage_statements
from botocore.exceptions import ClientError

from tests.integration.trust.conftest import Playbook
from tests.integration.trust.resources import make_bucket, make_key, make_role
from tests.sandbox.conftest import Sandbox, policy

EVERYTHING = [{"Effect": "Allow", "Action": ["s3:*", "ecr:*", "sts:AssumeRole"], "Resource": "*"}]
READER, OTHER = "localgov-reader", "localgov-other"
WHO = [("hub", READER), ("croydon", READER), ("hub", OTHER), ("outsider", READER), ("stranger", READER)]
LET_IN = {("hub", READER), ("croydon", READER)}


def ends(call: Callable[..., Any], **arguments: Any) -> str:
    """`OK`, or the error code with which AWS refuses."""
    try:
        call(**arguments)
    except ClientError as refusal:
        return str(refusal.response["Error"]["Code"])
    return "OK"


def test_a_bucket_is_read_by_both_locks_and_closed_for_sessions_that_were_let_in(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    make_bucket(sandbox, unique)
    sandbox.client("s3", sandbox.root("camden")).put_object(Bucket=unique, Key="ssda903/a.csv", Body=b"a\n")
    sessions = {who: sandbox.client("s3", sandbox.role(*who, EVERYTHING)) for who in WHO}

    def outcome(operation: str, **arguments: Any) -> dict[tuple[str, str], str]:
        return {who: ends(getattr(s3, operation), Bucket=unique, **arguments) for who, s3 in sessions.items()}

    task = {"resource": unique, "resource_type": "s3_bucket"}
    playbook.run({**task, "access": "read", **locks})
    expected = {who: "OK" if who in LET_IN else "AccessDenied" for who in WHO}
    assert outcome("get_object", Key="ssda903/a.csv") == expected
    assert outcome("list_objects_v2") == expected
    assert set(outcome("put_object", Key="b", Body=b"").values()) == {"AccessDenied"}
    assert set(outcome("delete_object", Key="ssda903/a.csv").values()) == {"AccessDenied"}
    assert set(outcome("get_bucket_policy").values()) <= {"AccessDenied", "MethodNotAllowed"}

    playbook.run({**task, "state": "absent"})
    assert set(outcome("get_object", Key="ssda903/a.csv").values()) == {"AccessDenied"}
    assert set(outcome("list_objects_v2").values()) == {"AccessDenied"}


def own_statements(sandbox: Sandbox, bucket: str) -> list[dict[str, Any]]:
    """What the platform gives a role that reads the shared bucket of a member with a key, as a stack resolves it."""
    locations = {"member_shared": {"camden": bucket}}
    keys = {bucket: f"arn:aws:kms:eu-west-2:{sandbox.account('camden')}:key/*"}
    arrows = {"reads": ["member_shared"]}
    found = [*storage_statements(arrows, locations), *declared_key_statements(arrows, locations, keys)]
    text = json.dumps(found).replace("${AWS::Partition}", "aws").replace("${AWS::URLSuffix}", "amazonaws.com")
    resolved: list[dict[str, Any]] = json.loads(text, object_hook=lambda each: each.get("Fn::Sub", each))
    return resolved


def test_a_bucket_under_a_key_is_read_by_bucket_key_and_own_policy_and_by_no_two_of_them(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    bucket, key = make_bucket(sandbox, unique), make_key(sandbox, unique)
    owner = sandbox.client("s3", sandbox.root("camden"))
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key.arn}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    owner.put_bucket_encryption(Bucket=unique, ServerSideEncryptionConfiguration={"Rules": [rule]})
    owner.put_object(Bucket=unique, Key="ssda903/a.csv", Body=b"a\n")
    own = own_statements(sandbox, unique)
    reader = sandbox.client("s3", sandbox.role("hub", READER, own))

    def reads(s3: Any = reader) -> str:
        return ends(s3.get_object, Bucket=unique, Key="ssda903/a.csv")

    closed_key = key.read()
    task = {"resource": unique, "resource_type": "s3_bucket"}
    playbook.run({**task, "access": "read", **locks})
    assert reads() == "OK"
    assert reads(sandbox.client("s3", sandbox.role("hub", OTHER, own))) == "AccessDenied"
    assert reads(sandbox.client("s3", sandbox.role("outsider", READER, own))) == "AccessDenied"
    opened_bucket, opened_key = bucket.read(), key.read()

    key.write(json.dumps(closed_key))
    assert reads() == "AccessDenied", "the bucket's policy alone let in"
    key.write(json.dumps(opened_key))
    assert reads() == "OK"
    without_key = [each for each in own if "kms:Decrypt" not in each["Action"]]
    assert reads(sandbox.client("s3", sandbox.role("hub", READER, without_key))) == "AccessDenied"
    sandbox.role("hub", READER, own)
    playbook.run({**task, "state": "absent"})
    assert (bucket.read(), key.read()) == (None, closed_key)
    assert reads() == "AccessDenied"
    key.write(json.dumps(opened_key))
    assert reads() == "AccessDenied", "the key's policy alone let in"
    key.write(json.dumps(closed_key))
    bucket.write(json.dumps(opened_bucket))
    assert reads() == "AccessDenied", "the bucket's policy alone let in after revoking"


def test_of_a_bucket_only_the_folders_named_are_shared(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    make_bucket(sandbox, unique)
    owner = sandbox.client("s3", sandbox.root("camden"))
    for key in ("ssda903/a", "ssda903-drafts/a", "other/a"):
        owner.put_object(Bucket=unique, Key=key, Body=b"a\n")
    playbook.run({"resource": unique, "resource_type": "s3_bucket", "access": "read", "prefixes": ["ssda903"], **locks})
    reader = sandbox.client("s3", sandbox.role("hub", READER, EVERYTHING))
    assert ends(reader.get_object, Bucket=unique, Key="ssda903/a") == "OK"
    assert ends(reader.get_object, Bucket=unique, Key="ssda903-drafts/a") == "AccessDenied"
    assert ends(reader.get_object, Bucket=unique, Key="other/a") == "AccessDenied"
    assert ends(reader.list_objects_v2, Bucket=unique, Prefix="ssda903/") == "OK"
    assert ends(reader.list_objects_v2, Bucket=unique, Prefix="ssda903-drafts/") == "AccessDenied"
    assert ends(reader.list_objects_v2, Bucket=unique, Prefix="ssda903") == "AccessDenied"
    assert ends(reader.list_objects_v2, Bucket=unique) == "AccessDenied"


def test_after_its_date_trust_lets_nobody_in_and_the_task_says_so(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    make_bucket(sandbox, unique)
    task = {"resource": unique, "resource_type": "s3_bucket", "access": "list", **locks}
    reader = sandbox.client("s3", sandbox.role("hub", READER, EVERYTHING))
    playbook.run({**task, "expires": "2999-12-31T12:00:00+01:00"})
    assert ends(reader.list_objects_v2, Bucket=unique) == "OK"
    (past,) = playbook.run({**task, "expires": "2001-01-01"})
    assert ends(reader.list_objects_v2, Bucket=unique) == "AccessDenied"
    assert "expires 2001-01-01 is past" in json.dumps(past["warnings"])


def test_trust_is_older_than_its_role_and_survives_the_role(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    make_bucket(sandbox, unique)
    role = f"{unique}-later"
    arn = f"arn:aws:iam::{sandbox.account('hub')}:role/{role}"
    task = {"resource": unique, "resource_type": "s3_bucket", "access": "list", **locks}
    playbook.run({**task, "role_patterns": None, "role_arns": [arn]})
    iam = sandbox.client("iam", sandbox.root("hub"))
    for _ in range(2):
        s3 = sandbox.client("s3", sandbox.role("hub", role, EVERYTHING))
        assert ends(s3.list_objects_v2, Bucket=unique) == "OK"
        iam.delete_role_policy(RoleName=role, PolicyName="own")
        iam.delete_role(RoleName=role)
    again = sandbox.client("s3", sandbox.role("croydon", role, EVERYTHING))
    assert ends(again.list_objects_v2, Bucket=unique) == "AccessDenied", "the role of another account has the name"


def test_images_are_pulled_by_both_locks_until_revoked(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    owner = sandbox.client("ecr", sandbox.root("hub"))
    owner.create_repository(repositoryName=unique)
    manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": []})
    owner.put_image(repositoryName=unique, imageManifest=manifest, imageTag="1")
    who_pulls = [("camden", READER), *WHO[1:]]
    sessions = {who: sandbox.client("ecr", sandbox.role(*who, EVERYTHING)) for who in who_pulls if who[0] != "hub"}

    def pulls() -> dict[tuple[str, str], str]:
        where = {"registryId": sandbox.account("hub"), "repositoryName": unique}
        return {who: ends(ecr.batch_get_image, imageIds=[{"imageTag": "1"}], **where) for who, ecr in sessions.items()}

    task = {"resource": unique, "resource_type": "ecr_repository"}
    playbook.run({**task, "access": "pull", **locks}, host="hub")
    inside = {("camden", READER), ("croydon", READER)}
    assert pulls() == {who: "OK" if who in inside else "AccessDeniedException" for who in sessions}
    playbook.run({**task, "state": "absent"}, host="hub")
    assert set(pulls().values()) == {"AccessDeniedException"}


def test_a_role_is_assumed_by_both_locks_until_revoked(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = make_role(sandbox, unique)
    made.write(policy(made.others))
    sessions = {who: sandbox.client("sts", sandbox.role(*who, EVERYTHING)) for who in WHO}

    def assumes() -> dict[tuple[str, str], str]:
        return {who: ends(sts.assume_role, RoleArn=made.arn, RoleSessionName="test") for who, sts in sessions.items()}

    task = {"resource": made.arn}
    playbook.run({**task, "access": "assume", **locks})
    assert assumes() == {who: "OK" if who in LET_IN else "AccessDenied" for who in WHO}
    playbook.run({**task, "state": "absent"})
    assert set(assumes().values()) == {"AccessDenied"}


@pytest.mark.parametrize("operation", ["policy", "images"])
def test_nobody_but_the_owner_revokes_or_grants(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any], operation: str
) -> None:
    """A task that runs as another account finds no such resource there, and never writes across accounts."""
    make_bucket(sandbox, unique)
    task: dict[str, Any] = {"resource": unique, "resource_type": "s3_bucket", "access": "read", **locks}
    if operation == "images":
        task |= {"resource": "arn:aws:ecr:eu-west-2:012345670123:repository/x", "resource_type": None, "access": "pull"}
    (result,) = playbook.run({**task, "_fails": True}, host="croydon")
    assert result["failed"]
    owner = sandbox.client("s3", sandbox.root("camden"))
    assert ends(owner.get_bucket_policy, Bucket=unique) == "NoSuchBucketPolicy"
