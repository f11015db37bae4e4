#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module `cross_account_access_info`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cross_account_access_info
version_added: 0.1.0
author: localgov.platform contributors (!UNKNOWN)
short_description: Try what roles of an account may do with buckets and image repositories
description:
  - Tries actions on S3 buckets and ECR repositories, of any account, with the real sessions of roles of this account,
    and tells which AWS let in, which it refused and in which words.
  - It does not look at policies. What it reports is what AWS did.
  - What is read is a probe, an object that M(localgov.platform.access_probe) puts there before. What is written is
    another one beside it, and what is deleted is an object that is not there, with a name beside it. Both, and the
    delete marker, are removed with the probes by the owner of the bucket.
  - A pull asks for an image that does not exist, and a push sends a manifest that is none. Of these nothing is left.
options:
  principals:
    description: Who tries what.
    type: list
    elements: dict
    required: true
    suboptions:
      role:
        description:
          - The name of a role of this account, with its path if it has one.
          - Without it the trials are made with the session of the task itself.
          - With O(task) they are made in an ECS task that has this role; without O(task) the role is assumed.
        type: str
      trials:
        description:
          - What is tried. Keys besides these are handed back as they are.
          - C(resource) is the ARN of a bucket or a repository.
          - C(action) is V(list), V(list_versions), V(get), V(get_version), V(put), V(delete), V(delete_version) or
            V(list_without_tls) for a bucket; V(pull) or V(push) for a repository.
          - C(prefix) is the folder of the bucket that is listed, read or written. Without it, the whole bucket is
            listed, and what is read or written lies at its top.
          - C(version) is the version of the probe that V(get_version) reads, as M(localgov.platform.access_probe)
            returns it. Without it, the one that is there without versioning.
          - C(rights) is V(own) (the default) or V(borrowed). Before its trials with borrowed rights, a session waits up
            to a minute until it may list the account's buckets, which the policy of
            M(localgov.platform.access_probe) allows it. It lists no more than the folder of probes with them.
          - C(expected), if there, is V(allowed) or V(refused); see RV(surprises).
        type: list
        elements: dict
        required: true
  task:
    description: How sessions of roles are had that only ECS may assume. On Fargate, one task for each role or a few.
    type: dict
    suboptions:
      cluster:
        description: The cluster's name.
        type: str
        required: true
      task_definition:
        description:
          - A task definition whose image has Python and botocore, without an entry point of its own in the way. Its
            first essential container must write its log to CloudWatch with a stream prefix.
          - The tasks run with its image and execution role, but with the role that is tried, and with another command.
        type: str
        required: true
      subnets:
        description: Subnets with a way to S3, ECR and CloudWatch Logs.
        type: list
        elements: str
        required: true
      security_groups:
        description: Security groups that let the task out there.
        type: list
        elements: str
        required: true
      assign_public_ip:
        description: Whether the tasks get public addresses. Needed in a public subnet.
        type: bool
        default: false
      at_once:
        description: How many tasks run at the same time.
        type: int
        default: 10
  plain_http_endpoint_url:
    description:
      - Where S3 is reached without TLS, for V(list_without_tls). By default AWS's own endpoint of the region.
      - From within an ECS task there is mostly no way to port 80. Let the task's own session try it.
    type: str
  timeout:
    description: How many seconds tasks that run at the same time have. The rest is stopped then.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Tries the same in check mode, and leaves the same among the probes.
  diff_mode:
    support: N/A
    description: Changes nothing but what lies among the probes.
requirements:
  - python >= 3.11
seealso:
  - module: localgov.platform.access_probe
  - module: localgov.platform.cross_account_trust
notes:
  - A trial is V(failed) when neither was to be learned - because the probe is not there, an endpoint does not answer, a
    task could not start, or only some of the calls that a pull needs are let in.
  - A refusal under borrowed rights is V(failed) where AWS ascribes it to anything but a resource's policy - to the
    caller's own policies, a permissions boundary, the session, the endpoint of a VPC or the organisation - because it
    tells nothing of the other account's policy then. AWS says so within an organisation.
  - A role's own rights show only while nothing is borrowed that allows the same.
  - Permissions that the task's identity needs with O(task) - C(ecs:DescribeTaskDefinition), C(ecs:RunTask),
    C(ecs:TagResource), C(ecs:DescribeTasks), C(ecs:StopTask), C(iam:PassRole) for the roles and the execution role, and
    C(logs:GetLogEvents). Without O(task), C(sts:AssumeRole) for the roles, which must trust it.
  - RunTask takes no more than 8,192 characters of changes to a task definition. Where a role's trials do not fit, it
    gets several tasks.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Try what the pipeline's role may do with another authority's share
  localgov.platform.cross_account_access_info:
    principals:
      - role: localgov-run-task
        trials:
          - resource: arn:aws:s3:::localgov-012345670123-shared
            action: get
            prefix: ssda903
            expected: allowed
          - resource: arn:aws:s3:::localgov-012345670123-shared
            action: put
            prefix: ssda903
            rights: borrowed
            expected: refused
    task:
      cluster: localgov
      task_definition: localgov-code-server
      subnets: [subnet-0a1b2c3d4e5f60718]
      security_groups: [sg-0a1b2c3d4e5f60718]
  register: access

- name: Say what is not as expected
  ansible.builtin.assert:
    that: access.surprises | length == 0
    fail_msg: "{{ access.surprises }}"

- name: Try with this task's own session that nothing is listed without TLS
  localgov.platform.cross_account_access_info:
    principals:
      - trials:
          - resource: arn:aws:s3:::localgov-012345670123-shared
            action: list_without_tls
"""

RETURN = r"""
trials:
  description: All trials in their order, each with what it was given and what came of it.
  returned: always
  type: list
  elements: dict
  contains:
    outcome:
      description: V(allowed), V(refused), or V(failed) when neither was to be learned.
      type: str
      sample: refused
    reason:
      description: AWS's own words, shortened.
      type: str
      sample: "AccessDenied: Access Denied"
    caller:
      description: ARN of the session that tried it; null when there was none.
      type: str
      sample: arn:aws:sts::200000000001:assumed-role/localgov-run-task/0a1b2c3d4e5f60718293a4b5c6d7e8f9
summary:
  description: How many trials had which outcome.
  returned: always
  type: dict
  sample: {"allowed": 1, "failed": 0, "refused": 2}
surprises:
  description: The trials whose outcome is not the one that they expected.
  returned: when a trial says what it expects
  type: list
  elements: dict
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _access_tasks as tasks
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import Identity, attempt
from ansible_collections.localgov.platform.plugins.module_utils._access_probe import FAILED, Prober, Result, Trial
from ansible_collections.localgov.platform.plugins.module_utils._access_program import Program, programs
from ansible_collections.localgov.platform.plugins.module_utils._access_trials import check, report
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError


class Principal(NamedTuple):
    """A role, or nobody but the task itself, with its trials and their numbers in the result."""

    role: str | None
    trials: list[tuple[int, Trial]]


class Answer(NamedTuple):
    """A result, and whose it is."""

    result: Result
    caller: str | None


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=_argument_spec(), supports_check_mode=True)
    try:
        trials = [trial for principal in module.params["principals"] for trial in principal["trials"]]
        for trial in trials:
            check(trial)
        if (module.params["task"] or {}).get("at_once", 1) < 1:
            raise RefusedError("task.at_once is how many tasks run at the same time: give 1 or more.")
        answers = {answer.result.number: answer for answer in _answers(module, _principals(module))}
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    module.exit_json(
        changed=False,
        **report(
            {
                **trial,
                "outcome": answers[number].result.outcome,
                "reason": answers[number].result.reason,
                "caller": answers[number].caller,
            }
            for number, trial in enumerate(trials)
        ),
    )


def _argument_spec() -> dict[str, dict[str, Any]]:
    return {
        "principals": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "role": {"type": "str"},
                "trials": {"type": "list", "elements": "dict", "required": True},
            },
        },
        "task": {
            "type": "dict",
            "options": {
                "cluster": {"type": "str", "required": True},
                "task_definition": {"type": "str", "required": True},
                "subnets": {"type": "list", "elements": "str", "required": True},
                "security_groups": {"type": "list", "elements": "str", "required": True},
                "assign_public_ip": {"type": "bool", "default": False},
                "at_once": {"type": "int", "default": 10},
            },
        },
        "plain_http_endpoint_url": {"type": "str"},
        "timeout": {"type": "int", "default": 300},
    }


def _principals(module: AnsibleAWSModule) -> list[Principal]:
    numbers = iter(range(sum(len(principal["trials"]) for principal in module.params["principals"])))
    return [
        Principal(principal["role"], [(next(numbers), trial) for trial in principal["trials"]])
        for principal in module.params["principals"]
    ]


def _answers(module: AnsibleAWSModule, principals: list[Principal]) -> Iterator[Answer]:
    identity = _identity(module)
    in_tasks = [principal for principal in principals if principal.role and module.params["task"]]
    for principal in principals:
        if principal not in in_tasks:
            yield from _in_session(module, identity, principal)
    if in_tasks:
        yield from _in_tasks(module, identity, in_tasks)


def _in_tasks(module: AnsibleAWSModule, identity: Identity, principals: list[Principal]) -> Iterator[Answer]:
    """The trials of principals whose sessions only ECS can have, so many tasks at once as are asked for."""
    ecs = _client(module, "ecs")
    ground = tasks.ground_of(ecs, identity, module.params["task"])
    logs = _client(module, "logs", region=ground.log_region)
    found = _programs(module, ground, principals)
    at_once = module.params["task"]["at_once"]
    for first in range(0, len(found), at_once):
        started = tasks.start(ecs, ground, found[first : first + at_once])
        deadline = time.monotonic() + module.params["timeout"]
        for task, result in tasks.finish(ecs, logs, ground, started, deadline):
            yield Answer(result, task.caller(identity) if task.arn else None)


def _programs(module: AnsibleAWSModule, ground: tasks.Ground, principals: list[Principal]) -> list[Program]:
    container = tasks.container_of(ground, module.params["plain_http_endpoint_url"])
    return [
        program
        for principal in principals
        if principal.trials
        for program in programs(ground.identity.role_arn(str(principal.role)), container, principal.trials)
    ]


def _in_session(module: AnsibleAWSModule, identity: Identity, principal: Principal) -> Iterator[Answer]:
    """The trials of a principal in this process."""
    caller = identity.arn
    credentials: dict[str, str] = {}
    if principal.role:
        try:
            caller, credentials = _assumed(module, identity, principal.role)
        except RefusedError as refused:
            for number, _trial in principal.trials:
                yield Answer(Result(number, FAILED, str(refused)), None)
            return
    prober = Prober(partial(_connect, module, credentials), module.params["plain_http_endpoint_url"])
    for result in prober.results(principal.trials):
        yield Answer(result, caller)


def _connect(module: AnsibleAWSModule, credentials: dict[str, str], service: str, **more: Any) -> Any:  # noqa: ANN401 - boto3's
    """A client, asked for as botocore's session is, without retries besides its own."""
    names = {"region_name": "region", "endpoint_url": "endpoint"}
    return module.client(service, **credentials, **{names.get(name, name): value for name, value in more.items()})


def _assumed(module: AnsibleAWSModule, identity: Identity, role: str) -> tuple[str, dict[str, str]]:
    """The session's ARN and credentials. A role that was made just now may take some seconds to be known."""
    arn = identity.role_arn(role)
    retry = AWSRetry.exponential_backoff(retries=5, delay=1, max_delay=8, catch_extra_error_codes=["AccessDenied"])
    sts = module.client("sts", retry_decorator=retry)
    needed = f"sts:AssumeRole on {arn}, and the role has to trust it"
    with attempt(f"assume the role {role}", identity.account, needed):
        assumed = sts.assume_role(aws_retry=True, RoleArn=arn, RoleSessionName="access-probe", DurationSeconds=900)
    given = assumed["Credentials"]
    return assumed["AssumedRoleUser"]["Arn"], {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def _identity(module: AnsibleAWSModule) -> Identity:
    with attempt("find out whose session this task has"):
        found = _client(module, "sts").get_caller_identity(aws_retry=True)
    return Identity(found["Arn"], found["Account"], found["Arn"].split(":")[1], module.region or "")


def _client(module: AnsibleAWSModule, service: str, region: str | None = None) -> Any:  # noqa: ANN401 - boto3's
    where = {"region": region} if region else {}
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=20, catch_extra_error_codes=["ThrottlingException"])
    return module.client(service, retry_decorator=retry, **where)


if __name__ == "__main__":
    main()
