#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which versions an account runs: images, Dagster, its database's schema, and the configuration behind them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: deployed_versions_info
short_description: Tell which versions an account runs
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Tells the image of each service of an account, the version of Dagster, the revision of its database's schema, and
    from which configuration the account was deployed, all of it from the account itself.
  - Images are those of the task definitions that the services' stack holds, so also of runs, which are no service.
  - Dagster and the schema are what the daemon that runs has written to its log when it started. As the schema changes
    in a release alone, which starts the daemon anew, that is how it is.
options:
  name_prefix:
    description:
      - The platform's name prefix, which is the name of the cluster and the beginning of the name of the stack
        C(<prefix>-services).
    type: str
    default: localgov
  daemon:
    description: The service whose log, C(/<prefix>/<daemon>), tells of Dagster and the schema.
    type: str
    default: daemon
  records_bucket:
    description:
      - The bucket in which deployments leave C(configuration.json) and C(release.json). Without it nothing is told of
        either.
    type: str
extends_documentation_fragment:
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
notes:
  - The caller needs C(cloudformation:ListStackResources), C(ecs:DescribeTaskDefinition), C(ecs:DescribeServices),
    C(ecs:ListTasks), C(logs:GetLogEvents) on the daemon's log group, and C(s3:GetObject) on the two records.
seealso:
  - plugin: localgov.platform.version_table
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Ask what the account runs
  localgov.platform.deployed_versions_info:
    records_bucket: localgov-012345670123-rollout
  register: found

- name: Show the daemon's image
  ansible.builtin.debug:
    var: found.versions.services.daemon.digest
"""

RETURN = r"""
versions:
  description: All of it.
  returned: success
  type: dict
  contains:
    deployed:
      description: Whether there is a stack of services.
      type: bool
    services:
      description: >-
        What runs, by the service's name. Of what is launched and is no service, such as runs, counts are null.
      type: dict
      sample:
        daemon:
          image: daemon
          digest: sha256:c6829a7630c31f2a59f22e2c14fdbee1a74a22fed6a7d0770dfa80ed9afb9622
          tag: c6829a7630c3
          desired: 1
          running: 1
    below:
      description: The services of which fewer tasks run than there are to be.
      type: list
      elements: str
    dagster:
      description: The version of Dagster; null where no log tells.
      type: str
      sample: 1.13.27
    schema:
      description: The revision of the database's schema; null where no log tells.
      type: str
      sample: 29b539ebc72a
    schema_expected:
      description: The revision that this Dagster would bring it to.
      type: str
      sample: 29b539ebc72a
    configuration:
      description: The commit from which the account was deployed last; null where none is recorded.
      type: str
      sample: c15159b0f3a2
    migrates:
      description: Whether a migration would change the schema; null where no log tells.
      type: bool
    release:
      description: The record of the last release, with C(state), C(digests), C(last_good) and C(at); null without any.
      type: dict
"""

import json
from contextlib import suppress
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _deployed_versions as deployed
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt, code_of
from ansible_collections.localgov.platform.plugins.module_utils._ecs_services import described
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "name_prefix": {"type": "str", "default": "localgov"},
    "daemon": {"type": "str", "default": "daemon"},
    "records_bucket": {"type": "str"},
}
_LINES = 1000  # of the daemon's log, from its start, in which it also tells what it waits for


def task_definitions(cloudformation: Client, stack: str) -> list[str] | None:
    """The ARNs of the stack's task definitions; None where there is no such stack."""
    with attempt(f"list the resources of the stack {stack}", permission="cloudformation:ListStackResources"):
        try:
            pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
            found = [entry for page in pages for entry in page["StackResourceSummaries"]]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
    return [
        entry["PhysicalResourceId"]
        for entry in found
        if entry["ResourceType"] == "AWS::ECS::TaskDefinition" and entry["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def services(ecs: Client, prefix: str, arns: list[str]) -> dict[str, dict[str, Any]]:
    with attempt(f"look at the services of the cluster {prefix}", permission="ecs:Describe* on them"):
        definitions = [ecs.describe_task_definition(aws_retry=True, taskDefinition=arn) for arn in arns]
        images = {
            deployed.service_name(found["taskDefinition"], prefix): deployed.image_of(found["taskDefinition"], prefix)
            for found in definitions
        }
        names = sorted(images)
        found_services = described(ecs, prefix, names)
    counted = {service["serviceName"]: service for service in found_services if service["status"] == "ACTIVE"}
    return {name: deployed.with_counts(images[name], counted.get(name)) for name in names}


def said(ecs: Client, logs: Client, prefix: str, daemon: str) -> dict[str, Any]:
    """What the daemon said of itself and its database when it started; unknown where it is off or no log tells."""
    with attempt(f"look at the tasks of {daemon} in the cluster {prefix}", permission="ecs:ListTasks"):
        running = ecs.list_tasks(aws_retry=True, cluster=prefix, serviceName=daemon)["taskArns"]
    for arn in running:
        stream = f"{daemon}/{daemon}/{arn.rpartition('/')[2]}"
        told = deployed.told_by(_first_lines(logs, f"/{prefix}/{daemon}", stream))
        if told["dagster"]:
            return told
    return deployed.UNKNOWN


def _first_lines(logs: Client, group: str, stream: str) -> list[str]:
    with attempt(f"read the log {stream} in {group}", permission="logs:GetLogEvents on it"):
        try:
            answer = logs.get_log_events(
                aws_retry=True, logGroupName=group, logStreamName=stream, limit=_LINES, startFromHead=True
            )
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":  # the stream is made with its first line
                return []
            raise
    return [event["message"] for event in answer["events"]]


def record(s3: Client, bucket: str, key: str) -> dict[str, Any] | None:
    """What a deployment has left in writing; None where it has not."""
    with attempt(f"read {key} in {bucket}", permission=f"s3:GetObject on {key} and s3:ListBucket on the bucket"):
        try:
            body = s3.get_object(aws_retry=True, Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if code_of(error) in ("NoSuchKey", "NoSuchBucket"):
                return None
            raise
    found: dict[str, Any] = json.loads(body)
    return found


def versions(module: AnsibleAWSModule) -> dict[str, Any]:
    """The module's return value."""
    prefix, bucket = module.params["name_prefix"], module.params["records_bucket"]
    arns = task_definitions(_client(module, "cloudformation"), f"{prefix}-services")
    records = {
        key: record(_client(module, "s3"), bucket, f"{key}.json") if bucket else None
        for key in ("configuration", "release")
    }
    ecs, daemon = _client(module, "ecs"), module.params["daemon"]
    found_services = services(ecs, prefix, arns) if arns else {}
    found = said(ecs, _client(module, "logs"), prefix, daemon) if daemon in found_services else deployed.UNKNOWN
    return {
        "deployed": arns is not None,
        "services": found_services,
        "below": deployed.below(found_services),
        **found,
        "configuration": (records["configuration"] or {}).get("commit"),
        "release": records["release"],
    }


def _client(module: AnsibleAWSModule, service: str) -> Client:
    return module.client(service, retry_decorator=AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10))


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        module.exit_json(changed=False, versions=versions(module))
    except RefusedError as reason:
        module.fail_json(msg=str(reason))


if __name__ == "__main__":
    main()
