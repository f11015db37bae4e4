#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the objects of a versioned bucket back to what they were at a moment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_rollback
short_description: Bring the objects of a versioned bucket back to what they were at a moment
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - What was deleted since is there again, as the same version, because its delete marker is taken away. What was
    overwritten since gets a copy of its version of that time as the latest. No version of an object is removed.
  - It is idempotent. An object that is what it was at that moment is left alone, and so is one that was copied back
    before.
  - Versions that were erased since, on purpose or by a rule of the bucket's lifecycle, cannot be brought back.
options:
  bucket:
    description:
      - The bucket, which has to keep versions.
    type: str
    required: true
  to:
    description:
      - The moment, in UTC, as in V(2026-11-21T10:15:00Z). What was written in that second counts as there.
    type: str
    required: true
  prefixes:
    description:
      - What the keys begin with; an object is brought back if one of them is.
    type: list
    elements: str
    default: [""]
  exclude:
    description:
      - What the keys begin with that are left alone.
    type: list
    elements: str
    default: []
  newer:
    description:
      - What becomes of objects that were not there at that moment. V(keep) leaves them; V(hide) puts a delete marker on
        them, under which they stay.
    type: str
    choices: [keep, hide]
    default: keep
attributes:
  check_mode:
    support: full
    description: Says what would be brought back.
  diff_mode:
    support: none
    description: The counts say what is different.
notes:
  - Permissions that the task's identity needs - C(s3:ListBucketVersions), C(s3:GetBucketVersioning) and
    C(s3:GetLifecycleConfiguration) on the bucket, C(s3:GetObject), C(s3:GetObjectVersion),
    C(s3:GetObjectVersionTagging), C(s3:PutObject), C(s3:PutObjectTagging), C(s3:DeleteObjectVersion) and for V(hide)
    C(s3:DeleteObject) on its objects.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Bring back what was deleted or overwritten among the results today
  localgov.platform.s3_rollback:
    bucket: localgov-012345670123-data-store
    to: "{{ now(utc=true, fmt='%Y-%m-%dT00:00:00Z') }}"
    prefixes: [results/]
"""

RETURN = r"""
undeleted:
  description: How many objects are there again because their delete markers were taken away.
  returned: success
  type: int
copied:
  description: How many objects have an earlier version as their latest again.
  returned: success
  type: int
hidden:
  description: How many objects that were not there at that moment got a delete marker.
  returned: success
  type: int
kept:
  description: How many objects that were not there at that moment were left.
  returned: success
  type: int
unchanged:
  description: How many keys are as they were.
  returned: success
  type: int
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt
from ansible_collections.localgov.platform.plugins.module_utils._object_history import (
    Copy,
    Plan,
    histories,
    moment,
    plan,
    shortest_memory,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from boto3.s3.transfer import TransferConfig
    from botocore.exceptions import ClientError

ARGUMENTS: dict[str, Any] = {
    "bucket": {"type": "str", "required": True},
    "to": {"type": "str", "required": True},
    "prefixes": {"type": "list", "elements": "str", "default": [""]},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "newer": {"type": "str", "choices": ["keep", "hide"], "default": "keep"},
}

# Copies that go on at once; S3 does the work.
_AT_ONCE = 16
# The most that one request deletes.
_AT_MOST = 1000
# In bytes; S3 copies what is larger in parts only.
_LARGE = 5 * 1024**3
# Of a copy: which version it is of. Entity tags of large and of encrypted objects are not those of their copies.
_COPIED_FROM = "restored-version"


class Bucket:
    """One bucket of the task's account."""

    def __init__(self, s3: Any, name: str) -> None:  # noqa: ANN401  a client in the wrapper of amazon.aws has no type
        self.s3, self.name = s3, name

    def refuse_what_is_forgotten(self, at: datetime, now: datetime, prefixes: list[str], exclude: list[str]) -> None:
        """RefusedError where the bucket keeps no versions, or not for as long."""
        with attempt(f"see whether {self.name} keeps versions", permission="s3:GetBucketVersioning on the bucket"):
            versioning = self.s3.get_bucket_versioning(aws_retry=True, Bucket=self.name)
        if versioning.get("Status") != "Enabled":
            raise RefusedError(f"The bucket {self.name} keeps no versions: nothing of it can be brought back.")
        days = shortest_memory(self._rules(), prefixes, exclude)
        if days is not None and at < now - timedelta(days=days):
            raise RefusedError(
                f"The bucket {self.name} keeps replaced versions for {days} days of what you ask for, and "
                f"{at:%Y-%m-%dT%H:%M:%SZ} is longer ago. Give a later moment, or prefixes that are kept for longer."
            )

    def _rules(self) -> list[dict[str, Any]]:
        with attempt(f"read the lifecycle of {self.name}", permission="s3:GetLifecycleConfiguration on the bucket"):
            try:
                answer = self.s3.get_bucket_lifecycle_configuration(aws_retry=True, Bucket=self.name)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                    return []
                raise
        rules: list[dict[str, Any]] = answer["Rules"]
        return rules

    def plan(self, at: datetime, prefixes: list[str], exclude: list[str]) -> Plan:
        with attempt(f"list the versions in {self.name}", permission="s3:ListBucketVersions on the bucket"):
            found = histories(page for prefix in _apart(prefixes) for page in self._pages(prefix))
        todo = plan({key: found[key] for key in found if not key.startswith(tuple(exclude))}, at)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            copied = list(pool.map(self._is_copied, todo.copy))
        todo.unchanged += sum(copied)
        todo.copy = [one for one, done in zip(todo.copy, copied, strict=True) if not done]
        return todo

    def _pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        pages: Iterator[dict[str, Any]] = self.s3.get_paginator("list_object_versions").paginate(
            Bucket=self.name, Prefix=prefix
        )
        return pages

    def _is_copied(self, wanted: Copy) -> bool:
        """Whether what is there now is a copy of that version."""
        if not wanted.is_same_size:
            return False
        with attempt(f"look at {wanted.key} in {self.name}", permission="s3:GetObject on it"):
            now = self.s3.head_object(aws_retry=True, Bucket=self.name, Key=wanted.key)
        return bool(now["Metadata"].get(_COPIED_FROM) == wanted.version)

    def carry_out(self, todo: Plan) -> None:
        self._delete([{"Key": key, "VersionId": version} for key, version in todo.unmark])
        self._delete([{"Key": key} for key in todo.newer])
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._copy, todo.copy))

    def _delete(self, entries: list[dict[str, str]]) -> None:
        """Delete markers, or by them."""
        for first in range(0, len(entries), _AT_MOST):
            some = entries[first : first + _AT_MOST]
            with attempt(
                f"restore or hide objects of {self.name}", permission="s3:DeleteObjectVersion, s3:DeleteObject on them"
            ):
                answer = self.s3.delete_objects(
                    aws_retry=True, Bucket=self.name, Delete={"Objects": some, "Quiet": True}
                )
            for error in answer.get("Errors", []):
                raise RefusedError(f"{error['Key']} in {self.name} could not be restored or hidden: {error['Message']}")

    def _copy(self, wanted: Copy) -> None:
        source = {"Bucket": self.name, "Key": wanted.key, "VersionId": wanted.version}
        with attempt(
            f"bring {wanted.key} of {self.name} back",
            permission="s3:GetObjectVersion, s3:GetObjectVersionTagging, s3:PutObject and s3:PutObjectTagging on it",
        ):
            was = self.s3.head_object(aws_retry=True, **source)
            headers = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl")
            self.s3.copy(
                source,
                self.name,
                wanted.key,
                ExtraArgs={
                    **{name: was[name] for name in headers if name in was},
                    "Metadata": {**was["Metadata"], _COPIED_FROM: wanted.version},
                    "MetadataDirective": "REPLACE",
                },
                Config=TransferConfig(multipart_threshold=_LARGE),
            )


def _apart(prefixes: list[str]) -> list[str]:
    """Without those that are below another, so that nothing is listed twice."""
    wanted = sorted(set(prefixes))
    return [one for one in wanted if not any(one != other and one.startswith(other) for other in wanted)]


def roll_back(bucket: Bucket, given: dict[str, Any], now: datetime, *, check: bool) -> dict[str, Any]:
    at = moment(given["to"], now)
    bucket.refuse_what_is_forgotten(at, now, given["prefixes"], given["exclude"])
    todo = bucket.plan(at, given["prefixes"], given["exclude"])
    kept = 0
    if given["newer"] == "keep":
        kept, todo.newer = len(todo.newer), []
    if not check:
        bucket.carry_out(todo)
    return {
        "changed": bool(todo.unmark or todo.copy or todo.newer),
        "undeleted": todo.restored_by_unmarking,
        "copied": len(todo.copy),
        "hidden": len(todo.newer),
        "kept": kept,
        "unchanged": todo.unchanged,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    try:
        bucket = Bucket(module.client("s3", retry_decorator=retry), module.params["bucket"])
        module.exit_json(**roll_back(bucket, module.params, datetime.now(UTC), check=module.check_mode))
    except RefusedError as reason:
        module.fail_json(msg=str(reason))


if __name__ == "__main__":
    main()
