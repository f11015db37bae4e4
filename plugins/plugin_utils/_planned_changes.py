# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of a rehearsal says that it would change, as one shape for stacks and for everything else."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NotRequired, TypedDict

import yaml

Replacement = Literal["no", "perhaps", "yes"]

# Types whose replacement or removal takes with it what people have put there.
HOLDS_DATA = frozenset(
    {
        "AWS::Cognito::UserPool",
        "AWS::DynamoDB::Table",
        "AWS::ECR::Repository",
        "AWS::EFS::FileSystem",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    }
)

_STACKS = ("amazon.aws.cloudformation", "cloudformation")
# What else is changed: its kind, the argument that names it, and what would be done to it. Other modules' tasks are
# called after the task.
_SUBJECTS = {
    "amazon.aws.ec2_security_group": ("security group", "name", "change"),
    "amazon.aws.kms_key": ("key", "alias", "change"),
    "amazon.aws.s3_bucket_info": ("bucket", "name", "create"),
    "amazon.aws.s3_object": ("object", "object", "create"),
    "localgov.platform.cross_account_trust": ("trust", "resource", "change"),
    "localgov.platform.ecr_image": ("image", "repository", "push"),
    "localgov.platform.s3_event_announcements": ("bucket", "bucket", "change"),
}
_ACTIONS = {"Add": "create", "Modify": "change", "Remove": "remove", "Import": "import", "Dynamic": "change"}
_REPLACEMENTS: dict[str, Replacement] = {"True": "yes", "Conditional": "perhaps"}


class Resource(TypedDict):
    """A resource of a stack. `data`: whether what it holds would be lost to the stack."""

    name: str
    type: str
    action: str
    replacement: Replacement
    properties: list[str]
    policy: str
    data: bool


class Change(TypedDict):
    """`action` is none, create, change, remove, push, or unclear, which `detail` then explains."""

    account: str
    kind: str
    name: str
    action: str
    detail: str
    resources: list[Resource]
    diff: NotRequired[str]


class Unseen(TypedDict):
    """A task whose module cannot rehearse."""

    account: str
    task: str


def planned(account: str, task: str, action: str, result: Mapping[str, Any]) -> Change | None:
    """The change that a task of a rehearsal foresees; None for one that foresees none, unless it looked at a stack."""
    arguments = (result.get("invocation") or {}).get("module_args") or {}
    if action in _STACKS:
        return _of_stack(account, arguments, result)
    if not result.get("changed"):
        return None
    kind, named_by, what = _SUBJECTS.get(action, ("setting", "", "change"))
    name = str(arguments.get(named_by) or task)
    change: Change = {"account": account, "kind": kind, "name": name, "action": what, "detail": "", "resources": []}
    if text := difference(result.get("diff")):
        change["diff"] = text
    return change


def _of_stack(account: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> Change:
    resources: list[Resource] = []
    action, detail = "none", ""
    message = result.get("msg") or ""
    found = [entry["ResourceChange"] for entry in result.get("meta") or [] if "ResourceChange" in entry]
    if not result.get("changed"):
        pass
    elif arguments.get("state") == "absent":
        action = "remove"
    elif message == "New stack would be created":
        action = "create"
        resources = list(resources_of(arguments.get("template_body") or ""))
    elif found:
        action = "change"
        resources = list(map(_of_change_set, found))
    elif message:
        action, detail = "unclear", f"The change set failed: {message}"
    else:
        action, detail = "change", "Only outputs, parameters, tags or metadata"
    return {
        "account": account,
        "kind": "stack",
        "name": str(arguments.get("stack_name")),
        "action": action,
        "detail": detail,
        "resources": resources,
    }


def _of_change_set(change: Mapping[str, Any]) -> Resource:
    replacement = _REPLACEMENTS.get(str(change.get("Replacement")), "no")
    action, policy, kind = _ACTIONS[change["Action"]], str(change.get("PolicyAction") or ""), change["ResourceType"]
    targets = [detail["Target"] for detail in change.get("Details") or []]
    return {
        "name": change["LogicalResourceId"],
        "type": kind,
        "action": action,
        "replacement": replacement,
        "properties": sorted({str(target.get("Name") or target.get("Attribute")) for target in targets}),
        "policy": policy,
        "data": kind in HOLDS_DATA and (replacement != "no" or (action == "remove" and policy != "Retain")),
    }


class _Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
    """Templates, of whose functions nothing matters here."""


_Loader.add_multi_constructor("!", lambda *_: None)


def resources_of(template: str) -> Iterator[Resource]:
    """What a new stack would consist of."""
    for name, resource in ((yaml.load(template, _Loader) or {}).get("Resources") or {}).items():  # noqa: S506
        yield {
            "name": name,
            "type": str(resource["Type"]),
            "action": "create",
            "replacement": "no",
            "properties": [],
            "policy": "",
            "data": False,
        }


def difference(diff: object) -> str:
    """What a module calls its diff, as lines that begin with - and +; empty without one."""
    parts = diff if isinstance(diff, list) else [diff]
    return "\n".join(filter(None, (_lines(part) for part in parts if isinstance(part, Mapping))))


def _lines(diff: Mapping[str, Any]) -> str:
    if "prepared" in diff:
        return str(diff["prepared"])
    before, after = (_text(diff.get(side)).splitlines() for side in ("before", "after"))
    compared = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return "\n".join(line for line in compared if not line.startswith("@@"))


def _text(side: object) -> str:
    if not side or isinstance(side, str):
        return str(side or "")
    return yaml.safe_dump(side, sort_keys=True, default_flow_style=False)


# Filled by the callback in the process of the run; a task's process is forked from it, and finds here what was said
# before its task began.
changes: list[Change] = []
unseen: list[Unseen] = []
# Whether the callback is at work: without it nothing would look like no change.
listening = False
