# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A resource of each kind in the sandbox, with a statement of somebody else in its policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sandbox.conftest import Sandbox, policy

Statement = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """A resource that was made: how a task names it, what its access is called, and its policy as AWS has it."""

    resource_type: str
    reference: str
    arn: str
    access: str
    read: Callable[[], dict[str, Any] | None]
    write: Callable[[str], object]
    others: Statement


def _others(account: str, action: str, resource: str | None) -> Statement:
    """A statement that no task here has written, in a form that Python would not write."""
    statement: Statement = {
        "Condition": {"StringEquals": {"aws:PrincipalTag/Team": ["b", "a"]}},
        "Action": [action],
        "Principal": {"AWS": [f"arn:aws:iam::{account}:root"]},
        "Effect": "Allow",
        "Sid": "OfOthers",
    }
    return statement | ({"Resource": [resource]} if resource else {})


def make_bucket(sandbox: Sandbox, name: str) -> Made:
    s3 = sandbox.client("s3", sandbox.root("camden"))
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    arn = f"arn:aws:s3:::{name}"

    def read() -> Any:
        try:
            return json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
        except s3.exceptions.ClientError:
            return None

    others = _others(sandbox.account("camden"), "s3:GetBucketLocation", arn)
    return Made(
        "s3_bucket", name, arn, "read", read, lambda text: s3.put_bucket_policy(Bucket=name, Policy=text), others
    )


def make_repository(sandbox: Sandbox, name: str) -> Made:
    ecr = sandbox.client("ecr", sandbox.root("camden"))
    arn = ecr.create_repository(repositoryName=name)["repository"]["repositoryArn"]

    def read() -> Any:
        try:
            return json.loads(ecr.get_repository_policy(repositoryName=name)["policyText"])
        except ecr.exceptions.RepositoryPolicyNotFoundException:
            return None

    def write(text: str) -> object:
        return ecr.set_repository_policy(repositoryName=name, policyText=text)

    others = _others(sandbox.account("camden"), "ecr:DescribeImages", None)
    return Made("ecr_repository", name, arn, "pull", read, write, others)


def make_key(sandbox: Sandbox, name: str) -> Made:
    kms = sandbox.client("kms", sandbox.root("camden"))
    key = kms.create_key(Description=name)["KeyMetadata"]
    kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key["KeyId"])

    def read() -> Any:
        return json.loads(kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])

    def write(text: str) -> object:
        return kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=text)

    others = _others(sandbox.account("camden"), "kms:*", "*")
    del others["Condition"]
    return Made("kms_key", f"alias/{name}", key["Arn"], "decrypt", read, write, others)


def make_secret(sandbox: Sandbox, name: str) -> Made:
    secrets = sandbox.client("secretsmanager", sandbox.root("camden"))
    # By the key that AWS keeps, no other account could read it.
    key = sandbox.client("kms", sandbox.root("camden")).create_key(Description=name)["KeyMetadata"]["KeyId"]
    arn = secrets.create_secret(Name=name, SecretString="made up", KmsKeyId=key)["ARN"]

    def read() -> Any:
        found = secrets.get_resource_policy(SecretId=arn).get("ResourcePolicy")
        return None if found is None else json.loads(found)

    def write(text: str) -> object:
        return secrets.put_resource_policy(SecretId=arn, ResourcePolicy=text)

    others = _others(sandbox.account("camden"), "secretsmanager:DescribeSecret", "*")
    return Made("secretsmanager_secret", arn, arn, "read", read, write, others)


def make_topic(sandbox: Sandbox, name: str) -> Made:
    sns = sandbox.client("sns", sandbox.root("camden"))
    arn = sns.create_topic(Name=name)["TopicArn"]

    def read() -> Any:
        return json.loads(sns.get_topic_attributes(TopicArn=arn)["Attributes"]["Policy"])

    def write(text: str) -> object:
        return sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=text)

    return Made("sns_topic", name, arn, "publish", read, write, _others(sandbox.account("camden"), "SNS:Publish", arn))


def make_queue(sandbox: Sandbox, name: str) -> Made:
    sqs = sandbox.client("sqs", sandbox.root("camden"))
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def read() -> Any:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"]).get("Attributes", {}).get("Policy")
        return None if found is None else json.loads(found)

    def write(text: str) -> object:
        return sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": text})

    return Made(
        "sqs_queue", arn, arn, "receive", read, write, _others(sandbox.account("camden"), "sqs:SendMessage", arn)
    )


def make_role(sandbox: Sandbox, name: str) -> Made:
    iam = sandbox.client("iam", sandbox.root("camden"))
    others = _others(sandbox.account("camden"), "sts:AssumeRole", None)
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(others))["Role"]["Arn"]

    def read() -> Any:
        return iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]

    def write(text: str) -> object:
        return iam.update_assume_role_policy(RoleName=name, PolicyDocument=text)

    return Made("iam_role", name, arn, "assume", read, write, others)


MAKERS: dict[str, Callable[[Sandbox, str], Made]] = {
    "s3_bucket": make_bucket,
    "ecr_repository": make_repository,
    "kms_key": make_key,
    "secretsmanager_secret": make_secret,
    "sns_topic": make_topic,
    "sqs_queue": make_queue,
    "iam_role": make_role,
}
