# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an authority has revoked by itself is read from its bucket, and never guessed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.access.conftest import Estate, Playbook
from tests.sandbox.conftest import policy

ROLE = "ansible.builtin.include_role"


def decision(bucket: str) -> dict[str, Any]:
    role = {"name": "localgov.platform.shared_bucket", "tasks_from": "decision"}
    return {ROLE: role, "vars": {"shared_bucket_name": bucket}}


def test_a_decision_is_read_and_one_that_cannot_be_read_is_not_taken_for_none(
    estate: Estate, playbook: Playbook, unique: str
) -> None:
    """Sutton's deployer has all its rights here."""
    s3, bucket = estate.client("s3", "sutton"), f"localgov-{unique}"
    tags = [{"Key": "share", "Value": "revoked"}]
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    *_, read = playbook.run(decision(bucket), host="sutton")
    assert read["ansible_facts"] == {"shared_bucket_decided": {"share": "revoked"}}
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags

    resource = f"arn:aws:s3:::{bucket}"
    refused = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetBucketTagging", "Resource": resource}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(refused))
    with pytest.raises(AssertionError) as failed:
        playbook.run(decision(bucket), host="sutton")
    assert f"It could not be learned whether sutton has revoked what {bucket} shares" in str(failed.value)
    assert "needs s3:GetBucketTagging on the bucket" in str(failed.value)
    s3.delete_bucket(Bucket=bucket)


def test_where_there_is_no_bucket_nothing_is_decided_and_none_is_made(
    estate: Estate, playbook: Playbook, unique: str
) -> None:
    bucket = f"localgov-{unique}"
    *_, read = playbook.run(decision(bucket), host="sutton")
    assert read["ansible_facts"] == {"shared_bucket_decided": {}}
    assert bucket not in [one["Name"] for one in estate.client("s3", "sutton").list_buckets()["Buckets"]]
