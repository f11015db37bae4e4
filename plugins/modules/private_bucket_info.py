#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell whether a bucket is private and otherwise as declared."""

from __future__ import annotations

DOCUMENTATION = r"""
module: private_bucket_info
short_description: Tell whether a bucket is private and otherwise as declared
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Compares a bucket with what M(amazon.aws.s3_bucket) would be told, by a call for each setting that is declared. That
    module makes twice as many.
  - Private means that all public access is blocked and that ACLs are off.
  - It fails where a setting cannot be read, and does not take it for one that is not there.
options:
  name:
    description:
      - The bucket.
    type: str
    required: true
  policy:
    description:
      - Its policy. How statements and lists are ordered makes no difference.
    type: dict
    required: true
  tags:
    description:
      - Its tags, and no others.
    type: dict
    required: true
  versioning:
    description:
      - Whether it is versioned.
    type: bool
    default: true
  encryption:
    description:
      - The algorithm by which it encrypts.
    type: str
    default: AES256
  object_lock_mode:
    description:
      - The mode of its default retention, where it has Object Lock.
    type: str
    choices: [GOVERNANCE, COMPLIANCE]
  object_lock_days:
    description:
      - The days of that retention. Needed with O(object_lock_mode).
    type: int
notes:
  - Permissions that the task's identity needs on the bucket - C(s3:GetBucketVersioning),
    C(s3:GetEncryptionConfiguration), C(s3:GetBucketOwnershipControls), C(s3:GetBucketPublicAccessBlock),
    C(s3:GetBucketPolicy), C(s3:GetBucketTagging) and, with O(object_lock_mode), C(s3:GetBucketObjectLockConfiguration).
extends_documentation_fragment:
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look whether the bucket is as declared
  localgov.platform.private_bucket_info:
    name: localgov-012345670123-data-store
    policy: "{{ policy }}"
    tags: {platform: localgov}
  register: data_store

- name: Put it right where it is not
  amazon.aws.s3_bucket:
    name: localgov-012345670123-data-store
    versioning: true
    encryption: AES256
    object_ownership: BucketOwnerEnforced
    public_access:
      block_public_acls: true
      block_public_policy: true
      ignore_public_acls: true
      restrict_public_buckets: true
    policy: "{{ policy }}"
    tags: {platform: localgov}
  when: not data_store.as_declared
"""

RETURN = r"""
as_declared:
  description: Whether it is there and nothing is other than declared.
  returned: success
  type: bool
differences:
  description: What is other than declared, or V(missing) alone where there is no such bucket.
  returned: success
  type: list
  elements: str
  sample: [policy, versioning]
"""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt, code_of
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs
Read = Callable[[str], dict[str, Any]]  # a setting, as boto3 calls it, to what S3 says of it

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "policy": {"type": "dict", "required": True},
    "tags": {"type": "dict", "required": True},
    "versioning": {"type": "bool", "default": True},
    "encryption": {"type": "str", "default": "AES256"},
    "object_lock_mode": {"type": "str", "choices": ["GOVERNANCE", "COMPLIANCE"]},
    "object_lock_days": {"type": "int"},
}
# By these S3 says that a bucket has no such setting.
_UNSET = (
    "NoSuchBucketPolicy",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "ObjectLockConfigurationNotFoundError",
    "OwnershipControlsNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
)
_BLOCKED = {"BlockPublicAcls": True, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": True}


def differences(s3: Client, given: dict[str, Any]) -> list[str]:
    """What of the bucket is other than given; `missing` where there is none. Raises RefusedError."""
    name = given["name"]

    def read(setting: str) -> dict[str, Any]:
        """What S3 says of a setting; nothing of one that is not made."""
        try:
            answer: dict[str, Any] = getattr(s3, f"get_{setting}")(aws_retry=True, Bucket=name)
        except ClientError as error:
            if code_of(error) not in _UNSET:
                raise
            return {}
        return answer

    with attempt(f"look at the bucket {name}", permission="s3:Get* of the bucket's settings"):
        try:
            return [setting for setting, is_declared in _SETTINGS.items() if not is_declared(read, given)]
        except ClientError as error:
            if code_of(error) != "NoSuchBucket":
                raise
            return ["missing"]


def _versioning(read: Read, given: dict[str, Any]) -> bool:
    return bool((read("bucket_versioning").get("Status") == "Enabled") == given["versioning"])


def _encryption(read: Read, given: dict[str, Any]) -> bool:
    rules = read("bucket_encryption").get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    return [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules] == [
        given["encryption"]
    ]


def _ownership(read: Read, given: dict[str, Any]) -> bool:
    rules = read("bucket_ownership_controls").get("OwnershipControls", {}).get("Rules", [])
    return [rule["ObjectOwnership"] for rule in rules] == ["BucketOwnerEnforced"]


def _public_access(read: Read, given: dict[str, Any]) -> bool:
    return bool(read("public_access_block").get("PublicAccessBlockConfiguration") == _BLOCKED)


def _policy(read: Read, given: dict[str, Any]) -> bool:
    now = json.loads(read("bucket_policy").get("Policy") or "{}")
    return not compare_policies(now, given["policy"], default_version="2008-10-17")


def _tags(read: Read, given: dict[str, Any]) -> bool:
    now = {tag["Key"]: tag["Value"] for tag in read("bucket_tagging").get("TagSet", [])}
    return now == {key: str(value) for key, value in given["tags"].items()}


def _object_lock(read: Read, given: dict[str, Any]) -> bool:
    if not given["object_lock_mode"]:
        return True
    now = read("object_lock_configuration").get("ObjectLockConfiguration", {})
    retention = now.get("Rule", {}).get("DefaultRetention", {})
    return (retention.get("Mode"), retention.get("Days")) == (given["object_lock_mode"], given["object_lock_days"])


_SETTINGS: dict[str, Callable[[Read, dict[str, Any]], bool]] = {
    "versioning": _versioning,
    "encryption": _encryption,
    "ownership": _ownership,
    "public_access": _public_access,
    "policy": _policy,
    "tags": _tags,
    "object_lock": _object_lock,
}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_together=[["object_lock_mode", "object_lock_days"]]
    )
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    try:
        found = differences(module.client("s3", retry_decorator=retry), module.params)
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    module.exit_json(changed=False, as_declared=not found, differences=found)


if __name__ == "__main__":
    main()
