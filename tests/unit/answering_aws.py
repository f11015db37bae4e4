# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401, N802  boto3's clients have no static types; methods are named as AWS's operations
"""Clients of boto3 that are answered without a network, by what a test says or by an AWS that holds a few things."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import boto3
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from botocore.stub import Stubber

ACCOUNT = "012345670123"
ADMINISTRATORS = {
    "Sid": "Administrators",
    "Effect": "Allow",
    "Principal": {"AWS": ACCOUNT},
    "Action": "kms:*",
    "Resource": "*",
}


def key_arn(name: str) -> str:
    return f"arn:aws:kms:eu-west-2:{ACCOUNT}:key/{name}"


def stubbed(service: str) -> tuple[Any, Stubber]:
    """A client as modules have it, and what answers it; an error that passes is tried again without waiting."""
    client = _connected(service)
    stubber = Stubber(client)
    stubber.activate()
    return _retrying(client), stubber


def _connected(service: str) -> Any:
    connect: Any = boto3.client
    return connect(
        service, region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up-secret"
    )


def _retrying(client: Any) -> Any:
    return RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff(retries=3, delay=0))


class _AnsweredError(Exception):
    """AWS's error code."""


@dataclass
class Aws:
    """An account's bucket, keys, role and topic, by name.

    `denied` are operations that are refused, on everything or on `Operation name`.
    """

    bucket: list[dict[str, Any]] = field(default_factory=list)
    region: str | None = "eu-west-2"
    encrypts_by: str | None = None
    keys: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    role: list[dict[str, Any]] = field(default_factory=list)
    role_policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    topic: list[dict[str, Any]] = field(default_factory=list)
    subscriptions: dict[str, str] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str, **_: Any) -> Any:
        if service not in self._clients:
            self._clients[service] = self._connected(service)
        return self._clients[service]

    def _connected(self, service: str) -> Any:
        client = _connected(service)
        asked: dict[str, Any] = {}

        def remember(params: dict[str, Any], **_: Any) -> None:
            asked.clear()
            asked.update(params)

        def answer(model: Any, **_: Any) -> Any:
            try:
                return SimpleNamespace(status_code=200, headers={}, raw=None), self._answer(model.name, asked)
            except _AnsweredError as error:
                return SimpleNamespace(status_code=400, headers={}, raw=None), {
                    "Error": {"Code": str(error), "Message": "no"}
                }

        client.meta.events.register_first("before-parameter-build.*.*", remember)
        client.meta.events.register_first("before-call.*.*", answer)
        return _retrying(client)

    def _answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        name = str(asked.get("KeyId", "")).rpartition("/")[2]
        if {operation, f"{operation} {name}"} & self.denied:
            raise _AnsweredError("AccessDenied")
        found: dict[str, Any] | None = getattr(self, operation)(asked)
        return found or {}

    # --- Operations ---

    def GetCallerIdentity(self, asked: dict[str, Any]) -> Any:
        return {"Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/localgov-deploy/test"}

    def GetBucketLocation(self, asked: dict[str, Any]) -> Any:
        return {"LocationConstraint": self.region}

    def GetBucketPolicy(self, asked: dict[str, Any]) -> Any:
        if not self.bucket:
            raise _AnsweredError("NoSuchBucketPolicy")
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": self.bucket})}

    def PutBucketPolicy(self, asked: dict[str, Any]) -> Any:
        self.bucket = json.loads(asked["Policy"])["Statement"]

    def DeleteBucketPolicy(self, asked: dict[str, Any]) -> Any:
        self.bucket = []

    def GetBucketEncryption(self, asked: dict[str, Any]) -> Any:
        by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.encrypts_by}
        default = by_key if self.encrypts_by else {"SSEAlgorithm": "AES256"}
        return {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}}

    def DescribeKey(self, asked: dict[str, Any]) -> Any:
        name = asked["KeyId"].rpartition("/")[2]
        return {"KeyMetadata": {"KeyId": name, "Arn": key_arn(name), "KeyManager": "CUSTOMER"}}

    def ListKeys(self, asked: dict[str, Any]) -> Any:
        return {"Keys": [{"KeyId": name, "KeyArn": key_arn(name)} for name in self.keys], "Truncated": False}

    def GetKeyPolicy(self, asked: dict[str, Any]) -> Any:
        statements = self.keys[asked["KeyId"].rpartition("/")[2]]
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": statements})}

    def PutKeyPolicy(self, asked: dict[str, Any]) -> Any:
        self.keys[asked["KeyId"].rpartition("/")[2]] = json.loads(asked["Policy"])["Statement"]

    def ListResourceTags(self, asked: dict[str, Any]) -> Any:
        tags = self.tags.get(asked["KeyId"].rpartition("/")[2], {})
        return {"Tags": [{"TagKey": key, "TagValue": value} for key, value in tags.items()], "Truncated": False}

    def TagResource(self, asked: dict[str, Any]) -> Any:
        tags = self.tags.setdefault(asked["KeyId"].rpartition("/")[2], {})
        tags |= {tag["TagKey"]: tag["TagValue"] for tag in asked["Tags"]}

    def GetRole(self, asked: dict[str, Any]) -> Any:
        trust = json.dumps({"Version": "2012-10-17", "Statement": self.role})
        arn = f"arn:aws:iam::{ACCOUNT}:role/{asked['RoleName']}"
        return {"Role": {"Arn": arn, "AssumeRolePolicyDocument": trust}}

    def UpdateAssumeRolePolicy(self, asked: dict[str, Any]) -> Any:
        self.role = json.loads(asked["PolicyDocument"])["Statement"]

    def GetRolePolicy(self, asked: dict[str, Any]) -> Any:
        if asked["PolicyName"] not in self.role_policies:
            raise _AnsweredError("NoSuchEntity")
        return {"PolicyDocument": json.dumps(self.role_policies[asked["PolicyName"]])}

    def PutRolePolicy(self, asked: dict[str, Any]) -> Any:
        self.role_policies[asked["PolicyName"]] = json.loads(asked["PolicyDocument"])

    def GetTopicAttributes(self, asked: dict[str, Any]) -> Any:
        return {"Attributes": {"Policy": json.dumps({"Version": "2012-10-17", "Statement": self.topic})}}

    def SetTopicAttributes(self, asked: dict[str, Any]) -> Any:
        self.topic = json.loads(asked["AttributeValue"])["Statement"]

    def ListSubscriptionsByTopic(self, asked: dict[str, Any]) -> Any:
        return {
            "Subscriptions": [
                {"SubscriptionArn": arn, "Owner": "999999999999", "Protocol": "https", "Endpoint": endpoint}
                for endpoint, arn in self.subscriptions.items()
            ]
        }
