#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch an ECS service on for a stated time, after which AWS itself switches it off."""

from __future__ import annotations

DOCUMENTATION = r"""
module: service_session
short_description: Switch an ECS service on for a stated time, after which AWS switches it off
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Sets the desired count of a service to one, and back to zero when the time is over. A one-time schedule of
    EventBridge Scheduler sees to the end; it is there before the service is switched on, so nothing is left on if the
    machine that runs this dies at any moment.
  - The time is counted by AWS's clock in UTC; neither clock nor time zone of the machine that runs this matter.
options:
  state:
    description:
      - With V(open) the service is on for at least O(lasts) from now. A session that is open already is made longer,
        never shorter.
      - With V(closed) the service is off, and no schedule of a session is left.
    type: str
    choices: [open, closed]
    default: open
  cluster:
    description:
      - The name of the cluster.
    type: str
    required: true
  service:
    description:
      - The name of the service, which is also the name of its container.
    type: str
    required: true
  lasts:
    description:
      - How long the service is on, as in V(2h), V(90m) or V(1h30m); 30 seconds at least. Needed with O(state=open).
    type: str
  longest:
    description:
      - The most that O(lasts) may be.
    type: str
    default: 12h
  group:
    description:
      - The group of schedules, which must be there.
    type: str
    required: true
  role_arn:
    description:
      - The role by which the schedule switches the service off. Needed with O(state=open).
    type: str
  dead_letter_queue_arn:
    description:
      - The queue to which goes what the schedule could not do. Needed with O(state=open).
    type: str
  wait_timeout:
    description:
      - The seconds that a task of the service has to become healthy.
    type: int
    default: 600
attributes:
  check_mode:
    support: full
    description: Predicts what would be changed, and until when the service would be on.
  diff_mode:
    support: full
    description: Shows the desired count and the schedules before and after.
requirements:
  - python >= 3.11
notes:
  - Permissions that the task's identity needs - C(ecs:DescribeServices), C(ecs:UpdateService), C(ecs:ListTasks) and
    C(ecs:DescribeTasks) on the service and its tasks; C(scheduler:ListSchedules); C(scheduler:GetSchedule),
    C(scheduler:CreateSchedule) and C(scheduler:DeleteSchedule) in the group; C(iam:PassRole) on O(role_arn).
  - EventBridge Scheduler is exact to the minute.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Switch the web interface on for two hours
  localgov.platform.service_session:
    cluster: localgov
    service: dagit
    lasts: 2h
    group: localgov
    role_arn: arn:aws:iam::012345670123:role/localgov-switch-off
    dead_letter_queue_arn: arn:aws:sqs:eu-west-2:012345670123:localgov-hours
  register: session

- name: Say until when
  ansible.builtin.debug:
    msg: "The web interface is on until {{ session.off_at }}."

- name: Switch it off
  localgov.platform.service_session:
    state: closed
    cluster: localgov
    service: dagit
    group: localgov
"""

RETURN = r"""
off_at:
  description: Until when the service is on, in UTC.
  returned: with O(state=open)
  type: str
  sample: "2026-11-26T17:30:00Z"
task:
  description: The healthy task of the service.
  returned: with O(state=open), not in check mode
  type: dict
  contains:
    arn:
      description: Its ARN.
      type: str
    address:
      description: Its private address.
      type: str
      sample: 10.0.18.7
    session_manager_target:
      description: What C(aws ssm start-session --target) takes for it.
      type: str
      sample: ecs:localgov_9f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f_9f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f-1234567890
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _service_session as session
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import Again, NotYetError, attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["open", "closed"], "default": "open"},
    "cluster": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "lasts": {"type": "str"},
    "longest": {"type": "str", "default": "12h"},
    "group": {"type": "str", "required": True},
    "role_arn": {"type": "str"},
    "dead_letter_queue_arn": {"type": "str"},
    "wait_timeout": {"type": "int", "default": 600},
}
_SECONDS_BETWEEN = 3


@dataclass(frozen=True)
class Account:
    """What the session's service and schedules are in."""

    ecs: Client
    scheduler: Client
    service: session.Service
    group: str

    def desired_count(self) -> int:
        """Of the service, which must be there."""
        name, cluster = self.service.name, self.service.cluster
        with attempt(f"look at the service {name} of the cluster {cluster}", permission="ecs:DescribeServices"):
            found = self.ecs.describe_services(aws_retry=True, cluster=cluster, services=[name])["services"]
        active = [service for service in found if service["status"] == "ACTIVE"]
        if not active:
            raise RefusedError(
                f"The cluster {cluster} of this account has no service {name}. Deploy it first: playbooks/site.yml."
            )
        return int(active[0]["desiredCount"])

    def set_desired_count(self, count: int) -> None:
        name = self.service.name
        with attempt(f"set the desired count of {name} to {count}", permission="ecs:UpdateService"):
            self.ecs.update_service(aws_retry=True, cluster=self.service.cluster, service=name, desiredCount=count)

    def schedules(self) -> tuple[list[dict[str, Any]], datetime]:
        """The schedules of the service's sessions, and the time by AWS's clock."""
        found: list[dict[str, Any]] = []
        asked = {"GroupName": self.group, "NamePrefix": self.service.schedules}
        needed = f"scheduler:ListSchedules, and scheduler:GetSchedule in the group {self.group}"
        with attempt(f"look at the schedules of {self.service.name}", permission=needed):
            answer = self.scheduler.list_schedules(aws_retry=True, **asked)
            now = _clock(answer)
            names = [entry["Name"] for entry in answer["Schedules"]]
            while answer.get("NextToken"):
                answer = self.scheduler.list_schedules(aws_retry=True, **asked, NextToken=answer["NextToken"])
                names += [entry["Name"] for entry in answer["Schedules"]]
            for name in names:
                with suppress(self.scheduler.exceptions.ResourceNotFoundException):  # carried out meanwhile
                    found.append(self.scheduler.get_schedule(aws_retry=True, Name=name, GroupName=self.group))
        return found, now

    def make(self, schedule: dict[str, Any]) -> None:
        """Two that ask in the same second ask for the same schedule."""
        needed = f"scheduler:CreateSchedule in the group {self.group}, and iam:PassRole on the schedule's role"
        with attempt(f"make a schedule that switches {self.service.name} off", permission=needed):
            try:
                self.scheduler.create_schedule(aws_retry=True, **schedule)
            except self.scheduler.exceptions.ConflictException:
                pass
            except self.scheduler.exceptions.ResourceNotFoundException:
                raise RefusedError(
                    f"There is no group of schedules {self.group} in this account, so nothing was switched on. "
                    "Deploy it first: playbooks/site.yml."
                ) from None

    def remove(self, names: list[str]) -> None:
        needed = f"scheduler:DeleteSchedule in the group {self.group}"
        with attempt(f"delete a schedule of {self.service.name}", permission=needed):
            for name in names:
                with suppress(self.scheduler.exceptions.ResourceNotFoundException):  # carried out meanwhile
                    self.scheduler.delete_schedule(aws_retry=True, Name=name, GroupName=self.group)

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        cluster = self.service.cluster
        with attempt(f"look at the tasks of {self.service.name}", permission="ecs:ListTasks and ecs:DescribeTasks"):
            arns = self.ecs.list_tasks(
                aws_retry=True, cluster=cluster, serviceName=self.service.name, desiredStatus=status
            )["taskArns"]
            if not arns:
                return []
            found: list[dict[str, Any]] = self.ecs.describe_tasks(aws_retry=True, cluster=cluster, tasks=arns)["tasks"]
            return found


def _clock(answer: dict[str, Any]) -> datetime:
    """When AWS answered, by its own clock."""
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(said).astimezone(UTC) if said else datetime.now(UTC)


def opened(account: Account, switch: session.Switch, asked: timedelta, *, check: bool) -> dict[str, Any]:
    """First what ends the session, then what would end it too early, and only then the session itself."""
    count = account.desired_count()
    existing, now = account.schedules()
    plan = session.plan(existing, asked, now)
    made = session.schedule(account.service, switch, plan.off_at)
    if not check:
        if plan.make:
            account.make(made)
        account.remove(plan.remove)
        if count < 1:
            account.set_desired_count(1)
    names = [schedule["Name"] for schedule in existing]
    after = sorted({*names, *([made["Name"]] if plan.make else [])} - set(plan.remove))
    return {"off_at": session.stamp(plan.off_at), **_changes(count, names, max(count, 1), after)}


def closed(account: Account, *, check: bool) -> dict[str, Any]:
    """The schedules go last: until then they would do it."""
    count = account.desired_count()
    names = [schedule["Name"] for schedule in account.schedules()[0]]
    if not check:
        if count > 0:
            account.set_desired_count(0)
        account.remove(names)
    return _changes(count, names, 0, [])


def _changes(count: int, names: list[str], count_after: int, names_after: list[str]) -> dict[str, Any]:
    before = {"desired_count": count, "schedules": sorted(names)}
    after = {"desired_count": count_after, "schedules": names_after}
    return {"changed": before != after, "diff": {"before": before, "after": after}}


def ready(account: Account, seconds: int, off_at: str) -> dict[str, Any]:
    """A task that can be reached, once there is one."""

    again = Again.exponential_backoff(
        retries=max(1, seconds // _SECONDS_BETWEEN),
        delay=_SECONDS_BETWEEN,
        backoff=1,
        catch_extra_error_codes=[NotYetError.__name__],
    )

    def found() -> dict[str, Any]:
        for task in account.tasks():
            if session.is_ready(task):
                return task
        raise NotYetError

    try:
        return session.way_in(again(found)(), account.service)
    except NotYetError:
        raise RefusedError(_not_ready(account, seconds, off_at)) from None


def _not_ready(account: Account, seconds: int, off_at: str) -> str:
    reasons = [task.get("stoppedReason", "") for task in account.tasks("STOPPED")]
    states = [f"{task['lastStatus']}, {task.get('healthStatus')}" for task in account.tasks()]
    why = "; ".join([*filter(None, reasons[:1]), *states]) or "no task was started"
    return (
        f"{account.service.name} is switched on, but no task of it is healthy after {seconds} seconds: {why}. Its log "
        f"says more. It is switched off by itself at {off_at}, or now with state=closed."
    )


def _run(module: AnsibleAWSModule) -> dict[str, Any]:
    given, check = module.params, module.check_mode
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    service = session.Service(given["cluster"], given["service"])
    account = Account(
        module.client("ecs", retry_decorator=retry),
        module.client("scheduler", retry_decorator=retry),
        service,
        given["group"],
    )
    if given["state"] == "closed":
        return closed(account, check=check)
    asked = session.length(given["lasts"], session.length(given["longest"], timedelta.max))
    switch = session.Switch(given["group"], given["role_arn"], given["dead_letter_queue_arn"])
    found = opened(account, switch, asked, check=check)
    return found if check else {**found, "task": ready(account, given["wait_timeout"], found["off_at"])}


def main() -> None:
    """Run the module."""
    needed = ["lasts", "role_arn", "dead_letter_queue_arn"]
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_if=[("state", "open", needed)]
    )
    try:
        module.exit_json(**_run(module))
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    except ClientError as error:
        module.fail_json_aws(error, msg=f"Cannot switch {module.params['service']}")


if __name__ == "__main__":
    main()
