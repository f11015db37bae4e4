#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let an S3 bucket tell EventBridge of what happens to its objects."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_event_announcements
short_description: Let an S3 bucket tell EventBridge of what happens to its objects
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Switches the delivery of a bucket's events to EventBridge on or off. Which of them reach whom is said by rules of
    EventBridge, of which this module knows nothing.
  - Other notifications of the bucket, to queues, topics and functions, stay as they are.
options:
  state:
    description:
      - Whether the bucket tells EventBridge.
    type: str
    choices: [present, absent]
    default: present
  bucket:
    description:
      - The name of the bucket.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Predicts the change. A bucket that is not there counts as one that will be.
  diff_mode:
    support: full
    description: Shows whether EventBridge is told before and after.
requirements:
  - python >= 3.11
notes:
  - Permissions that the task's identity needs - C(s3:GetBucketNotification) and C(s3:PutBucketNotification) on the
    bucket.
  - AWS needs some minutes until the first event is delivered.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: community.aws.s3_bucket_notification
"""

EXAMPLES = r"""
- name: Let the data store tell of uploads
  localgov.platform.s3_event_announcements:
    bucket: localgov-012345670123-data-store
"""

RETURN = r"""
announced:
  description: Whether the bucket tells EventBridge, or would in check mode.
  returned: success
  type: bool
"""

from contextlib import suppress
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import NotThereError, attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "bucket": {"type": "str", "required": True},
}
_TOLD = "EventBridgeConfiguration"


def announce(s3: Client, bucket: str, wanted: bool, *, check: bool) -> dict[str, Any]:
    """S3 replaces the whole configuration at once, so what is there is sent back with it."""
    now = _configuration(s3, bucket, check=check)
    told = _TOLD in now
    if told != wanted and not check:
        others = {key: value for key, value in now.items() if key != _TOLD}
        new = {**others, **({_TOLD: {}} if wanted else {})}
        with attempt(f"change the notifications of the bucket {bucket}", permission="s3:PutBucketNotification on it"):
            s3.put_bucket_notification_configuration(aws_retry=True, Bucket=bucket, NotificationConfiguration=new)
    return {
        "changed": told != wanted,
        "announced": wanted,
        "diff": {"before": {"announced": told}, "after": {"announced": wanted}},
    }


def _configuration(s3: Client, bucket: str, *, check: bool) -> dict[str, Any]:
    try:
        with attempt(f"look at the notifications of the bucket {bucket}", permission="s3:GetBucketNotification on it"):
            found: dict[str, Any] = s3.get_bucket_notification_configuration(aws_retry=True, Bucket=bucket)
    except NotThereError:
        if check:
            return {}
        raise
    return {key: value for key, value in found.items() if key != "ResponseMetadata"}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    try:
        s3 = module.client("s3", retry_decorator=retry)
        module.exit_json(**announce(s3, given["bucket"], given["state"] == "present", check=module.check_mode))
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    except ClientError as error:
        module.fail_json_aws(error, msg=f"Cannot change the notifications of {given['bucket']}")


if __name__ == "__main__":
    main()
