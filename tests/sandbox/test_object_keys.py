# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""An object that a KMS key encrypts is read and written by whom the key lets, within an account and across."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox, policy

ROLE = "localgov-key-user"
STORAGE = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
KEYS = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*"}
VIA = {"StringEquals": {"kms:ViaService": "s3.eu-west-2.amazonaws.com"}}


class Encrypted:
    """A bucket of camden with the object `a`, encrypted by a key; anybody may read and write by the bucket's policy."""

    def __init__(self, sandbox: Sandbox, name: str, *, bucket_key: bool = True) -> None:
        self.sandbox, self.name = sandbox, name
        root = sandbox.root("camden")
        self.s3, self.kms = sandbox.client("s3", root), sandbox.client("kms", root)
        self.key = self.kms.create_key(Description=name)["KeyMetadata"]["Arn"]
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key}
        rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket_key}
        self.s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})
        arn = f"arn:aws:s3:::{name}"
        organisation = {"StringEquals": {"aws:PrincipalOrgID": sandbox.description["organisation_id"]}}
        shared: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:PutObject"]}
        shared |= {"Resource": f"{arn}/*", "Condition": organisation}
        self.s3.put_bucket_policy(Bucket=name, Policy=policy(shared))
        self.s3.put_object(Bucket=name, Key="a", Body=b"a")

    def open_key(self, **condition: Any) -> None:
        """Let the hub in to the key, beside the account itself."""
        own = {"Effect": "Allow", "Principal": {"AWS": self.root("camden")}, "Action": "kms:*", "Resource": "*"}
        hub = {**KEYS, "Principal": {"AWS": self.root("hub")}, "Condition": {**VIA, **condition}}
        self.kms.put_key_policy(KeyId=self.key, PolicyName="default", Policy=policy(own, hub))

    def root(self, account: str) -> str:
        return f"arn:aws:iam::{self.sandbox.account(account)}:root"

    def ends(self, account: str, *allowed: Any, operation: str = "get_object", **arguments: Any) -> str:
        """`OK`, or AWS's reason to refuse a role that its own policy allows *allowed*."""
        s3 = self.sandbox.client("s3", self.sandbox.role(account, ROLE, allowed))
        try:
            getattr(s3, operation)(Bucket=self.name, **{"Key": "a", **arguments})
        except ClientError as refusal:
            assert refusal.response["Error"]["Code"] == "AccessDenied"
            return str(refusal.response["Error"]["Message"])
        return "OK"


@pytest.fixture
def encrypted(sandbox: Sandbox, unique: str) -> Encrypted:
    return Encrypted(sandbox, unique)


def test_a_role_of_the_same_account_needs_permission_on_the_key(encrypted: Encrypted) -> None:
    refused = encrypted.ends("camden", STORAGE)
    assert f"kms:Decrypt on resource: {encrypted.key} because no identity-based policy allows" in refused
    assert encrypted.ends("camden", STORAGE, KEYS) == "OK"
    assert encrypted.ends("camden", STORAGE, {**KEYS, "Condition": VIA}) == "OK"


def test_writing_asks_for_a_data_key_and_in_parts_for_decrypting_too(encrypted: Encrypted) -> None:
    generate = {**KEYS, "Action": "kms:GenerateDataKey"}
    assert "kms:GenerateDataKey" in encrypted.ends("camden", STORAGE, operation="put_object", Body=b"b")
    assert encrypted.ends("camden", STORAGE, generate, operation="put_object", Body=b"b") == "OK"
    assert "kms:Decrypt" in encrypted.ends("camden", STORAGE, generate, operation="create_multipart_upload")
    assert encrypted.ends("camden", STORAGE, KEYS, operation="create_multipart_upload") == "OK"


def test_across_accounts_the_key_s_policy_and_the_caller_s_own_must_both_allow(encrypted: Encrypted) -> None:
    refused = encrypted.ends("hub", STORAGE, KEYS)
    assert f"on resource: {encrypted.key} because no resource-based policy allows the kms:Decrypt action" in refused
    encrypted.open_key()
    assert encrypted.ends("hub", STORAGE, KEYS) == "OK"
    assert "no identity-based policy allows" in encrypted.ends("hub", STORAGE)


@pytest.mark.parametrize("bucket_key", [True, False])
def test_the_key_is_told_the_bucket_or_without_a_bucket_key_the_object(
    sandbox: Sandbox, unique: str, bucket_key: bool
) -> None:
    encrypted = Encrypted(sandbox, unique, bucket_key=bucket_key)
    told = f"arn:aws:s3:::{unique}" if bucket_key else f"arn:aws:s3:::{unique}/a"
    for context, ends in ((told, True), (f"{told}-other", False)):
        encrypted.open_key(StringLike={"kms:EncryptionContext:aws:s3:arn": context})
        assert (encrypted.ends("hub", STORAGE, KEYS) == "OK") is ends


def test_the_key_that_aws_keeps_lets_in_its_own_account_alone(sandbox: Sandbox, unique: str) -> None:
    encrypted = Encrypted(sandbox, unique)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    encrypted.s3.put_bucket_encryption(Bucket=unique, ServerSideEncryptionConfiguration={"Rules": [rule]})
    encrypted.s3.put_object(Bucket=unique, Key="a", Body=b"a")
    assert encrypted.ends("camden", STORAGE) == "OK"
    assert "no resource-based policy allows" in encrypted.ends("hub", STORAGE, KEYS)


def test_what_no_key_encrypts_asks_none(encrypted: Encrypted) -> None:
    encrypted.s3.delete_bucket_encryption(Bucket=encrypted.name)
    encrypted.s3.put_object(Bucket=encrypted.name, Key="plain", Body=b"a")
    assert encrypted.ends("hub", STORAGE, Key="plain") == "OK"
    assert encrypted.ends("hub", STORAGE, Key="a") != "OK", "an object keeps the key that it was written with"
