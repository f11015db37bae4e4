# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudFormation acts with the permissions of whoever calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.sandbox.conftest import Sandbox, policy

TRUST = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
Deploy = Callable[..., str]


def role(name: str) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"RoleName": name, "AssumeRolePolicyDocument": json.loads(policy(TRUST))},
    }


def task(role_arn: str) -> dict[str, Any]:
    container = {"Name": "main", "Image": "example", "Essential": True}
    return {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {"Family": "localgov-x", "TaskRoleArn": role_arn, "ContainerDefinitions": [container]},
    }


@pytest.fixture
def deploy(sandbox: Sandbox, unique: str) -> Deploy:
    """Why a stack of one resource fails; ``made`` when it does not."""

    def deploying(resource: dict[str, Any], credentials: dict[str, str] | None = None) -> str:
        cloudformation: Any = sandbox.client("cloudformation", credentials or sandbox.deployer("camden"))
        cloudformation.create_stack(
            StackName=unique,
            TemplateBody=json.dumps({"Resources": {"One": resource}}),
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )
        waiter = cloudformation.get_waiter("stack_create_complete")
        try:
            waiter.wait(StackName=unique, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        except WaiterError:
            events = cloudformation.describe_stack_events(StackName=unique)["StackEvents"]
            reasons = [event.get("ResourceStatusReason", "") for event in events]
            return str(next(reason for reason in reasons if "authorized" in reason))
        return "made"

    return deploying


def test_a_role_with_the_collections_prefix_is_made(deploy: Deploy, unique: str) -> None:
    assert deploy(role(unique)) == "made"


@pytest.mark.parametrize(
    ("resource", "action"),
    [
        (role("administrator"), "iam:CreateRole"),
        ({"Type": "AWS::IAM::User", "Properties": {"UserName": "mallory"}}, "iam:CreateUser"),
        ({"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "somebody-elses"}}, "s3:CreateBucket"),
        ({"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}, "kinesis:CreateStream"),
    ],
    ids=["role", "user", "bucket", "stream"],
)
def test_what_the_deploy_role_may_not_make_no_stack_makes_for_it(
    deploy: Deploy, resource: dict[str, Any], action: str
) -> None:
    assert f"is not authorized to perform: {action}" in deploy(resource)


def test_a_task_is_given_the_collections_roles_and_no_other(sandbox: Sandbox, deploy: Deploy, unique: str) -> None:
    iam = sandbox.client("iam", sandbox.root("camden"))
    arn = iam.create_role(RoleName=f"other-{unique}", AssumeRolePolicyDocument=policy(TRUST))["Role"]["Arn"]
    assert "iam:PassRole" in deploy(task(arn))


def test_a_task_is_given_one_of_the_collections_roles(sandbox: Sandbox, deploy: Deploy, unique: str) -> None:
    iam = sandbox.client("iam", sandbox.root("camden"))
    arn = iam.create_role(RoleName=unique, AssumeRolePolicyDocument=policy(TRUST))["Role"]["Arn"]
    assert deploy(task(arn)) == "made"


def test_a_missing_permission_is_named(sandbox: Sandbox, deploy: Deploy, unique: str) -> None:
    narrow = sandbox.role("camden", unique, [{"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}])
    reason = deploy({"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.8.0.0/16"}}, narrow)
    assert f"assumed-role/{unique}/" in reason
    assert "ec2:CreateVPC" in reason
