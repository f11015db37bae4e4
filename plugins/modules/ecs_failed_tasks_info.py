#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which tasks of an ECS cluster's services failed, and why."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecs_failed_tasks_info
short_description: Tell which tasks of an Amazon ECS cluster's services failed, and why
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Tells for each service of a cluster the latest tasks that could not start, ended by themselves or never became
    healthy, with their reason, exit codes and the last lines of their logs. A failed deployment is explained by them.
  - Tasks that a deployment or a person stopped are not told, nor are tasks that belong to no service.
  - ECS describes a stopped task for an hour.
  - What looks like a secret in a line of a log (passwords, tokens, keys, logins in addresses) is masked.
notes:
  - The caller needs C(ecs:ListTasks), C(ecs:DescribeTasks), C(ecs:ListServices), C(ecs:DescribeServices) and
    C(ecs:DescribeTaskDefinition), and C(logs:GetLogEvents) on the log groups.
options:
  cluster:
    description: Name or ARN of the cluster.
    type: str
    required: true
  services:
    description: Names of the services. By default all services of the cluster.
    type: list
    elements: str
    default: []
  since:
    description:
      - Tell only what failed from then on, a time such as V(2026-11-21T10:15:31Z), by AWS's clock.
    type: str
  tasks_per_service:
    description: Of how many of a service's failed tasks is told, the latest first.
    type: int
    default: 1
  log_lines:
    description: How many of the last lines of each container's log are told; V(0) for none.
    type: int
    default: 10
extends_documentation_fragment:
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: community.aws.ecs_service_info
"""

EXAMPLES = r"""
- name: Ask why the deployment failed
  localgov.platform.ecs_failed_tasks_info:
    cluster: localgov
  register: failed

- name: Show it
  ansible.builtin.debug:
    msg: "{{ failed.message.splitlines() }}"
"""

RETURN = r"""
failed_tasks:
  description: The failed tasks, the latest first.
  returned: always
  type: list
  elements: dict
  contains:
    service:
      description: The service's name.
      type: str
      sample: frontend
    task:
      description: The task's id.
      type: str
      sample: 0b1c5f5c8e0f4c53a9f6a6f7d6f7e1a2
    task_definition:
      description: Family and revision.
      type: str
      sample: localgov-frontend:7
    stopped_at:
      description: When it was stopped, ISO 8601.
      type: str
      sample: "2026-11-21T10:15:31+00:00"
    stop_code:
      description: ECS's kind of end.
      type: str
      sample: EssentialContainerExited
    reason:
      description: ECS's reason.
      type: str
      sample: Essential container in task exited
    containers:
      description: Its containers.
      type: list
      elements: dict
      contains:
        name:
          description: The container's name.
          type: str
          sample: frontend
        image_digest:
          description: The digest of its image, or the image's name where it has none.
          type: str
          sample: sha256:e4816f86c8ec443982da9acb3f9d63f06bc06c85ed84dfa062ceb8feeca2dddd
        exit_code:
          description: Its exit code, if it ended by itself or was stopped in time.
          type: int
          sample: 3
        reason:
          description: ECS's reason for this container, if it gives one.
          type: str
          sample: "CannotPullContainerError: no such image"
        log:
          description: The last lines of its log.
          type: list
          elements: str
          sample: ["The variable DATA_STORE_LOCATION is missing."]
failures:
  description: How many tasks of each service failed.
  returned: always
  type: dict
  sample: {"frontend": 3}
failed_services:
  description: The services with a failed deployment, which ECS does not keep for long.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The service's name.
      type: str
      sample: frontend
    task_definition:
      description: Family and revision that could not be deployed.
      type: str
      sample: localgov-frontend:7
    reason:
      description: ECS's reason.
      type: str
      sample: "ECS deployment circuit breaker: tasks failed to start."
    events:
      description: Its latest events.
      type: list
      elements: str
      sample: ["(service frontend) deployment failed: tasks failed to start."]
message:
  description: All of it for a person to read; empty when nothing failed.
  returned: always
  type: str
  sample: "Service frontend failed 3 times, the last time with task 0b1c5f5c of localgov-frontend:7: ..."
"""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _ecs_failures as failures
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import pages
from ansible_collections.localgov.platform.plugins.module_utils._ecs_services import described

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "cluster": {"type": "str", "required": True},
    "services": {"type": "list", "elements": "str", "default": []},
    "since": {"type": "str"},
    "tasks_per_service": {"type": "int", "default": 1},
    "log_lines": {"type": "int", "default": 10},
}
_TASKS_AT_ONCE = 100  # as many as ECS describes in one call


def parsed(since: str | None) -> datetime | None:
    """The time, in UTC where it does not say otherwise. ValueError if it is none."""
    if not since:
        return None
    moment = datetime.fromisoformat(since)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def stopped_tasks(ecs: Client, cluster: str) -> list[dict[str, Any]]:
    arns = list(pages(ecs.list_tasks, "taskArns", cluster=cluster, desiredStatus="STOPPED"))
    return [
        task
        for first in range(0, len(arns), _TASKS_AT_ONCE)
        for task in ecs.describe_tasks(aws_retry=True, cluster=cluster, tasks=arns[first : first + _TASKS_AT_ONCE])[
            "tasks"
        ]
    ]


def services(ecs: Client, cluster: str, names: list[str]) -> list[dict[str, Any]]:
    return described(ecs, cluster, names or list(pages(ecs.list_services, "serviceArns", cluster=cluster)))


def last_lines(module: AnsibleAWSModule, ecs: Client, task: dict[str, Any], number: int) -> dict[str, list[str]]:
    """The last lines of each container's log, without secrets. A log that is not there has none."""
    found: dict[str, list[str]] = {}
    if not number:
        return found
    definition = ecs.describe_task_definition(aws_retry=True, taskDefinition=task["taskDefinitionArn"])
    for container in definition["taskDefinition"]["containerDefinitions"]:
        stream = failures.log_stream(container, task["taskArn"].rsplit("/", 1)[-1])
        if stream is not None:
            found[container["name"]] = _tail(_client(module, "logs", stream.region), stream, number)
    return found


def told(module: AnsibleAWSModule, ecs: Client, since: datetime | None) -> dict[str, Any]:
    """The module's return value."""
    given = module.params
    cluster, names = given["cluster"], given["services"]
    failed = failures.failed_tasks(stopped_tasks(ecs, cluster), names, since)
    tasks = [
        failures.told(task, last_lines(module, ecs, task, given["log_lines"]))
        for task in failures.latest(failed, given["tasks_per_service"])
    ]
    counts = dict(Counter(map(failures.service_of, failed)))
    deployments = failures.failed_services(services(ecs, cluster, names))
    return {
        "failed_tasks": tasks,
        "failures": counts,
        "failed_services": deployments,
        "message": failures.message(tasks, counts, deployments),
    }


def _tail(logs: Client, stream: failures.LogStream, number: int) -> list[str]:
    try:
        answer = logs.get_log_events(
            aws_retry=True, logGroupName=stream.group, logStreamName=stream.name, limit=number, startFromHead=False
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    return [failures.without_secrets(event["message"]) for event in answer["events"][-number:]]


def _client(module: AnsibleAWSModule, service: str, region: str | None = None) -> Client:
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    return module.client(service, retry_decorator=retry, **({"region": region} if region else {}))


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    cluster = module.params["cluster"]
    try:
        since = parsed(module.params["since"])
    except ValueError as reason:
        module.fail_json(msg=f"since is no time such as 2026-11-21T10:15:31Z: {reason}")
    nothing = {"failed_tasks": [], "failures": {}, "failed_services": [], "message": ""}
    try:
        found = told(module, _client(module, "ecs"), since)
    except (ClientError, BotoCoreError) as reason:
        if getattr(reason, "response", {}).get("Error", {}).get("Code") == "ClusterNotFoundException":
            module.exit_json(changed=False, **nothing)
        module.fail_json_aws(reason, msg=f"Cannot read why tasks of the cluster {cluster} failed")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
