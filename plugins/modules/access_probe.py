#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module `access_probe`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_probe
version_added: 0.1.0
author: localgov.platform contributors (!UNKNOWN)
short_description: Prepare an account for trials of access, and clear it again
description:
  - Puts probes into buckets of this account, which M(localgov.platform.cross_account_access_info) then tries to read.
  - Lends rights to roles of this account for the trials, so that only another account's policy can refuse them.
  - With O(state=absent) nothing of it is left, and nothing of what a trial may have left at those places.
  - It reads no object, and touches none outside the folders C(.access-probe).
options:
  state:
    description:
      - With V(present), probes, policies and roles are there.
      - With V(absent), they are gone. A bucket or role that is not there is no error then. What cannot be removed does
        not keep the rest from being removed; the task fails in the end.
    type: str
    choices: [present, absent]
    default: present
  buckets:
    description: Buckets of this account that are listed, read or written.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The bucket's name.
        type: str
        required: true
      prefixes:
        description:
          - Folders of the bucket, V('') for its top. Each gets an object C(.access-probe/probe) of a few bytes, tagged
            C(purpose=access-probe).
          - With O(state=absent), every version and delete marker below their C(.access-probe/) is removed.
        type: list
        elements: str
        default: ['']
  roles:
    description: Roles of this account that borrow rights.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The role's name.
        type: str
        required: true
      statements:
        description:
          - Statements of IAM that allow what is tried. They become the inline policy C(access-probe) of the role,
            together with one that allows C(s3:ListAllMyBuckets), by which it is seen that the policy counts. It ends
            with the first of them that has a condition C(DateLessThan).
          - With O(state=absent) they are not looked at.
        type: list
        elements: dict
        default: []
      make:
        description:
          - Whether the role is made if it is not there, and removed with O(state=absent).
          - It trusts the role that runs this task and nobody else, and is tagged C(purpose=access-probe). A role of the
            same name without that tag is an error, and is left as it is.
        type: bool
        default: false
  alone:
    description:
      - Whether to stop, before anything is changed, where another run of trials is at work in this account. Two at once
        would take each other's probes and rights away.
      - A run shows by an object C(run) beside the first probe of the first of O(buckets), and by roles that are made.
        What is older than an hour is what a killed run left, and is taken over; a role is made anew for that.
      - Of several that begin at the same moment one goes on, if the first of the roles that are made is the same for
        all.
      - Set it to V(false) to use what is there, whoever left it.
      - With O(state=absent) it is not looked at. Whoever was stopped has nothing to clear.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Predicts what would be there.
  diff_mode:
    support: full
    description: Shows probes, policies and roles before and after.
requirements:
  - python >= 3.11
seealso:
  - module: localgov.platform.cross_account_access_info
notes:
  - AWS may need some seconds until a new policy or role is known everywhere. The trials wait for that, not this module.
  - A probe is known by its name and size.
  - A role keeps what it borrowed until it is taken away. Let the task with O(state=absent) run in an C(always) section.
  - Permissions that the task's identity needs - C(s3:ListBucketVersions) on the buckets;
    C(s3:PutObject), C(s3:PutObjectTagging), C(s3:DeleteObject), C(s3:DeleteObjectVersion) on C(*.access-probe/*) in
    them, and the use of the key by which they encrypt; C(iam:GetRole), C(iam:GetRolePolicy), C(iam:PutRolePolicy),
    C(iam:DeleteRolePolicy) on the roles; C(iam:CreateRole), C(iam:TagRole), C(iam:UpdateAssumeRolePolicy),
    C(iam:DeleteRole) on those that are made.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Put a probe into the shared bucket, and lend the pipeline rights to read others
  localgov.platform.access_probe:
    buckets:
      - name: localgov-012345670123-shared
        prefixes: ['', ssda903]
    roles:
      - name: localgov-run-task
        statements:
          - Effect: Allow
            Action: s3:GetObject
            Resource: arn:aws:s3:::localgov-300000000002-shared/*

- name: Make a role of the same name in an account outside
  localgov.platform.access_probe:
    roles:
      - name: localgov-run-task
        make: true
        statements:
          - Effect: Allow
            Action: s3:*
            Resource: "*"

- name: Leave nothing behind
  localgov.platform.access_probe:
    state: absent
    buckets:
      - name: localgov-012345670123-shared
        prefixes: ['', ssda903]
    roles:
      - name: localgov-run-task
"""

RETURN = r"""
objects:
  description: The probes that are there now, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: ["s3://localgov-012345670123-shared/ssda903/.access-probe/probe"]
versions:
  description: Which version each probe is, V(null) without versioning.
  returned: with O(state=present), not in check mode
  type: dict
  sample: {"s3://localgov-012345670123-shared/ssda903/.access-probe/probe": "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"}
busy:
  description: Whether it is another run that stopped this one.
  returned: when O(alone=true) stopped it
  type: bool
  sample: true
roles:
  description: What each role borrows now, or in check mode would.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The role's name.
      type: str
    policy:
      description: The inline policy C(access-probe).
      type: dict
"""

from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import Identity, attempt
from ansible_collections.localgov.platform.plugins.module_utils._access_ground import (
    Folder,
    Item,
    Role,
    RunningError,
    probe_present,
    probes_absent,
    role_absent,
    role_present,
    run_present,
    version_of_probe,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=_argument_spec(), supports_check_mode=True)
    try:
        folders, roles = _folders_and_roles(module)
        if module.params["state"] == "present":
            _present(module, folders, roles)
        else:
            _absent(module, folders, roles)
    except RunningError as running:
        module.fail_json(msg=str(running), busy=True)
    except RefusedError as refused:
        module.fail_json(msg=str(refused))


def _argument_spec() -> dict[str, dict[str, Any]]:
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "alone": {"type": "bool", "default": False},
        "buckets": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "prefixes": {"type": "list", "elements": "str", "default": [""]},
            },
        },
        "roles": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "name": {"type": "str", "required": True},
                "statements": {"type": "list", "elements": "dict", "default": []},
                "make": {"type": "bool", "default": False},
            },
        },
    }


def _present(module: AnsibleAWSModule, folders: list[Folder], roles: list[Role]) -> None:
    """All of it is found possible before the first change. IAM needs time, so roles come before probes."""
    alone = module.params["alone"]
    sign = [run_present(folder, alone) for folder in folders[:1]]
    items = [item for role in roles for item in role_present(role, alone)]
    probes = [probe_present(folder) for folder in folders]
    if not module.check_mode:
        for item in [*sign, *items, *probes]:
            if item.is_needed:
                item.make()
    there = [] if module.check_mode else folders
    versions = {probe.name: version_of_probe(folder) for probe, folder in zip(probes, there, strict=False)}
    module.exit_json(
        **_changes([*sign, *items, *probes]),
        objects=[probe.name for probe in probes],
        roles=[{"name": role.name, "policy": role.policy} for role in roles],
        **({"versions": versions} if versions else {}),
    )


def _absent(module: AnsibleAWSModule, folders: list[Folder], roles: list[Role]) -> None:
    """As much as possible is removed, whatever stands in the way of the rest."""
    found: list[Item] = []
    problems: list[str] = []
    found_out = [*(partial(role_absent, role) for role in roles), *(partial(probes_absent, one) for one in folders)]
    for items in found_out:
        try:
            for item in items():
                if item.is_needed and not module.check_mode:
                    item.make()
                found.append(item)
        except RefusedError as refused:
            problems.append(str(refused))
    if problems:
        module.fail_json(msg="Not all of it is removed. " + " ".join(problems), **_changes(found))
    module.exit_json(**_changes(found), objects=[], roles=[])


def _changes(items: list[Item]) -> dict[str, Any]:
    return {
        "changed": any(item.is_needed for item in items),
        "diff": {
            "before": {item.name: item.before for item in items if item.before is not None},
            "after": {item.name: item.after for item in items if item.after is not None},
        },
    }


def _folders_and_roles(module: AnsibleAWSModule) -> tuple[list[Folder], list[Role]]:
    """What the options name, without what they name twice."""
    s3, iam, identity = _client(module, "s3"), _client(module, "iam"), _identity(module)
    folders = {
        (bucket["name"], prefix.strip("/")): Folder(s3, identity, bucket["name"], prefix.strip("/"))
        for bucket in module.params["buckets"]
        for prefix in bucket["prefixes"]
    }
    roles = [Role(iam, identity, role["name"], role["statements"], role["make"]) for role in module.params["roles"]]
    return list(folders.values()), roles


def _identity(module: AnsibleAWSModule) -> Identity:
    with attempt("find out whose session this task has"):
        found = _client(module, "sts").get_caller_identity(aws_retry=True)
    return Identity(found["Arn"], found["Account"], found["Arn"].split(":")[1], module.region or "")


def _client(module: AnsibleAWSModule, service: str) -> Any:  # noqa: ANN401 - boto3's
    retry = AWSRetry.jittered_backoff(
        retries=8, delay=1, max_delay=20, catch_extra_error_codes=["ConcurrentModification", "SlowDown"]
    )
    return module.client(service, retry_decorator=retry)


if __name__ == "__main__":
    main()
