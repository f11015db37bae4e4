#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command once, as a task in the place of an ECS service, and read how it ended."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_one_off_task
short_description: Run a command once, in the place of an Amazon ECS service, and read how it ended
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Runs a task with the roles, secrets, variables and network of a service that is there, with another command and,
    where that is asked for, another image of its repository. It waits for the end, and fails unless the exit code is 0.
  - The service itself is left alone, whether it runs or is switched off.
  - The task definition is taken from the service's own, without its health check and what runs before it, in the family
    C(<family>-once), and is deregistered at the end. What a run that was killed has left there goes with one of the
    next, once it is a day old. Several runs at a time do not disturb each other.
options:
  cluster:
    description: Name or ARN of the cluster.
    type: str
    required: true
  service:
    description: Name of the service in whose place the task runs. It has to run on Fargate.
    type: str
    required: true
  command:
    description: The command. It must hold no secret, since ECS shows it.
    type: list
    elements: str
    required: true
  image_digest:
    description: The digest of the image, in the repository of the service's own. By default what the service runs.
    type: str
  wait_timeout:
    description: After how many seconds the task is stopped, and counts as failed.
    type: int
    default: 900
  log_lines:
    description: How many of the last lines of its log are returned, without what looks like a secret.
    type: int
    default: 20
  says:
    description: What a line of the log begins with if the task ended well. That line is waited for, and returned.
    type: str
attributes:
  check_mode:
    support: full
    description: Runs nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
notes:
  - The caller needs C(ecs:DescribeServices), C(ecs:DescribeTaskDefinition), C(ecs:ListTaskDefinitions),
    C(ecs:RegisterTaskDefinition), C(ecs:DeregisterTaskDefinition), C(ecs:RunTask), C(ecs:DescribeTasks),
    C(ecs:StopTask), C(iam:PassRole) on the service's two roles to C(ecs-tasks.amazonaws.com), and C(logs:GetLogEvents)
    on its log group.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: community.aws.ecs_task
"""

EXAMPLES = r"""
- name: Bring the database to the schema that the new image expects
  localgov.platform.ecs_one_off_task:
    cluster: localgov
    service: daemon
    image_digest: sha256:e4816f86c8ec443982da9acb3f9d63f06bc06c85ed84dfa062ceb8feeca2dddd
    command: [python, -m, localgov_dagster_instance, migrate]
"""

RETURN = r"""
task:
  description: The task's id.
  returned: when it was run
  type: str
  sample: 0b1c5f5c8e0f4c53a9f6a6f7d6f7e1a2
image:
  description: The image that it ran.
  returned: success
  type: str
  sample: 200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/daemon@sha256:e4816f86c8ec4439
exit_code:
  description: Its exit code.
  returned: when it was run
  type: int
  sample: 0
said:
  description: The line that begins with O(says).
  returned: when it was run, and O(says) is given
  type: str
log:
  description: The last lines of its log.
  returned: when it was run
  type: list
  elements: str
"""

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _ecs_failures as failures
from ansible_collections.localgov.platform.plugins.module_utils import _one_off_tasks as one_off
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import NotYetError, attempt, until
from ansible_collections.localgov.platform.plugins.module_utils._access_tasks import tasks_ended
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "cluster": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "command": {"type": "list", "elements": "str", "required": True},
    "image_digest": {"type": "str"},
    "wait_timeout": {"type": "int", "default": 900},
    "log_lines": {"type": "int", "default": 20},
    "says": {"type": "str"},
}
_STARTED_BY = "one-off-task"
_DELAY = 2  # seconds between two looks
# After it was told to stop, as long as ECS gives a container at most.
_LOOKS_FOR_A_STOP = 60
_LOG_SECONDS = 30
# After that long no run goes on, and what it has registered was left.
_LEFT = timedelta(days=1)


def found_service(ecs: Client, cluster: str, name: str) -> dict[str, Any]:
    """The service as ECS describes it. RefusedError where there is none."""
    with attempt(f"look at the service {name} of the cluster {cluster}", permission="ecs:DescribeServices"):
        answer = ecs.describe_services(aws_retry=True, cluster=cluster, services=[name])
    there = [service for service in answer["services"] if service.get("status") == "ACTIVE"]
    if not there:
        raise RefusedError(f"The cluster {cluster} has no service {name}. Deploy it first, or name another one.")
    found: dict[str, Any] = there[0]
    return found


def registered(ecs: Client, definition: dict[str, Any]) -> str:
    """The ARN of a new definition, of this run alone: another run may be between its own and its task."""
    family = definition["family"]
    with attempt(f"register the task definition {family}", permission="ecs:RegisterTaskDefinition and iam:PassRole"):
        arn = ecs.register_task_definition(aws_retry=True, **definition)["taskDefinition"]["taskDefinitionArn"]
    return str(arn)


def sweep(ecs: Client, family: str) -> None:
    """Deregister what runs that were killed have left in the family, as far as it cannot be of one that goes on."""
    needed = "ecs:ListTaskDefinitions and ecs:DescribeTaskDefinition"
    with attempt(f"look for what was left of the task definition {family}", permission=needed):
        there = ecs.list_task_definitions(aws_retry=True, familyPrefix=family, status="ACTIVE")["taskDefinitionArns"]
        for arn in there:
            found = ecs.describe_task_definition(aws_retry=True, taskDefinition=arn)["taskDefinition"]
            if datetime.now(UTC) - found["registeredAt"] > _LEFT:
                with suppress(ClientError):  # another run may be faster
                    ecs.deregister_task_definition(aws_retry=True, taskDefinition=arn)


def started(ecs: Client, placed: dict[str, Any]) -> str:
    """The ARN of the task. RefusedError where ECS does not take it."""
    with attempt("run the task", permission="ecs:RunTask, and iam:PassRole on the service's roles"):
        answer = ecs.run_task(aws_retry=True, **placed)
    if not answer["tasks"]:
        reasons = ", ".join(str(one.get("reason")) for one in answer.get("failures") or []) or "no reason given"
        raise RefusedError(f"ECS does not run the task in the cluster {placed['cluster']}: {reasons}.")
    return str(answer["tasks"][0]["taskArn"])


def finished(ecs: Client, cluster: str, arn: str, seconds: int) -> dict[str, Any]:
    """The task when it has stopped. RefusedError, and the task stopped, when it has not in that time."""
    where = {"cluster": cluster, "tasks": [arn]}
    over = False
    try:
        over = _over(ecs, where, math.ceil(seconds / _DELAY))
    finally:
        # Also when the run is interrupted: nobody else would stop it.
        if not over:
            with suppress(ClientError, BotoCoreError):  # it may have ended, and what led here is to be said
                ecs.stop_task(aws_retry=True, cluster=cluster, task=arn, reason="It was not done in time")
    if not over:
        stopped = _over(ecs, where, _LOOKS_FOR_A_STOP)
        raise RefusedError(
            f"The task {arn.rpartition('/')[2]} in the cluster {cluster} had not ended after {seconds} seconds, and "
            f"{'was stopped' if stopped else 'could not be stopped: stop it'}. Its log says how far it came; give it "
            "more with wait_timeout."
        )
    with attempt(f"look at the task {arn}", permission="ecs:DescribeTasks on tasks of the cluster"):
        task: dict[str, Any] = ecs.describe_tasks(aws_retry=True, **where)["tasks"][0]
    return task


def _over(ecs: Client, where: dict[str, Any], looks: int) -> bool:
    """Whether the task has ended, after so many looks at the most."""
    with attempt("wait for the end of the task", permission="ecs:DescribeTasks on tasks of the cluster"):
        try:
            tasks_ended(ecs, 1).wait(**where, WaiterConfig={"Delay": _DELAY, "MaxAttempts": max(1, looks)})
        except WaiterError as error:
            if "Error" in error.last_response:
                raise ClientError(error.last_response, "DescribeTasks") from error
            return False
    return True


def log_of(logs: Client, stream: failures.LogStream, number: int, says: str | None) -> list[str]:
    """Its last lines. CloudWatch may show them some seconds after the task has ended."""
    lines: list[str] = []

    def look() -> None:
        lines[:] = _read(logs, stream, number)
        if not lines or (says and not any(line.startswith(says) for line in lines)):
            raise NotYetError

    until(look, _LOG_SECONDS, between=1)
    return lines


def _read(logs: Client, stream: failures.LogStream, number: int) -> list[str]:
    with attempt(f"read the log {stream.name} in {stream.group}", permission="logs:GetLogEvents on its log group"):
        try:
            answer = logs.get_log_events(
                aws_retry=True, logGroupName=stream.group, logStreamName=stream.name, limit=number, startFromHead=False
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":  # the stream is made with its first line
                return []
            raise
    return [failures.without_secrets(event["message"]) for event in answer["events"][-number:]]


def said_by(module: AnsibleAWSModule, container: dict[str, Any], task: str, code: int | None) -> list[str]:
    """The last lines of its log; none where it never ran."""
    given, stream = module.params, failures.log_stream(container, task)
    if stream is None or code is None or not given["log_lines"]:
        return []
    logs = _client(module, "logs", stream.region)
    return log_of(logs, stream, given["log_lines"], given["says"] if code == 0 else None)


def run(module: AnsibleAWSModule, ecs: Client) -> dict[str, Any]:
    """The module's return value. RefusedError where the task did not end well."""
    given = module.params
    service = found_service(ecs, given["cluster"], given["service"])
    name = service["taskDefinition"]
    with attempt(f"look at the task definition {name}", permission="ecs:DescribeTaskDefinition"):
        own = ecs.describe_task_definition(aws_retry=True, taskDefinition=name)["taskDefinition"]
    definition = one_off.once(own, given["command"], given["image_digest"])
    (container,) = definition["containerDefinitions"]
    if module.check_mode:
        return {"changed": True, "image": container["image"]}
    sweep(ecs, definition["family"])
    registered_arn = registered(ecs, definition)
    try:
        placed = one_off.place(service, given["cluster"], registered_arn, _STARTED_BY)
        task = finished(ecs, given["cluster"], started(ecs, placed), given["wait_timeout"])
        identifier = task["taskArn"].rpartition("/")[2]
        code, reason = one_off.ended(task, container["name"])
        log = said_by(module, container, identifier, code)
    finally:
        with suppress(ClientError, BotoCoreError):  # how the task ended is to be said; this goes with a later run
            ecs.deregister_task_definition(aws_retry=True, taskDefinition=registered_arn)
    if code != 0:
        raise RefusedError(one_off.failure(identifier, container["image"], code, reason, log))
    told = {"changed": True, "task": identifier, "image": container["image"], "exit_code": code, "log": log}
    if not given["says"]:
        return told
    said = [line for line in log if line.startswith(given["says"])]
    if not said:
        raise RefusedError(one_off.failure(identifier, container["image"], code, f"no line {given['says']!r}", log))
    return {**told, "said": said[-1]}


def _client(module: AnsibleAWSModule, service: str, region: str | None = None) -> Client:
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    return module.client(service, retry_decorator=retry, **({"region": region} if region else {}))


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(**run(module, _client(module, "ecs")))
    except RefusedError as reason:
        module.fail_json(msg=str(reason))


if __name__ == "__main__":
    main()
