# SPDX-License-Identifier: GPL-3.0-or-later
"""The stacks of every account, as CloudFormation itself tells of them: what the ways C and F create.

And the buckets, which are there before stacks are: the trail of `localgov-audit`, for one, writes into one of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.benchmark.fleet.fleet import Fleet

_DONE = ["CREATE_COMPLETE", "UPDATE_COMPLETE"]


@dataclass(frozen=True)
class Stack:
    name: str
    template: str
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    def with_values(self, values: Mapping[str, str]) -> Stack:
        """The same on another sandbox, where what earlier stacks have made is called otherwise."""
        return replace(
            self,
            template=_replaced(self.template, values),
            parameters={name: _replaced(value, values) for name, value in self.parameters.items()},
        )

    def values_from(self, stack: Mapping[str, Any]) -> dict[str, str]:
        """Old value to new of this stack's outputs; *stack* is what DescribeStacks says of the new one."""
        new = outputs_of(stack)
        return {old: new[name] for name, old in self.outputs.items() if old and new.get(name, old) != old}


def client(fleet: Fleet, account: str, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    """As the account's root, for which the emulator takes the account's id as access key."""
    described = fleet.sandbox
    make: Any = boto3.client
    return make(
        service,
        region_name=described["region"],
        endpoint_url=described["endpoint_url"],
        verify=described["ca_bundle"],
        aws_access_key_id=fleet.accounts[account],
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 5}, max_pool_connections=1),
    )


def capture(fleet: Fleet, file: Path, buckets_file: Path) -> None:
    """Write the stacks of each account, the oldest first, and its buckets with their policies."""
    file.write_text(json.dumps({name: [asdict(stack) for stack in _stacks(fleet, name)] for name in fleet.accounts}))
    buckets_file.write_text(json.dumps({name: _buckets(fleet, name) for name in fleet.accounts}))


def read(file: Path) -> dict[str, list[Stack]]:
    return {name: [Stack(**stack) for stack in stacks] for name, stacks in json.loads(file.read_text()).items()}


def _stacks(fleet: Fleet, account: str) -> list[Stack]:
    cloudformation = client(fleet, account, "cloudformation")
    found = cloudformation.get_paginator("describe_stacks").paginate().build_full_result()["Stacks"]
    return [
        Stack(
            stack["StackName"],
            _text(cloudformation.get_template(StackName=stack["StackName"], TemplateStage="Original")["TemplateBody"]),
            {entry["ParameterKey"]: entry["ParameterValue"] for entry in stack.get("Parameters", [])},
            {entry["Key"]: entry["Value"] for entry in stack.get("Tags", [])},
            outputs_of(stack),
        )
        for stack in sorted(found, key=lambda stack: stack["CreationTime"])
        if stack["StackStatus"] in _DONE
    ]


def _buckets(fleet: Fleet, account: str) -> dict[str, str]:
    """Name to policy, in JSON; empty where there is none."""
    s3 = client(fleet, account, "s3")
    return {bucket["Name"]: _policy(s3, bucket["Name"]) for bucket in s3.list_buckets()["Buckets"]}


def _policy(s3: Any, bucket: str) -> str:  # noqa: ANN401 - boto3 makes its clients at run time
    try:
        return str(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        return ""


def outputs_of(stack: Mapping[str, Any]) -> dict[str, str]:
    return {entry["OutputKey"]: entry["OutputValue"] for entry in stack.get("Outputs", [])}


def _replaced(text: str, values: Mapping[str, str]) -> str:
    for old, new in values.items():
        text = text.replace(old, new)
    return text


def _text(template: str | dict[str, Any]) -> str:
    return template if isinstance(template, str) else json.dumps(template)
