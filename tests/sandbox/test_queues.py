# SPDX-License-Identifier: GPL-3.0-or-later

"""A queue gets what its policy lets a rule send, and who drains it needs the permissions that AWS asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox, policy

RECEIVE = {"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage"], "Resource": "*"}


class Announced:
    """A bucket of camden whose new objects a rule sends on to a queue."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        root = sandbox.root("camden")
        self.name, self.s3, self.sqs = name, sandbox.client("s3", root), sandbox.client("sqs", root)
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        told: dict[str, Any] = {"EventBridgeConfiguration": {}}
        self.s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=told)
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = f"arn:aws:sqs:eu-west-2:{sandbox.account('camden')}:{name}"
        events = sandbox.client("events", root)
        detail = {"bucket": {"name": [name]}, "object": {"key": [{"prefix": "uploads/"}]}}
        pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}
        self.rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": self.arn}])

    def lets(self, rule: str) -> None:
        statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}}
        statement |= {"Action": "sqs:SendMessage", "Resource": self.arn}
        statement["Condition"] = {"ArnEquals": {"aws:SourceArn": rule}}
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy(statement)})

    def uploads(self, key: str) -> str:
        return str(self.s3.put_object(Bucket=self.name, Key=key, Body=b"a")["VersionId"])

    def receives(self, seconds: int) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(QueueUrl=self.url, WaitTimeSeconds=seconds)
        return [json.loads(entry["Body"])["detail"] for entry in answer.get("Messages", [])]


@pytest.fixture
def announced(sandbox: Sandbox, unique: str) -> Announced:
    return Announced(sandbox, unique)


def test_a_new_object_is_announced_with_its_version_and_others_are_not(announced: Announced) -> None:
    announced.lets(announced.rule)
    announced.uploads("results/one")
    version = announced.uploads("uploads/a b.csv")
    (detail,) = announced.receives(20)
    assert detail["bucket"]["name"] == announced.name
    assert (detail["object"]["key"], detail["object"]["version-id"]) == ("uploads/a b.csv", version)


def test_a_queue_that_lets_another_rule_send_gets_nothing(announced: Announced) -> None:
    announced.lets(f"{announced.rule}-of-somebody-else")
    announced.uploads("uploads/one")
    announced.lets(announced.rule)
    version = announced.uploads("uploads/two")
    assert [detail["object"]["version-id"] for detail in announced.receives(20)] == [version]


def test_who_may_delete_a_message_may_delete_a_batch_of_them(sandbox: Sandbox, announced: Announced) -> None:
    announced.sqs.send_message(QueueUrl=announced.url, MessageBody="one")
    drain = sandbox.client("sqs", sandbox.role("camden", "localgov-drain", [RECEIVE]))
    (message,) = drain.receive_message(QueueUrl=announced.url)["Messages"]
    entries = [{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}]
    assert not drain.delete_message_batch(QueueUrl=announced.url, Entries=entries).get("Failed")
    with pytest.raises(ClientError, match="sqs:SendMessage"):
        drain.send_message(QueueUrl=announced.url, MessageBody="two")
