#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell who read which object of a bucket, from CloudTrail's log files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: access_log_info
short_description: Tell who read which Amazon S3 object, from CloudTrail's log files
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Reads the log files that a CloudTrail trail has delivered into a bucket, and tells the requests on S3 objects of a
    period, the latest one first.
  - What the trail does not record is not told, nor what AWS has not delivered yet, which takes about 15 minutes.
options:
  bucket:
    description:
      - The bucket of the log files.
    type: str
    required: true
  account_id:
    description:
      - The account whose trail it is, twelve digits in quotes. By default the caller's own.
    type: str
  key_prefix:
    description:
      - What the trail's keys have before C(AWSLogs), if anything.
    type: str
    default: ""
  resource_bucket:
    description:
      - Tell only requests on objects of this bucket.
    type: str
  principal_account:
    description:
      - Tell only requests of principals of this account.
    type: str
  known_principals:
    description:
      - ARNs of roles and users by their unique ids, such as V(AROAQRSTUVWXYZEXAMPLE). To the owner of a bucket,
        CloudTrail may name a caller from another account by this id alone.
    type: dict
    default: {}
notes:
  - The caller needs C(s3:ListBucket) on the bucket of the log files and C(s3:GetObject) on its objects.
  - Files and records that cannot be read are left out, with a warning for each; RV(unreadable) lists them.
extends_documentation_fragment:
  - localgov.platform.period
  - localgov.platform.information
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.access_recording_info
  - module: amazon.aws.cloudtrail_info
"""

EXAMPLES = r"""
- name: Ask who of the organisation read what in November
  localgov.platform.access_log_info:
    bucket: localgov-012345670123-audit
    resource_bucket: localgov-012345670123-shared
    principal_account: "200000000001"
    since: "2026-11-01"
    until: "2026-11-30"
  register: november

- name: Show the files
  ansible.builtin.debug:
    msg: "{{ november.records | map(attribute='key') | unique }}"
"""

RETURN = r"""
records:
  description: The requests of the period, the latest one first.
  returned: always
  type: list
  elements: dict
  contains:
    time:
      description: When, in UTC.
      type: str
      sample: "2026-11-21T10:15:31Z"
    principal:
      description: The ARN of the role or user. Its unique id, where CloudTrail and O(known_principals) tell no more.
      type: str
      sample: arn:aws:iam::200000000001:role/localgov-run-task
    principal_id:
      description: The unique id of the role or user.
      type: str
      sample: AROAQRSTUVWXYZEXAMPLE
    principal_account:
      description: Its account, or V(anonymous).
      type: str
      sample: "200000000001"
    session:
      description: The session's name; of a task on ECS, the task's id.
      type: str
      sample: 0123456789abcdef0123456789abcdef
    action:
      description: The request, by its name in CloudTrail.
      type: str
      sample: GetObject
    bucket:
      description: The object's bucket.
      type: str
      sample: localgov-012345670123-shared
    key:
      description: The object's key; of a listing, the prefix.
      type: str
      sample: ssda903/2026/header/20261121t101500-6f1c9a20b7d44f0e.csv
    version_id:
      description: The version that was asked for, if one was.
      type: str
      sample: 3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY
    bytes:
      description: How many bytes were handed out, none with an error.
      type: int
      sample: 2048
    outcome:
      description: V(allowed), or the code of the error.
      type: str
      sample: allowed
    source_ip:
      description: Where the request came from.
      type: str
      sample: 192.0.2.10
    event_id:
      description: CloudTrail's id of the record.
      type: str
      sample: 999934cc-2076-48ca-bab0-2d8eb23428d9
since:
  description: The beginning of the period.
  returned: always
  type: str
  sample: "2026-11-01T00:00:00Z"
until:
  description: The end of the period, which is not part of it.
  returned: always
  type: str
  sample: "2026-12-01T00:00:00Z"
files:
  description: How many log files were read.
  returned: always
  type: int
  sample: 96
unreadable:
  description: What lies among the log files and could not be read, or not all of it.
  returned: always
  type: list
  elements: dict
  contains:
    key:
      description: The file.
      type: str
      sample: AWSLogs/012345670123/CloudTrail/eu-west-2/2026/11/21/notes.txt
    reason:
      description: Why it could not be read.
      type: str
      sample: its name is not that of a log file
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.localgov.platform.plugins.module_utils import _cloudtrail_logs as logs

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

ARGUMENTS: dict[str, Any] = {
    "bucket": {"type": "str", "required": True},
    "account_id": {"type": "str"},
    "key_prefix": {"type": "str", "default": "", "no_log": False},
    "since": {"type": "str", "required": True},
    "until": {"type": "str"},
    "resource_bucket": {"type": "str"},
    "principal_account": {"type": "str"},
    "known_principals": {"type": "dict", "default": {}},
}


def folder(key_prefix: str, account_id: str) -> str:
    """Where a trail's log files of all regions lie."""
    return "/".join(part for part in (key_prefix.strip("/"), "AWSLogs", account_id, "CloudTrail") if part) + "/"


def collect(client: Any, bucket: str, where: str, wanted: logs.Wanted) -> dict[str, Any]:  # noqa: ANN401 - a boto3 client
    """What the log files say. A record that AWS delivered twice is told once."""
    found: dict[str, dict[str, Any]] = {}
    unreadable: list[dict[str, str]] = []
    files = 0
    for key in logs.list_files(client, bucket, where, wanted.period):
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
            of_file, malformed = logs.accesses(logs.read_file(key, body), wanted)
        except logs.LogFileError as reason:
            unreadable.append({"key": key, "reason": str(reason)})
        else:
            files += 1
            found.update((access["event_id"], access) for access in of_file)
            unreadable += [{"key": key, "reason": reason} for reason in malformed]
    # Times are whole seconds; within one, the order of the log files is kept.
    records = sorted(reversed(found.values()), key=lambda access: access["time"], reverse=True)
    return {"records": records, "files": files, "unreadable": unreadable}


def refusal(bucket: str, account_id: str, code: str) -> str:
    if code == "NoSuchBucket":
        return (
            f"There is no bucket {bucket}, so account {account_id} keeps no audit. Set it up with the role "
            "localgov.platform.access_audit; only what is read afterwards can be told"
        )
    return (
        f"Cannot read the log files in {bucket} of account {account_id}. "
        "That needs s3:ListBucket on the bucket and s3:GetObject on its objects"
    )


def main() -> None:
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    try:
        period = logs.period(given["since"], given["until"], datetime.now(UTC))
    except logs.PeriodError as reason:
        module.fail_json(msg=str(reason))
    wanted = logs.Wanted(period, given["resource_bucket"], given["principal_account"], given["known_principals"])
    account_id = given["account_id"]
    try:
        account_id = account_id or module.client("sts").get_caller_identity()["Account"]
        found = collect(module.client("s3"), given["bucket"], folder(given["key_prefix"], account_id), wanted)
    except (ClientError, BotoCoreError) as reason:
        code = reason.response["Error"]["Code"] if isinstance(reason, ClientError) else ""
        module.fail_json_aws(reason, msg=refusal(given["bucket"], account_id or "unknown", code))
    for file in found["unreadable"]:
        module.warn(f"Not all of {file['key']} in {given['bucket']} could be read: {file['reason']}")
    since, until = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (period.since, period.until))
    module.exit_json(changed=False, since=since, until=until, **found)


if __name__ == "__main__":
    main()
