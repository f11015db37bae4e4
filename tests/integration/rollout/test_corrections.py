# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""What is found as declared is left alone, and what somebody has changed by hand is put right by the next rollout."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.modules.private_bucket_info import differences

from tests.integration.rollout.conftest import DIGESTS, Operator, s3_of
from tests.sandbox.conftest import CHECKOUT, Sandbox

ALL_BLOCKED = dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True)
TAGS = {"platform": "localgov"}
PLAN = CHECKOUT / "playbooks" / "plan.yml"


def policy(bucket: str) -> dict[str, Any]:
    statement = {
        "Sid": "DenyInsecureTransport",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def declared(bucket: str, **other: Any) -> dict[str, Any]:
    given = {"name": bucket, "policy": policy(bucket), "tags": TAGS, "versioning": True, "encryption": "AES256"}
    return {**given, "object_lock_mode": None, "object_lock_days": None, **other}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One of its own: others count on accounts that are empty."""
    own = Sandbox(tmp_path_factory.mktemp("corrected") / "state")
    own.start()
    yield own
    own.run("stop")


@pytest.fixture
def s3(sandbox: Sandbox) -> Any:
    return s3_of(sandbox, "sutton")


@pytest.fixture
def bucket(s3: Any) -> str:
    """As it is declared."""
    name = f"localgov-{uuid.uuid4().hex[:12]}-declared"
    where = {"LocationConstraint": "eu-west-2"}
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encrypting("AES256"))
    s3.put_bucket_ownership_controls(
        Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=ALL_BLOCKED)
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy(name)))
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "platform", "Value": "localgov"}]})
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=locking(30))
    return name


def encrypting(algorithm: str) -> dict[str, Any]:
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]}


def locking(days: int) -> dict[str, Any]:
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": days}}}


def test_a_bucket_as_declared_has_no_differences(s3: Any, bucket: str) -> None:
    assert differences(s3, declared(bucket)) == []
    assert differences(s3, declared(bucket, object_lock_mode="GOVERNANCE", object_lock_days=30)) == []


CHANGES: dict[str, Callable[[Any, str], Any]] = {
    "encryption": lambda s3, name: s3.put_bucket_encryption(
        Bucket=name, ServerSideEncryptionConfiguration=encrypting("aws:kms")
    ),
    "ownership": lambda s3, name: s3.delete_bucket_ownership_controls(Bucket=name),
    "public_access": lambda s3, name: s3.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration={**ALL_BLOCKED, "BlockPublicPolicy": False}
    ),
    "policy": lambda s3, name: s3.delete_bucket_policy(Bucket=name),
    "tags": lambda s3, name: s3.put_bucket_tagging(
        Bucket=name, Tagging={"TagSet": [{"Key": "platform", "Value": "other"}]}
    ),
    "object_lock": lambda s3, name: s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=locking(1)),
}


@pytest.mark.parametrize("setting", CHANGES)
def test_each_setting_that_is_changed_by_hand_is_seen(s3: Any, sandbox: Sandbox, bucket: str, setting: str) -> None:
    CHANGES[setting](sandbox.client("s3", sandbox.root("sutton")), bucket)
    given = declared(bucket, object_lock_mode="GOVERNANCE", object_lock_days=30)
    assert differences(s3, given) == [setting]


def test_settings_that_were_never_made_are_differences(s3: Any) -> None:
    name = f"localgov-{uuid.uuid4().hex[:12]}-bare"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    assert {"versioning", "policy", "tags"} <= set(differences(s3, declared(name)))


def test_a_bucket_that_is_not_there_is_missing(s3: Any) -> None:
    assert differences(s3, declared("localgov-none")) == ["missing"]


def test_a_setting_that_cannot_be_read_is_not_taken_for_one_that_is_not_there(sandbox: Sandbox, bucket: str) -> None:
    """As another account may not."""
    stranger = s3_of(sandbox, "camden")
    with pytest.raises(RefusedError, match=rf"Cannot look at the bucket {bucket}: AccessDenied.*s3:Get\*"):
        differences(stranger, declared(bucket))


def test_a_rollout_puts_right_what_was_changed_by_hand_and_leaves_alone_what_was_not(
    sandbox: Sandbox, operator: Callable[[], Operator]
) -> None:
    bob = operator()
    first = bob.rolls_out("sutton")
    assert first.returncode == 0, first.stdout[-4000:]
    stacks = bob.report()["sutton"]["stacks"]
    assert len(stacks) > 5

    s3 = sandbox.client("s3", sandbox.root("sutton"))
    names = {kind: f"localgov-{sandbox.account('sutton')}-{kind}" for kind in ("data-store", "audit")}
    for setting in ("public_access", "policy"):
        CHANGES[setting](s3, names["data-store"])
    s3.put_object_lock_configuration(Bucket=names["audit"], ObjectLockConfiguration=locking(1))
    opened = open_default_groups(sandbox)

    second = bob.rolls_out("sutton")
    assert second.returncode == 0, second.stdout[-4000:]
    sutton = bob.report()["sutton"]
    assert (sutton["outcome"], sutton["changes"], sutton["stacks"]) == ("done", 2 + opened, [])
    assert s3.get_public_access_block(Bucket=names["data-store"])["PublicAccessBlockConfiguration"] == ALL_BLOCKED
    assert "DenyInsecureTransport" in s3.get_bucket_policy(Bucket=names["data-store"])["Policy"]
    lock = s3.get_object_lock_configuration(Bucket=names["audit"])["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"]["Days"] > 1
    assert open_rules(sandbox) == []

    given = {"platform_image_digests": DIGESTS, "report_folder": str(bob.folder), "fail_on_changes": True}
    plan = bob.runs(PLAN, "--check", "--limit", "sutton", "-e", json.dumps(given))
    assert plan.returncode == 0, plan.stdout[-4000:]
    planned = json.loads((bob.folder / "plan.json").read_text())
    assert planned["status"] == "none"
    assert planned["counts"]["stacks"] == len({stack["name"] for stack in stacks})


def test_a_rehearsal_says_what_would_expire_of_buckets_that_are_adopted(
    sandbox: Sandbox, operator: Callable[[], Operator]
) -> None:
    s3 = s3_of(sandbox, "camden")
    prefix = f"localgov-{sandbox.account('camden')}"
    for kind in ("data-store", "shared", "workspace"):
        where = {"LocationConstraint": "eu-west-2"}
        s3.create_bucket(Bucket=f"{prefix}-{kind}", CreateBucketConfiguration=where)
    # As of an account that comes back.
    rule = {"ID": "intermediate-stages", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30}}
    s3.put_bucket_lifecycle_configuration(Bucket=f"{prefix}-workspace", LifecycleConfiguration={"Rules": [rule]})
    bob = operator()
    given = {"platform_image_digests": DIGESTS, "report_folder": str(bob.folder), "la_services_version_days": 400}
    plan = bob.runs(PLAN, "--check", "--limit", "camden", "-e", json.dumps(given))
    assert plan.returncode == 0, plan.stdout[-4000:]
    said = " ".join(plan.stdout.split())
    replaced = "is there, and gets a rule that it has not yet: versions that were replaced or deleted more than"
    assert f"{prefix}-data-store {replaced} 400 days ago go for good" in said
    assert f"{prefix}-shared {replaced} 90 days ago go for good" in said
    assert f"{prefix}-workspace is there" not in said


def default_groups(sandbox: Sandbox) -> list[dict[str, Any]]:
    ec2 = sandbox.client("ec2", sandbox.root("sutton"))
    ours = [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    named = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": ours}]
    found: list[dict[str, Any]] = ec2.describe_security_groups(Filters=named)["SecurityGroups"]
    return found


def open_rules(sandbox: Sandbox) -> list[Any]:
    return [rule for group in default_groups(sandbox) for rule in group["IpPermissions"] + group["IpPermissionsEgress"]]


def open_default_groups(sandbox: Sandbox) -> int:
    """Let the world in, into one of the two; how many tasks it takes to mend that."""
    group = default_groups(sandbox)[0]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2 = sandbox.client("ec2", sandbox.root("sutton"))
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[rule])
    assert open_rules(sandbox)
    return 1
