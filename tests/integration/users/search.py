# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""Everything that an account can show, all that the sandbox keeps, and who runs with which arguments.

For tests that look for a secret which they have planted.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# A stored secret is in its place there, as text that the emulator keeps.
ITS_PLACE = ("secretsmanager",)
Client = Callable[[str], Any]
Shown = Iterator[tuple[str, bytes]]  # where, and what is there


def shown(client: Client) -> Shown:
    """Every page of everything that the account shows. *client* makes a client of a service, as the account's root."""
    for part in (_workflows, _logs, _tasks, _functions, _stacks, _tables, _objects, _queues, _rules, _secrets, _audit):
        for where, what in part(client):
            yield f"{part.__name__.strip('_')}: {where}", what if isinstance(what, bytes) else str(what).encode()


def kept(folder: Path, *, except_in: tuple[str, ...]) -> Shown:
    """Every file of the sandbox's state folder but those whose name has one of these words."""
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # it has gone meanwhile
            if path.is_file() and not any(word in path.name for word in except_in):
                yield str(path), path.read_bytes()


@contextmanager
def process_lists() -> Iterator[set[bytes]]:
    """Every command line of every process of this machine, for as long as this lasts."""
    seen: set[bytes] = set()
    ending = threading.Event()

    def watch() -> None:
        while not ending.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    seen.add(path.read_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        ending.set()
        watching.join()


def having(places: Shown, *secrets: str) -> list[str]:
    """Where any of the secrets is, as it is or in base64."""
    forms = [form for secret in secrets for form in _forms(secret.encode())]
    return [where for where, what in places if any(form in what for form in forms)]


def _forms(secret: bytes) -> list[bytes]:
    """In base64 a text looks different by what is before it, and its ends by what is around it."""
    shifted = [base64.b64encode(bytes(before) + secret) for before in range(3)]
    whole = [slice(-(-before * 8 // 6), (before + len(secret)) * 8 // 6) for before in range(3)]
    return [secret, *(text[inner] for text, inner in zip(shifted, whole, strict=True))]


def _each(client: Any, operation: str, key: str, **given: Any) -> Iterator[Any]:
    for page in client.get_paginator(operation).paginate(**given):
        yield from page.get(key, [])


def _workflows(client: Client) -> Iterator[tuple[str, Any]]:
    states = client("stepfunctions")
    for machine in _each(states, "list_state_machines", "stateMachines"):
        arn = machine["stateMachineArn"]
        yield arn, states.describe_state_machine(stateMachineArn=arn)
        for execution in _each(states, "list_executions", "executions", stateMachineArn=arn):
            name = execution["executionArn"]
            yield name, states.describe_execution(executionArn=name)
            yield f"history of {name}", list(_each(states, "get_execution_history", "events", executionArn=name))


def _logs(client: Client) -> Iterator[tuple[str, Any]]:
    logs = client("logs")
    for group in _each(logs, "describe_log_groups", "logGroups"):
        for stream in _each(logs, "describe_log_streams", "logStreams", logGroupName=group["logGroupName"]):
            where = {"logGroupName": group["logGroupName"], "logStreamName": stream["logStreamName"]}
            page = logs.get_log_events(**where, startFromHead=True)
            while page["events"]:
                yield str(where), page["events"]
                page = logs.get_log_events(**where, startFromHead=True, nextToken=page["nextForwardToken"])


def _tasks(client: Client) -> Iterator[tuple[str, Any]]:
    ecs = client("ecs")
    for arn in _each(ecs, "list_task_definitions", "taskDefinitionArns"):
        yield arn, ecs.describe_task_definition(taskDefinition=arn)
    for cluster in _each(ecs, "list_clusters", "clusterArns"):
        for status in ("RUNNING", "STOPPED"):
            for arn in _each(ecs, "list_tasks", "taskArns", cluster=cluster, desiredStatus=status):
                yield arn, ecs.describe_tasks(cluster=cluster, tasks=[arn], include=["TAGS"])


def _functions(client: Client) -> Iterator[tuple[str, Any]]:
    for function in _each(client("lambda"), "list_functions", "Functions"):
        yield function["FunctionName"], function


def _stacks(client: Client) -> Iterator[tuple[str, Any]]:
    stacks = client("cloudformation")
    for stack in _each(stacks, "describe_stacks", "Stacks"):
        name = stack["StackName"]
        yield name, stack
        yield f"template of {name}", json.dumps(stacks.get_template(StackName=name)["TemplateBody"])
        yield f"events of {name}", list(_each(stacks, "describe_stack_events", "StackEvents", StackName=name))


def _tables(client: Client) -> Iterator[tuple[str, Any]]:
    tables = client("dynamodb")
    for name in _each(tables, "list_tables", "TableNames"):
        yield name, list(_each(tables, "scan", "Items", TableName=name))


def _objects(client: Client) -> Iterator[tuple[str, Any]]:
    s3 = client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        for entry in _each(s3, "list_object_versions", "Versions", Bucket=bucket["Name"]):
            version = {"Bucket": bucket["Name"], "Key": entry["Key"], "VersionId": entry["VersionId"]}
            answer = s3.get_object(**version)
            content = answer["Body"].read()
            yield f"{bucket['Name']}/{entry['Key']}", str(answer["Metadata"]).encode() + entry["Key"].encode()
            packed = content.startswith(b"\x1f\x8b")
            yield f"{bucket['Name']}/{entry['Key']}", gzip.decompress(content) if packed else content


def _queues(client: Client) -> Iterator[tuple[str, Any]]:
    """Their messages too, which are there for others afterwards."""
    sqs = client("sqs")
    for queue in _each(sqs, "list_queues", "QueueUrls"):
        yield queue, sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
        messages: list[Any] = []
        asked = {"MaxNumberOfMessages": 10, "VisibilityTimeout": 60, "MessageAttributeNames": ["All"]}
        while page := sqs.receive_message(QueueUrl=queue, **asked).get("Messages"):
            messages += page
        yield f"messages of {queue}", messages
        for message in messages:
            receipt = message["ReceiptHandle"]
            sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=0)


def _rules(client: Client) -> Iterator[tuple[str, Any]]:
    events = client("events")
    for rule in _each(events, "list_rules", "Rules"):
        yield rule["Name"], rule
        yield f"targets of {rule['Name']}", list(_each(events, "list_targets_by_rule", "Targets", Rule=rule["Name"]))
    for alarm in _each(client("cloudwatch"), "describe_alarms", "MetricAlarms"):
        yield alarm["AlarmName"], alarm


def _secrets(client: Client) -> Iterator[tuple[str, Any]]:
    """What is told of them to whoever may not read them."""
    for secret in _each(client("secretsmanager"), "list_secrets", "SecretList"):
        yield secret["Name"], secret


def _audit(client: Client) -> Iterator[tuple[str, Any]]:
    for event in _each(client("cloudtrail"), "lookup_events", "Events"):
        yield event["EventId"], event
