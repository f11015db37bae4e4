#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which resources of an account's stacks were changed by other means than CloudFormation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_drift_info
short_description: Tell which resources of CloudFormation stacks have drifted
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Has CloudFormation compare all stacks whose names begin alike with what there really is, and waits for the answers.
  - A change set compares templates, so it never shows what somebody has changed by hand.
options:
  prefix:
    description:
      - How the stacks' names begin.
    type: str
    required: true
  wait_timeout:
    description:
      - The seconds that all comparisons together may take.
    type: int
    default: 600
notes:
  - The caller needs C(cloudformation:DescribeStacks), C(cloudformation:DetectStackDrift),
    C(cloudformation:DetectStackResourceDrift), C(cloudformation:DescribeStackDriftDetectionStatus) and
    C(cloudformation:DescribeStackResourceDrifts), and may read what it compares, as CloudFormation does so with the
    caller's permissions.
  - CloudFormation compares the properties that a template names, of types that support it. It keeps the answer with the
    stack, and changes nothing else.
extends_documentation_fragment:
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look for what was changed by hand
  localgov.platform.stack_drift_info:
    prefix: localgov-
  register: drift

- name: Say in which stacks
  ansible.builtin.debug:
    msg: "{{ drift.stacks | selectattr('status', 'ne', 'IN_SYNC') | map(attribute='stack') }}"
"""

RETURN = r"""
stacks:
  description: Each stack, by its name.
  returned: success
  type: list
  elements: dict
  contains:
    stack:
      description: Its name.
      type: str
      sample: localgov-services
    status:
      description: >-
        V(IN_SYNC), V(DRIFTED), or V(UNKNOWN) where the comparison did not end in time, or failed and found nothing
        until then.
      type: str
    reason:
      description: Why not all could be compared; else empty.
      type: str
    checked:
      description: How many of its resources could be compared.
      type: int
    resources:
      description: The resources that are not as the stack made them.
      type: list
      elements: dict
      contains:
        name:
          description: The name in the template.
          type: str
        type:
          description: Its type.
          type: str
        status:
          description: V(MODIFIED) or V(DELETED).
          type: str
        differences:
          description: >-
            The properties, each with V(path), V(kind) (V(ADD), V(REMOVE), V(NOT_EQUAL)), V(expected) and V(actual).
          type: list
          elements: dict
"""

from collections.abc import Iterable
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import (
    NotYetError,
    attempt,
    pages,
    until,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "prefix": {"type": "str", "required": True},
    "wait_timeout": {"type": "int", "default": 600},
}
# In all other states CloudFormation compares nothing.
_COMPARABLE = (
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED",
    "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_FAILED",
)  # fmt: skip
_DRIFTED = ("MODIFIED", "DELETED")


def stacks(cloudformation: Client, prefix: str) -> dict[str, str]:
    """Name to status of the stacks that begin with it."""
    found = pages(cloudformation.describe_stacks, "Stacks")
    return {one["StackName"]: one["StackStatus"] for one in found if one["StackName"].startswith(prefix)}


def begin(cloudformation: Client, names: Iterable[str]) -> dict[str, str]:
    """Have each stack compared: its name to the comparison's id."""
    return {
        name: cloudformation.detect_stack_drift(aws_retry=True, StackName=name)["StackDriftDetectionId"]
        for name in names
    }


def wait(cloudformation: Client, comparisons: dict[str, str], seconds: int) -> dict[str, dict[str, str]]:
    """What each comparison came to, by the stack's name. One that has not ended by then is missing."""
    ended: dict[str, dict[str, str]] = {}

    def look() -> None:
        for name in comparisons.keys() - ended.keys():
            status = cloudformation.describe_stack_drift_detection_status(
                aws_retry=True, StackDriftDetectionId=comparisons[name]
            )
            if status["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                ended[name] = status
        if len(ended) < len(comparisons):
            raise NotYetError

    until(look, seconds)
    return ended


def told(cloudformation: Client, name: str, status: dict[str, str] | None) -> dict[str, Any]:
    if status is None:
        reason = "The comparison did not end in time."
        return {"stack": name, "status": "UNKNOWN", "reason": reason, "checked": 0, "resources": []}
    # Of a comparison that failed there is what it came to before, or beside.
    found = list(pages(cloudformation.describe_stack_resource_drifts, "StackResourceDrifts", StackName=name))
    resources = [_resource(entry) for entry in found if entry["StackResourceDriftStatus"] in _DRIFTED]
    whole = status["DetectionStatus"] == "DETECTION_COMPLETE"
    return {
        "stack": name,
        "status": status["StackDriftStatus"] if whole else "DRIFTED" if resources else "UNKNOWN",
        "reason": "" if whole else status.get("DetectionStatusReason") or "CloudFormation does not say why.",
        "checked": sum(entry["StackResourceDriftStatus"] in ("IN_SYNC", *_DRIFTED) for entry in found),
        "resources": resources,
    }


def _resource(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["LogicalResourceId"],
        "type": entry["ResourceType"],
        "status": entry["StackResourceDriftStatus"],
        "differences": [
            {
                "path": difference["PropertyPath"],
                "kind": difference["DifferenceType"],
                "expected": difference["ExpectedValue"],
                "actual": difference["ActualValue"],
            }
            for difference in entry.get("PropertyDifferences", [])
        ],
    }


def drifts(cloudformation: Client, prefix: str, seconds: int) -> list[dict[str, Any]]:
    needed = "cloudformation:DetectStackDrift, DetectStackResourceDrift and Describe* on the stacks"
    with attempt(f"compare the stacks {prefix}* with what there is", permission=needed):
        there = stacks(cloudformation, prefix)
        comparisons = begin(cloudformation, (name for name, status in there.items() if status in _COMPARABLE))
        ended = wait(cloudformation, comparisons, seconds)
        compared = [told(cloudformation, name, ended.get(name)) for name in sorted(comparisons)]
    others = [
        {
            "stack": name,
            "status": "UNKNOWN",
            "reason": f"Not compared in the state {status}.",
            "checked": 0,
            "resources": [],
        }
        for name, status in sorted(there.items())
        if name not in comparisons
    ]
    return compared + others


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    client = module.client("cloudformation", retry_decorator=retry)
    try:
        found = drifts(client, module.params["prefix"], module.params["wait_timeout"])
        module.exit_json(changed=False, stacks=found)
    except RefusedError as refused:
        module.fail_json(msg=str(refused))


if __name__ == "__main__":
    main()
