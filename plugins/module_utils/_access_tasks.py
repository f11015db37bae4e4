# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials inside ECS tasks: sessions of services' roles exist nowhere else."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._access_calls import (
    Again,
    Identity,
    NotYetError,
    attempt,
    code_of,
    message_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._access_probe import FAILED, MARK, Result
from ansible_collections.localgov.platform.plugins.module_utils._access_program import Container, Program
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError, WaiterError
    from botocore.waiter import WaiterModel, create_waiter_with_client

# A client of boto3; aws_retry is known to those that amazon.aws has wrapped.
Client = Any

_TASKS_AT_ONCE = 100  # as ECS limits DescribeTasks
_DELAY = 2  # seconds between two looks


@dataclass(frozen=True)
class Ground:
    """Where tasks are run, and where the log of their container goes."""

    identity: Identity
    parameters: dict[str, Any]  # of RunTask
    container: str
    log_group: str
    log_prefix: str
    log_region: str

    @property
    def cluster(self) -> str:
        return str(self.parameters["cluster"])


@dataclass(frozen=True)
class Task:
    """A program that was to be run; without an `arn` it could not be, for `obstacle`."""

    program: Program
    arn: str = ""
    obstacle: str = ""

    @property
    def identifier(self) -> str:
        return self.arn.rpartition("/")[2]

    def caller(self, identity: Identity) -> str:
        """The session as AWS names it."""
        role = self.program.role.rpartition("/")[2]
        return f"arn:{identity.partition}:sts::{identity.account}:assumed-role/{role}/{self.identifier}"


def ground_of(ecs: Client, identity: Identity, option: dict[str, Any]) -> Ground:
    """Find the container whose command is replaced. *option* is the module's option `task`."""
    name = option["task_definition"]
    with attempt(f"find the task definition {name}", identity.account, "ecs:DescribeTaskDefinition"):
        found = ecs.describe_task_definition(aws_retry=True, taskDefinition=name)["taskDefinition"]
    container = next(one for one in found["containerDefinitions"] if one.get("essential", True))
    log = container.get("logConfiguration") or {}
    options = log.get("options") or {}
    if log.get("logDriver") != "awslogs" or not options.get("awslogs-stream-prefix"):
        raise RefusedError(
            f"The container {container['name']} of the task definition {name} in account {identity.account} does not "
            "write its log to CloudWatch with a stream prefix, so its trials could not be read. Name one that does."
        )
    network = {
        "subnets": option["subnets"],
        "securityGroups": option["security_groups"],
        "assignPublicIp": "ENABLED" if option["assign_public_ip"] else "DISABLED",
    }
    parameters = {
        "cluster": option["cluster"],
        "taskDefinition": found["taskDefinitionArn"],
        "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": network},
        "startedBy": "access-probe",
        "tags": [{"key": "purpose", "value": "access-probe"}],
    }
    region = options.get("awslogs-region") or identity.region
    return Ground(
        identity, parameters, container["name"], options["awslogs-group"], options["awslogs-stream-prefix"], region
    )


def container_of(ground: Ground, plain_http_endpoint_url: str | None) -> Container:
    return Container(ground.container, ground.identity.region, plain_http_endpoint_url)


# --- Start ---


def start(ecs: Client, ground: Ground, programs: list[Program]) -> list[Task]:
    """Start all of them. When the operator may not, those that were started are stopped again."""
    tasks: list[Task] = []
    try:
        for program in programs:
            tasks.append(_started(ecs, ground, program))
    except RefusedError:
        _stop(ecs, ground, tasks, "Not all trials could be started")
        raise
    return tasks


def _started(ecs: Client, ground: Ground, program: Program) -> Task:
    identity, role = ground.identity, program.role
    needed = (
        f"ecs:RunTask on {ground.parameters['taskDefinition']}, ecs:TagResource on tasks of the cluster "
        f"{ground.cluster}, and iam:PassRole to ecs-tasks.amazonaws.com on {role} and the execution role"
    )
    try:
        with attempt(f"run a task as {role}", identity.account, needed):
            return Task(program, _placed(ecs, ground, program))
    except NotYetError as full:
        return Task(program, obstacle=f"ECS has no room for its task: {full}")
    except RefusedError as refused:
        cause = refused.__cause__
        if isinstance(cause, ClientError) and "assume the role" in message_of(cause):
            return Task(program, obstacle=f"{code_of(cause)}: {message_of(cause)}")
        raise


@Again.jittered_backoff(retries=6, delay=2, max_delay=30, catch_extra_error_codes=["NotYetError"])  # type: ignore[untyped-decorator]
def _placed(ecs: Client, ground: Ground, program: Program) -> str:
    """The task's ARN. NotYetError when there is no capacity."""
    try:
        answer = ecs.run_task(aws_retry=True, **ground.parameters, overrides=program.overrides)
    except ClientError as error:
        if _is_full(message_of(error)):
            raise NotYetError(message_of(error)) from error
        raise
    if answer["tasks"]:
        return str(answer["tasks"][0]["taskArn"])
    reasons = ", ".join(str(failure.get("reason")) for failure in answer.get("failures") or []) or "no reason given"
    if _is_full(reasons):
        raise NotYetError(reasons)
    raise RefusedError(f"Cannot run a task as {program.role} in account {ground.identity.account}: {reasons}.")


def _is_full(reason: str) -> bool:
    return any(word in reason.lower() for word in ("capacity is unavailable", "reached the limit", "resource:"))


# --- End ---


def finish(
    ecs: Client, logs: Client, ground: Ground, tasks: list[Task], deadline: float
) -> Iterator[tuple[Task, Result]]:
    """Wait until *deadline* (of time.monotonic) for all of them to end, and read what they found out."""
    running = [task for task in tasks if task.arn]
    found: dict[str, dict[str, Any]] = {}
    try:
        for batch in _batches(running):
            found |= _ended(ecs, ground, batch, deadline)
    finally:
        late = [task for task in running if found.get(task.arn, {}).get("lastStatus") != "STOPPED"]
        _stop(ecs, ground, late, "Its trials were not done in time")
    for task in tasks:
        record = found.get(task.arn, {})
        results, last_line = _said(logs, ground, task, record)
        why_silent = _why_silent(ground, task, record, last_line)
        for number in task.program.numbers:
            yield task, results.get(number) or Result(number, FAILED, why_silent)


def _ended(ecs: Client, ground: Ground, batch: list[Task], deadline: float) -> dict[str, dict[str, Any]]:
    """What ECS knows of the tasks, when all have ended or time is up."""
    arns = [task.arn for task in batch]
    where = {"cluster": ground.cluster, "tasks": arns}
    looks = max(1, math.ceil((deadline - time.monotonic()) / _DELAY))
    with attempt(
        "look at the tasks of the trials", ground.identity.account, "ecs:DescribeTasks on tasks of the cluster"
    ):
        try:
            tasks_ended(ecs, len(arns)).wait(**where, WaiterConfig={"Delay": _DELAY, "MaxAttempts": looks})
        except WaiterError as error:
            if "Error" in error.last_response:
                raise ClientError(error.last_response, "DescribeTasks") from error
        answer = ecs.describe_tasks(aws_retry=True, **where)
    return {task["taskArn"]: task for task in answer["tasks"]}


def tasks_ended(ecs: Client, count: int) -> Any:  # noqa: ANN401  botocore's waiters have no types
    """Unlike ECS's own waiter this one goes on when ECS does not know a task yet that it has just started."""
    ended = {
        "state": "success",
        "matcher": "path",
        "argument": f"length(tasks[?lastStatus=='STOPPED']) == `{count}`",
        "expected": True,
    }
    waiter = {"operation": "DescribeTasks", "delay": _DELAY, "maxAttempts": 100, "acceptors": [ended]}
    model = WaiterModel({"version": 2, "waiters": {"TasksEnded": waiter}})
    client: Any = getattr(ecs, "client", ecs)
    return create_waiter_with_client("TasksEnded", model, client)


def _stop(ecs: Client, ground: Ground, tasks: list[Task], reason: str) -> None:
    for task in tasks:
        if task.arn:
            with suppress(ClientError):  # it may have ended, and what led here is said already
                ecs.stop_task(aws_retry=True, cluster=ground.cluster, task=task.arn, reason=f"access-probe: {reason}")


def _batches(tasks: list[Task]) -> Iterator[list[Task]]:
    for first in range(0, len(tasks), _TASKS_AT_ONCE):
        yield tasks[first : first + _TASKS_AT_ONCE]


# --- What they found out ---


def _said(logs: Client, ground: Ground, task: Task, found: dict[str, Any]) -> tuple[dict[int, Result], str]:
    """The results that the task has written, by number, and the last line that it wrote besides.

    CloudWatch may show lines some seconds after the task has ended; one that ended well has written all of them.
    """
    lines: list[str] = []
    if _container(ground, found).get("exitCode") is not None:
        count = len(task.program.numbers) if _container(ground, found)["exitCode"] == 0 else 0
        try:
            lines = _lines(logs, ground, task, count)
        except NotYetError:
            lines = _lines(logs, ground, task, 0)
    results = [Result(*json.loads(line.removeprefix(MARK))) for line in lines if line.startswith(MARK)]
    others = [line.strip() for line in lines if line.strip() and not line.startswith(MARK)]
    return {result.number: result for result in results}, others[-1] if others else ""


@Again.exponential_backoff(retries=8, delay=0.5, max_delay=8, catch_extra_error_codes=["NotYetError"])  # type: ignore[untyped-decorator]
def _lines(logs: Client, ground: Ground, task: Task, count: int) -> list[str]:
    """What is in the log. NotYetError while it has fewer than *count* results."""
    stream = f"{ground.log_prefix}/{ground.container}/{task.identifier}"
    where = {"logGroupName": ground.log_group, "logStreamName": stream, "startFromHead": True}
    needed = f"logs:GetLogEvents on the log group {ground.log_group}"
    lines: list[str] = []
    with attempt(f"read the log {stream} in {ground.log_group}", ground.identity.account, needed):
        try:
            page, token = logs.get_log_events(aws_retry=True, **where), None
            while page["nextForwardToken"] != token:  # a page may be empty without being the last
                lines += [event["message"] for event in page["events"]]
                token = page["nextForwardToken"]
                page = logs.get_log_events(aws_retry=True, **where, nextToken=token)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":  # the stream is made with its first line
                raise
    if sum(line.startswith(MARK) for line in lines) < count:
        raise NotYetError
    return lines


def _why_silent(ground: Ground, task: Task, found: dict[str, Any], last_line: str) -> str:
    """Why there is no result of a trial."""
    if task.obstacle:
        return task.obstacle
    if not found:
        return f"ECS does not know the task {task.identifier}, which it has started, in the cluster {ground.cluster}."
    if found["lastStatus"] != "STOPPED":
        return f"Not done in time: the task {task.identifier} was {found['lastStatus']} and is stopped now."
    container = _container(ground, found)
    reasons = [found.get("stoppedReason"), container.get("reason")]
    if container.get("exitCode") is not None:
        reasons += [f"exit code {container['exitCode']}", last_line]
    return f"The task {task.identifier} ended: {'; '.join(dict.fromkeys(filter(None, reasons)))}"


def _container(ground: Ground, found: dict[str, Any]) -> dict[str, Any]:
    return next((one for one in found.get("containers") or [] if one["name"] == ground.container), {})
