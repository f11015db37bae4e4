# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and ARNs of resources."""

from __future__ import annotations

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import (
    RefusedError,
    Resource,
    resource_of,
)

ACCOUNT = "012345670123"
HERE = f"eu-west-2:{ACCOUNT}"


def found(reference: str, resource_type: str | None = None) -> Resource:
    return resource_of(reference, resource_type, ACCOUNT, "eu-west-2", "aws")


@pytest.mark.parametrize(
    ("resource_type", "name", "arn"),
    [
        ("s3_bucket", "localgov-1-shared", "arn:aws:s3:::localgov-1-shared"),
        ("ecr_repository", "localgov/frontend", f"arn:aws:ecr:{HERE}:repository/localgov/frontend"),
        ("kms_key", "1234abcd-12ab", f"arn:aws:kms:{HERE}:key/1234abcd-12ab"),
        ("kms_key", "alias/localgov", f"arn:aws:kms:{HERE}:alias/localgov"),
        ("sns_topic", "orders.fifo", f"arn:aws:sns:{HERE}:orders.fifo"),
        ("sqs_queue", "orders", f"arn:aws:sqs:{HERE}:orders"),
        ("iam_role", "localgov-reader", f"arn:aws:iam::{ACCOUNT}:role/localgov-reader"),
    ],
)
def test_a_name_and_its_arn_are_the_same_resource(resource_type: str, name: str, arn: str) -> None:
    by_name = found(name, resource_type)
    assert by_name == found(arn) == found(arn, resource_type)
    assert (by_name.type, by_name.name, by_name.arn) == (resource_type, name, arn)


def test_a_role_is_known_to_iam_without_its_path() -> None:
    role = found(f"arn:aws:iam::{ACCOUNT}:role/teams/data/reader")
    assert (role.name, role.arn) == ("reader", f"arn:aws:iam::{ACCOUNT}:role/teams/data/reader")


def test_a_secret_is_known_by_its_whole_arn() -> None:
    arn = f"arn:aws:secretsmanager:{HERE}:secret:localgov/one-AbCdEf"
    assert found(arn).name == arn
    assert found("localgov/one", "secretsmanager_secret").name == "localgov/one"


def test_the_region_is_that_of_the_arn() -> None:
    assert found(f"arn:aws:sqs:us-east-1:{ACCOUNT}:orders").region == "us-east-1"
    assert found("shared-bucket", "s3_bucket").region == ""


@pytest.mark.parametrize(
    ("reference", "resource_type", "reason"),
    [
        ("shared", None, "give resource_type as well"),
        ("", "s3_bucket", "cannot be the name of"),
        ("Shared", "s3_bucket", "cannot be the name of"),
        ("shared/key", "s3_bucket", "cannot be the name of"),
        ("shared*", "sqs_queue", "cannot be the name of"),
        ("arn:aws:s3:::shared/key", None, "is not the ARN of a resource"),
        ("arn:aws:s3:::shared*", None, "is not the ARN of a resource"),
        ("arn:aws:s3", None, "is not the ARN of a resource"),
        (f"arn:aws:iam::{ACCOUNT}:user/one", None, "is not the ARN of a resource"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/session", None, "is not the ARN of a resource"),
        (f"arn:aws:lambda:{HERE}:function:one", None, "is not the ARN of a resource"),
        (f"arn:aws:sqs::{ACCOUNT}:orders", None, "is not the ARN of a resource"),
        (f"arn:aws:sqs:{HERE}:orders", "sns_topic", "is of type sqs_queue, but resource_type says sns_topic"),
        ("arn:aws:sqs:eu-west-2:999999999999:orders", None, "run the task on the host of account 999999999999"),
    ],
)
def test_what_names_no_resource_of_this_account_is_refused(
    reference: str, resource_type: str | None, reason: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        found(reference, resource_type)
    assert reason in str(refused.value)


def test_what_is_in_a_region_needs_one() -> None:
    with pytest.raises(RefusedError, match="set the region"):
        resource_of("orders", "sqs_queue", ACCOUNT, "", "aws")
    assert resource_of("shared", "s3_bucket", ACCOUNT, "", "aws").arn == "arn:aws:s3:::shared"
