# SPDX-License-Identifier: GPL-3.0-or-later
"""Way F: `python -m tests.benchmark.fleet.floor create|describe <fleet's folder> <authorities> <stacks.json>`.

One process with a thread for each account that is at work. `create` creates each stack and waits for it, as the next
one may need its outputs; `describe` looks at each once.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmark.fleet import stacks
from tests.benchmark.fleet.fleet import Fleet

AT_ONCE = 8  # as many as there are forks in ansible.cfg
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
LARGEST_IN_REQUEST = 51_200  # bytes of a template; a larger one is read from a bucket


def main(verb: str, folder: str, authorities: str, file: str) -> None:
    fleet, captured = Fleet(Path(folder), int(authorities)), stacks.read(Path(file))
    act = {"create": _create, "describe": _describe}[verb]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda account: act(fleet, account, captured[account]), fleet.accounts))


def templates_bucket(account_id: str) -> str:
    return f"localgov-{account_id}-templates"  # of that name, as the deploy role may write no other


def _create(fleet: Fleet, account: str, declared: list[stacks.Stack]) -> None:
    cloudformation, s3 = stacks.client(fleet, account, "cloudformation"), None
    values: dict[str, str] = {}
    for captured in declared:
        stack = captured.with_values(values)
        if len(stack.template.encode()) > LARGEST_IN_REQUEST:
            s3 = s3 or stacks.client(fleet, account, "s3")
            bucket = templates_bucket(fleet.accounts[account])
            s3.put_object(Bucket=bucket, Key=stack.name, Body=stack.template.encode())
            template = {"TemplateURL": f"https://{bucket}.s3.{fleet.sandbox['region']}.amazonaws.com/{stack.name}"}
        else:
            template = {"TemplateBody": stack.template}
        cloudformation.create_stack(
            StackName=stack.name,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
            Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
            Capabilities=CAPABILITIES,
            **template,
        )
        values |= captured.values_from(_created(cloudformation, stack.name))


def _created(cloudformation: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - boto3 makes its clients at run time
    while True:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return stack
        if stack["StackStatus"] != "CREATE_IN_PROGRESS":
            sys.exit(f"{name}: {stack['StackStatus']}: {stack.get('StackStatusReason')}")
        time.sleep(1)


def _describe(fleet: Fleet, account: str, declared: list[stacks.Stack]) -> None:
    cloudformation = stacks.client(fleet, account, "cloudformation")
    for stack in declared:
        cloudformation.describe_stacks(StackName=stack.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
