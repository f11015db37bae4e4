# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""No password and no token is in anything that the account can show, nor in what the sandbox keeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.users.conftest import PASSWORD, TOKEN, Workflow, lines, user

SECRETS = (PASSWORD.encode(), TOKEN.encode())
# The stored secret itself is in its place there, as text that the emulator keeps.
_OF_SECRETS_MANAGER = "secretsmanager"


def shown(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """Everything that the account shows, and where."""
    client = workflow.client
    states = workflow.states
    for machine in states.list_state_machines()["stateMachines"]:
        arn = machine["stateMachineArn"]
        yield arn, str(states.describe_state_machine(stateMachineArn=arn))
        for execution in states.list_executions(stateMachineArn=arn)["executions"]:
            name = execution["executionArn"]
            yield name, str(states.describe_execution(executionArn=name))
            for page in states.get_paginator("get_execution_history").paginate(executionArn=name):
                yield f"{name} history", str(page["events"])
    logs = client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        for stream in logs.describe_log_streams(logGroupName=group["logGroupName"])["logStreams"]:
            where = {"logGroupName": group["logGroupName"], "logStreamName": stream["logStreamName"]}
            yield str(where), str(logs.get_log_events(**where, startFromHead=True)["events"])
    ecs = client("ecs")
    for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
        yield arn, str(ecs.describe_task_definition(taskDefinition=arn))
    for status in ("RUNNING", "STOPPED"):
        for arn in ecs.list_tasks(cluster=workflow.name, desiredStatus=status)["taskArns"]:
            yield arn, str(ecs.describe_tasks(cluster=workflow.name, tasks=[arn], include=["TAGS"]))
    yield from _configured(client, workflow)


def _configured(client: Any, workflow: Workflow) -> Iterator[tuple[str, str]]:
    for function in client("lambda").list_functions()["Functions"]:
        yield function["FunctionName"], str(function)
    stacks = client("cloudformation")
    yield "template", json.dumps(stacks.get_template(StackName=workflow.name)["TemplateBody"])
    yield "events of the stack", str(stacks.describe_stack_events(StackName=workflow.name))
    yield "turns", str(client("dynamodb").scan(TableName=workflow.name))
    for bucket in (workflow.uploads, workflow.receipts):
        for entry in workflow.root_s3.list_object_versions(Bucket=bucket).get("Versions", []):
            content = workflow.root_s3.get_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
            yield f"{bucket}/{entry['Key']}", entry["Key"] + content["Body"].read().decode("latin-1")


def kept(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the sandbox's state folder."""
    for path in folder.rglob("*"):
        if path.is_file() and _OF_SECRETS_MANAGER not in path.name:
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


@pytest.mark.parametrize("kind", ["workflow", "once"])
def test_no_list_of_processes_has_a_password_or_the_token_while_users_are_added(
    request: pytest.FixtureRequest, kind: str
) -> None:
    chosen: Workflow = request.getfixturevalue(kind)
    with process_lists() as seen:
        receipt = chosen.process(lines(*(user(f"listed-{kind}-{number}") for number in range(5))))
    assert receipt["counts"]["created"] == 5
    assert any(b"TASK_FILES" in line for line in seen)  # the container's own process was among them
    assert [line for line in seen if any(secret in line for secret in SECRETS)] == []


@pytest.fixture(scope="module")
def worked(workflow: Workflow) -> Workflow:
    """A workflow that has added, refused and failed; earlier tests of the session have too."""
    for content in (
        lines(user("seen"), user("seen-too", role="unheard-of")),
        lines(user("broken")) + f'{{"password": "{PASSWORD}"'.encode(),
    ):
        workflow.process(content)
    return workflow


def test_nothing_that_the_account_shows_has_a_password_or_the_token(worked: Workflow) -> None:
    places = 0
    for where, text in shown(worked):
        places += 1
        assert not any(secret in text.encode() for secret in SECRETS), where
    assert places > 30


def test_nothing_that_the_sandbox_keeps_has_a_password_or_the_token(worked: Workflow) -> None:
    found = [where for where, content in kept(worked.sandbox.folder) if any(secret in content for secret in SECRETS)]
    assert found == []
