#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
"""End what a staging workflow has under way, before it is removed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: efs_staging_stop
short_description: End what a staging workflow has under way
version_added: 0.1.0
author:
  - localgov.platform contributors
description:
  - Ends the executions of a state machine that still run, then the tasks of its cluster, and waits until those have
    stopped. ECS does not remove a cluster that has tasks.
  - The role C(add_users_stepfn) does so before it removes a workflow that the role has kept.
  - A state machine or a cluster that is not there has nothing under way.
options:
  state_machine:
    description:
      - The ARN of the workflow's state machine.
    type: str
    required: true
  cluster:
    description:
      - The cluster of the workflow's tasks, which has no others.
    type: str
    required: true
  timeout:
    description:
      - How many seconds to wait for tasks to stop.
    type: int
    default: 300
notes:
  - The caller needs C(states:ListExecutions) of the state machine, C(states:StopExecution) of its executions,
    C(ecs:ListTasks), C(ecs:DescribeTasks) and C(ecs:StopTask) in the cluster.
extends_documentation_fragment:
  - localgov.platform.prediction
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
seealso:
  - module: localgov.platform.efs_staging_info
"""

EXAMPLES = r"""
- name: End what is under way
  localgov.platform.efs_staging_stop:
    state_machine: arn:aws:states:eu-west-2:012345670123:stateMachine:localgov-add-users
    cluster: localgov-add-users
"""

RETURN = r"""
executions:
  description: The ARNs of the executions that were ended, or in check mode would be.
  returned: always
  type: list
  elements: str
tasks:
  description: The ARNs of the tasks that were stopped, or in check mode would be.
  returned: always
  type: list
  elements: str
"""

from contextlib import suppress
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

_POLL = 2  # seconds
_REASON = "The workflow that it belongs to is being removed"


def running(client: Any, state_machine: str) -> list[str]:  # noqa: ANN401 - a boto3 client
    pages = client.get_paginator("list_executions").paginate(stateMachineArn=state_machine, statusFilter="RUNNING")
    try:
        return [execution["executionArn"] for page in pages for execution in page["executions"]]
    except client.exceptions.StateMachineDoesNotExist:
        return []


def under_way(client: Any, cluster: str) -> list[str]:  # noqa: ANN401
    """The tasks that have not stopped, also those that were already told to."""
    found: list[str] = []
    try:
        for status in ("RUNNING", "STOPPED"):
            for page in client.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus=status):
                if page["taskArns"]:
                    tasks = client.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]
                    found += [task["taskArn"] for task in tasks if task["lastStatus"] != "STOPPED"]
    except client.exceptions.ClusterNotFoundException:
        return []
    return found


def stop_tasks(client: Any, cluster: str, timeout: int) -> list[str]:  # noqa: ANN401
    """Also such as an execution has started while it was ended."""
    stopped: list[str] = []
    while tasks := under_way(client, cluster):
        for task in tasks:
            client.stop_task(cluster=cluster, task=task, reason=_REASON)
        attempts = {"Delay": _POLL, "MaxAttempts": max(1, timeout // _POLL)}
        client.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=tasks, WaiterConfig=attempts)
        stopped += tasks
    return stopped


def stop(module: AnsibleAWSModule) -> dict[str, list[str]]:
    given, states, ecs = module.params, module.client("stepfunctions"), module.client("ecs")
    executions = running(states, given["state_machine"])
    if module.check_mode:
        return {"executions": executions, "tasks": under_way(ecs, given["cluster"])}
    for execution in executions:
        with suppress(states.exceptions.ExecutionDoesNotExist):  # it has ended meanwhile, with its state machine
            states.stop_execution(executionArn=execution, error="Removed", cause=_REASON)
    return {"executions": executions, "tasks": stop_tasks(ecs, given["cluster"], given["timeout"])}


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "state_machine": {"type": "str", "required": True},
            "cluster": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    cluster, timeout = module.params["cluster"], module.params["timeout"]
    try:
        stopped = stop(module)
    except WaiterError:
        module.fail_json(
            msg=(
                f"A task of the cluster {cluster} still runs {timeout} seconds after it was told to stop, and a "
                "cluster with tasks cannot be removed. Look at it in ECS, and run this again when it has stopped."
            )
        )
    except (ClientError, BotoCoreError) as reason:
        module.fail_json_aws(reason, msg=f"Cannot end what {module.params['state_machine']} has under way")
    module.exit_json(changed=any(stopped.values()), **stopped)


if __name__ == "__main__":
    main()
