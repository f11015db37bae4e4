#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what of the platform is deployed in an account, and how it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: account_state_info
short_description: Tell what of the platform is deployed in an account, and how it is
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Reads the account's stacks, its services with the digests that they run, its alarms that have gone off, whether its
    shared bucket is open, and what became of the latest submissions.
  - What cannot be read keeps nothing else from being told.
  - Nothing of a file is read. Of a submission it tells the dataset, the year and counts, and neither its name nor whose
    it is.
options:
  prefix:
    description:
      - The platform's name prefix; the cluster is called after it.
    type: str
    required: true
  data_store:
    description:
      - The bucket with the reports of submissions. Without it none are told.
    type: str
  shared_bucket:
    description:
      - The bucket that the authority shares from. Without it nothing is told of a share.
    type: str
  runs:
    description:
      - Of how many submissions is told, the latest first.
    type: int
    default: 5
notes:
  - Permissions that the task's identity needs - C(cloudformation:DescribeStacks), C(ecs:ListServices),
    C(ecs:DescribeServices), C(ecs:ListTaskDefinitionFamilies), C(ecs:DescribeTaskDefinition),
    C(cloudwatch:DescribeAlarms), on the shared bucket C(s3:GetBucketPolicy) and C(s3:GetBucketTagging), on the data
    store C(s3:ListBucket), and C(s3:GetObject) on C(results/*/report.json) in it.
extends_documentation_fragment:
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look at the account
  localgov.platform.account_state_info:
    prefix: localgov
    data_store: localgov-012345670123-data-store
    shared_bucket: localgov-012345670123-shared
  register: found

- name: Say which services run fewer tasks than they should
  ansible.builtin.debug:
    msg: "{{ item.name }}"
  loop: "{{ found.state.services }}"
  when: item.running < item.desired
"""

RETURN = r"""
state:
  description: What there is.
  returned: success
  type: dict
  contains:
    stacks:
      description: The stacks of the platform, each with C(name), C(status), C(updated) and C(drift).
      type: list
      elements: dict
    services:
      description: >-
        The services of the cluster, each with C(name), C(desired), C(running), C(rollout), C(task_definition) and
        C(images), which is container to digest.
      type: list
      elements: dict
    tasks:
      description: What is run and is no service, each with C(name), C(task_definition) and C(images).
      type: list
      elements: dict
    alarms:
      description: The alarms that have gone off, each with C(name), C(since) and C(description).
      type: list
      elements: dict
    share:
      description: >-
        Whether a policy lets the organisation in (C(open)), what the authority has decided itself (C(decided), with
        C(since)); empty without a bucket.
      type: dict
    runs:
      description: The latest submissions, each with C(dataset), C(year), C(state), C(finished_at) and C(errors).
      type: list
      elements: dict
    unread:
      description: >-
        What could not be read, each with its C(part), V(stacks), V(services), V(tasks), V(alarms), V(share),
        V(decision) or V(runs), and the C(reason).
      type: list
      elements: dict
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt, code_of, pages
from ansible_collections.localgov.platform.plugins.module_utils._ecs_services import described
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "prefix": {"type": "str", "required": True},
    "data_store": {"type": "str"},
    "shared_bucket": {"type": "str"},
    "runs": {"type": "int", "default": 5},
}
_REPORT = re.compile(r"results/(?P<dataset>[^/]+)/(?P<year>[^/]+)/[^/]+/report\.json")
# The Sids by which cross_account_trust lets the organisation's pipeline in; files/frontend has the same.
_SHARED_BY = frozenset({"OrganisationPipelineList", "OrganisationPipelineRead", "OrganisationCodeServerList"})
_NOTHING_THERE = ("NoSuchBucket", "NoSuchBucketPolicy", "NoSuchTagSet", "ClusterNotFoundException")


class Account:
    """The clients of one account, each made when it is first needed, and what could not be read so far."""

    def __init__(self, client: Callable[[str], Client], prefix: str) -> None:
        self._client, self.prefix = client, prefix
        self._clients: dict[str, Client] = {}
        self.unread: list[dict[str, str]] = []

    def client(self, service: str) -> Client:
        if service not in self._clients:
            self._clients[service] = self._client(service)
        return self._clients[service]

    def read(self, part: str, permission: str, look: Callable[[], Any], nothing: Any) -> Any:  # noqa: ANN401
        """What *look* finds, *nothing* where there is nothing; `None` where it may not look, which is noted."""
        try:
            with attempt(f"read the {part}", permission=permission):
                try:
                    return look()
                except ClientError as error:
                    if code_of(error) in _NOTHING_THERE:
                        return nothing
                    raise
        except RefusedError as refused:
            self.unread.append({"part": part, "reason": str(refused)})
            return None


def stamp(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def stacks(account: Account) -> list[dict[str, str]]:
    found = pages(account.client("cloudformation").describe_stacks, "Stacks")
    return [
        {
            "name": one["StackName"],
            "status": one["StackStatus"],
            "updated": stamp(one.get("LastUpdatedTime") or one["CreationTime"]),
            "drift": one.get("DriftInformation", {}).get("StackDriftStatus", "NOT_CHECKED"),
        }
        for one in sorted(found, key=lambda stack: stack["StackName"])
        if one["StackName"].startswith(f"{account.prefix}-")
    ]


def services(account: Account) -> list[dict[str, Any]]:
    ecs = account.client("ecs")
    arns = list(pages(ecs.list_services, "serviceArns", cluster=account.prefix))
    return [
        {
            "name": service["serviceName"],
            "desired": service["desiredCount"],
            "running": service["runningCount"],
            "rollout": _rollout(service),
            **_runs(ecs, service["taskDefinition"]),
        }
        for service in sorted(described(ecs, account.prefix, arns), key=lambda service: service["serviceName"])
        if service.get("status", "ACTIVE") == "ACTIVE"
    ]


def _rollout(service: dict[str, Any]) -> str:
    primary = [one for one in service.get("deployments", []) if one.get("status") == "PRIMARY"]
    return str(primary[0].get("rolloutState", "")) if primary else ""


def _runs(ecs: Client, task_definition: str) -> dict[str, Any]:
    """Family and revision, and the digest of each container's image."""
    found = ecs.describe_task_definition(aws_retry=True, taskDefinition=task_definition)["taskDefinition"]
    images = {
        container["name"]: container["image"].partition("@")[2] or container["image"]
        for container in found["containerDefinitions"]
    }
    return {"task_definition": f"{found['family']}:{found['revision']}", "images": images}


def tasks(account: Account, among_services: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The latest definition of what is run and is no service, such as Dagster's runs."""
    ecs, known = account.client("ecs"), {one["task_definition"].partition(":")[0] for one in among_services}
    asked = {"familyPrefix": f"{account.prefix}-", "status": "ACTIVE"}
    families = sorted(set(pages(ecs.list_task_definition_families, "families", **asked)) - known)
    return [{"name": family.removeprefix(f"{account.prefix}-"), **_runs(ecs, family)} for family in families]


def alarms(account: Account) -> list[dict[str, str]]:
    asked = {"StateValue": "ALARM", "AlarmNamePrefix": f"{account.prefix}-"}
    found = pages(account.client("cloudwatch").describe_alarms, "MetricAlarms", **asked)
    return [
        {
            "name": one["AlarmName"],
            "since": stamp(one.get("StateUpdatedTimestamp")),
            "description": one.get("AlarmDescription", ""),
        }
        for one in found
    ]


def opened(account: Account, bucket: str) -> bool:
    """Whether the bucket's policy has a statement that lets the organisation in."""
    answer = account.client("s3").get_bucket_policy(aws_retry=True, Bucket=bucket)
    statements = json.loads(answer["Policy"]).get("Statement", [])
    sids = {one.get("Sid") for one in ([statements] if isinstance(statements, dict) else statements)}
    return bool(sids & _SHARED_BY)


def decided(account: Account, bucket: str) -> dict[str, str]:
    answer = account.client("s3").get_bucket_tagging(aws_retry=True, Bucket=bucket)
    tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
    return {"decided": tags.get("share", ""), "since": tags.get("share-since", "")}


def runs(account: Account, bucket: str, count: int) -> list[dict[str, Any]]:
    """The latest reports by when they were written. A report's key names the submission, which is not told."""
    s3 = account.client("s3")
    found = [
        (entry["LastModified"], entry["Key"])
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="results/")
        for entry in page.get("Contents", [])
        if _REPORT.fullmatch(entry["Key"])
    ]
    latest = sorted(found, reverse=True)[:count]
    return [_run(key, s3.get_object(aws_retry=True, Bucket=bucket, Key=key)["Body"].read()) for _when, key in latest]


def _run(key: str, content: bytes) -> dict[str, Any]:
    where, report = _REPORT.fullmatch(key), json.loads(content)
    return {
        **(where.groupdict() if where else {}),
        "state": str(report.get("state", "unknown")),
        "finished_at": str(report.get("finished_at") or ""),
        "errors": int((report.get("errors") or {}).get("total", 0)),
    }


def state(account: Account, given: dict[str, Any]) -> dict[str, Any]:
    on_ecs = "ecs:ListServices, DescribeServices, ListTaskDefinitionFamilies and DescribeTaskDefinition"
    found_services = account.read("services", on_ecs, lambda: services(account), []) or []
    found_tasks = account.read("tasks", on_ecs, lambda: tasks(account, found_services), []) or []
    return {
        "stacks": account.read("stacks", "cloudformation:DescribeStacks", lambda: stacks(account), []) or [],
        "services": found_services,
        "tasks": found_tasks,
        "alarms": account.read("alarms", "cloudwatch:DescribeAlarms", lambda: alarms(account), []) or [],
        "share": share(account, given["shared_bucket"]) if given["shared_bucket"] else {},
        "runs": latest_runs(account, given["data_store"], given["runs"]) if given["data_store"] else [],
        "unread": account.unread,
    }


def share(account: Account, bucket: str) -> dict[str, Any]:
    """`open` is `None` where nobody may read the policy."""
    policy = f"s3:GetBucketPolicy on {bucket}"
    tags = f"s3:GetBucketTagging on {bucket}"
    undecided = {"decided": "", "since": ""}
    return {
        "open": account.read("share", policy, lambda: opened(account, bucket), False),
        **(account.read("decision", tags, lambda: decided(account, bucket), undecided) or undecided),
    }


def latest_runs(account: Account, bucket: str, count: int) -> list[dict[str, Any]]:
    needed = f"s3:ListBucket on {bucket} and s3:GetObject on results/*/report.json in it"
    return account.read("runs", needed, lambda: runs(account, bucket, count), []) or []


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    account = Account(lambda service: module.client(service, retry_decorator=retry), module.params["prefix"])
    module.exit_json(changed=False, state=state(account, module.params))


if __name__ == "__main__":
    main()
