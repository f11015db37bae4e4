# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""The operator and the deploy roles: what they may, and what nobody else may."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox

ACCOUNTS = ["hub", "camden", "croydon", "sutton", "outsider", "stranger"]


def refused(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as refusal:
        code = refusal.response["Error"]["Code"]
        assert code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"), code
        return True
    return False


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_operator_becomes_the_deploy_role_of_every_account(sandbox: Sandbox, account: str) -> None:
    identity = sandbox.client("sts", sandbox.deployer(account)).get_caller_identity()
    assert identity["Account"] == sandbox.account(account)
    assert ":assumed-role/localgov-deploy/" in identity["Arn"]


def test_the_operator_may_do_nothing_else(sandbox: Sandbox) -> None:
    operator = sandbox.operator()
    assert sandbox.client("sts", operator).get_caller_identity()["Account"] == "100000000001"
    assert refused(sandbox.client("s3", operator).list_buckets)
    assert refused(sandbox.client("iam", operator).list_users)
    assert refused(sandbox.client("organizations", operator).list_accounts)
    sandbox.role("camden", "localgov-other", [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
    other = f"arn:aws:iam::{sandbox.account('camden')}:role/localgov-other"
    assert refused(sandbox.client("sts", operator).assume_role, RoleArn=other, RoleSessionName="thief")


@pytest.mark.parametrize("account", ["camden", "hub", "outsider", "stranger"])
def test_nobody_else_becomes_a_deploy_role(sandbox: Sandbox, account: str) -> None:
    anything = [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]
    sts = sandbox.client("sts", sandbox.role(account, "localgov-thief", anything))
    victim = f"arn:aws:iam::{sandbox.account('camden')}:role/localgov-deploy"
    assert refused(sts.assume_role, RoleArn=victim, RoleSessionName="thief")


def test_the_operators_key_needs_its_secret(sandbox: Sandbox) -> None:
    forged = {**sandbox.operator(), "aws_secret_access_key": "guess"}
    with pytest.raises(ClientError, match="signature"):
        sandbox.client("sts", forged).get_caller_identity()


def test_a_deploy_role_keeps_to_its_own_names(sandbox: Sandbox) -> None:
    deployer = sandbox.deployer("camden")
    s3, iam = sandbox.client("s3", deployer), sandbox.client("iam", deployer)
    region = {"LocationConstraint": "eu-west-2"}
    assert refused(s3.create_bucket, Bucket="somebody-elses", CreateBucketConfiguration=region)
    assert refused(iam.create_role, RoleName="administrator", AssumeRolePolicyDocument="{}")
    assert refused(iam.create_user, UserName="mallory")
    assert not refused(sandbox.client("ec2", deployer).describe_vpcs)
    assert not refused(sandbox.client("cloudformation", deployer).describe_stacks)


def test_a_deploy_role_cannot_change_itself_in_any_way(sandbox: Sandbox, as_policy: Any) -> None:
    iam = sandbox.client("iam", sandbox.deployer("camden"))
    itself = {"RoleName": "localgov-deploy"}
    tags = [{"Key": "purpose", "Value": "access-probe"}]
    everything = as_policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
    administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert refused(iam.put_role_policy, **itself, PolicyName="more", PolicyDocument=everything)
    assert refused(iam.delete_role_policy, **itself, PolicyName="localgov-deploy")
    assert refused(iam.attach_role_policy, **itself, PolicyArn=administrator)
    assert refused(iam.detach_role_policy, **itself, PolicyArn=administrator)
    assert refused(iam.update_assume_role_policy, **itself, PolicyDocument=everything)
    assert refused(iam.update_role, **itself, MaxSessionDuration=43200)
    assert refused(iam.update_role_description, **itself, Description="mine")
    assert refused(iam.put_role_permissions_boundary, **itself, PermissionsBoundary=administrator)
    assert refused(iam.delete_role_permissions_boundary, **itself)
    assert refused(iam.tag_role, **itself, Tags=tags)
    assert refused(iam.untag_role, **itself, TagKeys=["purpose"])
    assert refused(iam.delete_role, **itself)
    assert not refused(iam.get_role, **itself), "access_probe looks at its own role"


def test_only_deployers_outside_the_unit_become_roles_that_were_made_for_trials(
    sandbox: Sandbox, as_policy: Any
) -> None:
    for account, may in (("camden", False), ("hub", False), ("outsider", True), ("stranger", True)):
        arn = f"arn:aws:iam::{sandbox.account(account)}:role/localgov-made"
        trust = as_policy({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"})
        sandbox.client("iam", sandbox.root(account)).create_role(
            RoleName="localgov-made",
            AssumeRolePolicyDocument=trust,
            Tags=[{"Key": "purpose", "Value": "access-probe"}],
        )
        sts = sandbox.client("sts", sandbox.deployer(account))
        assert refused(sts.assume_role, RoleArn=arn, RoleSessionName="trial") is not may, account


def test_an_account_cannot_be_reached_with_another_accounts_session(sandbox: Sandbox) -> None:
    iam = sandbox.client("iam", sandbox.deployer("camden"))
    arn = iam.get_role(RoleName="localgov-deploy")["Role"]["Arn"]
    assert arn == f"arn:aws:iam::{sandbox.account('camden')}:role/localgov-deploy"
