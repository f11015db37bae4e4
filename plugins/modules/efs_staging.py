#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand a file to an account's staging workflow and wait for its receipt."""

from __future__ import annotations

DOCUMENTATION = r"""
module: efs_staging
short_description: Hand a file to a staging workflow and wait for its receipt
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Uploads a local file, or content, to the bucket of a workflow that the role C(add_users_stepfn) keeps, waits until
    the workflow has ended, and returns the receipt, which tells by line numbers what became of each line.
  - The file is looked at first, with the rules that the workflow has. One with mistakes is not uploaded at all.
  - The upload is named by what the file holds, so a file that was processed successfully is not handed over again.
  - Nothing of the content is returned, logged or shown.
options:
  src:
    description:
      - The file, on the control node. Either this or O(content).
    type: path
  content:
    description:
      - What the file would hold.
    type: str
  bucket:
    description:
      - The bucket for uploads.
    type: str
    required: true
  receipt_bucket:
    description:
      - The bucket of the receipts. By default O(bucket) with C(-receipts) after it, as the role calls it.
    type: str
  target:
    description:
      - The operative's folder, below which their role may upload.
    type: str
    required: true
  contract:
    description:
      - What the file must be like, as the role was told.
    type: dict
    suboptions:
      max_bytes:
        description: The largest file that is taken.
        type: int
        default: 50000000
      max_lines:
        description: The most lines that are taken.
        type: int
        default: 10000
      required:
        description: Fields that each line must have. Without any, the file need not be lines of JSON.
        type: list
        elements: str
        default: [name, password, emailAddress, role]
      optional:
        description: Fields that a line may have.
        type: list
        elements: str
        default: [supplierId]
      unique:
        description: Fields of which no two lines may have the same value.
        type: list
        elements: str
        default: [emailAddress]
      allowed:
        description: The values that a field may have, as a mapping of fields to lists.
        type: dict
        default: {}
  wait:
    description:
      - Whether to wait for the receipt.
    type: bool
    default: true
  timeout:
    description:
      - How many seconds to wait. The workflow goes on when they are over.
      - No task outlasts its session, which is an hour for a role that was assumed from another. When the session ends
        first the module says so, and the workflow goes on too.
    type: int
    default: 14400
  force:
    description:
      - Hand the file over even if it was processed successfully before.
    type: bool
    default: false
attributes:
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
    details: Nothing of the file's content is shown.
notes:
  - The caller needs C(s3:PutObject) below C(uploads/<target>/) and C(s3:GetObject) below C(receipts/<target>/), as
    the role C(<prefix>-<task>-operative-<target>) has them.
extends_documentation_fragment:
  - localgov.platform.prediction
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - module: localgov.platform.efs_staging_info
"""

EXAMPLES = r"""
- name: Add users
  localgov.platform.efs_staging:
    src: users.jsonl
    bucket: localgov-012345670123-add-users
    target: alice
  register: added

- name: Say how many
  ansible.builtin.debug:
    msg: "{{ added.receipt.counts }}"
  when: added.receipt is not none
"""

RETURN = r"""
receipt:
  description: The receipt. Null when there is none yet, in check mode or without O(wait).
  returned: when nothing is wrong with the file
  type: dict
  sample:
    status: succeeded
    counts: {lines: 1, created: 1, exists: 0, failed: 0, refused: 0, unknown: 0}
    lines: [{line: 1, result: created}]
receipt_key:
  description: Where the receipt lies, or will lie.
  returned: when nothing is wrong with the file
  type: str
  sample: receipts/alice/3f1c9a20b7d44f0e.jsonl.json
upload:
  description: Where the file was uploaded to, with C(bucket), C(key) and C(version). Null when it was not.
  returned: when nothing is wrong with the file
  type: dict
problems:
  description: What is wrong with the file, by C(line) and C(reason); line 0 stands for the file as a whole.
  returned: when something is
  type: list
  elements: dict
failed_lines:
  description: The lines that were not added, by C(line), C(result) and C(reason).
  returned: when the workflow failed
  type: list
  elements: dict
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.localgov.platform.plugins.module_utils import _staged_lines as lines

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError
    from botocore.waiter import WaiterModel, create_waiter_with_client

_POLL = 2  # seconds
_SHOWN = 20  # lines in a message
# Without a right to list, S3 calls refused what is missing.
_NOT_THERE = ("403", "404", "AccessDenied", "NoSuchKey")
# A session that is over; an answer to HEAD has no more than its number.
_NO_SESSION = ("400", "ExpiredToken")

CONTRACT: dict[str, Any] = {
    "max_bytes": {"type": "int", "default": 50_000_000},
    "max_lines": {"type": "int", "default": 10_000},
    "required": {"type": "list", "elements": "str", "default": ["name", "password", "emailAddress", "role"]},
    "optional": {"type": "list", "elements": "str", "default": ["supplierId"]},
    "unique": {"type": "list", "elements": "str", "default": ["emailAddress"]},
    "allowed": {"type": "dict", "default": {}},
}
ARGUMENTS: dict[str, Any] = {
    "src": {"type": "path"},
    "content": {"type": "str", "no_log": True},
    "bucket": {"type": "str", "required": True},
    "receipt_bucket": {"type": "str"},
    "target": {"type": "str", "required": True},
    "contract": {"type": "dict", "options": CONTRACT, "apply_defaults": True},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 14400},
    "force": {"type": "bool", "default": False},
}


def name_of(content: bytes, bucket: str) -> str:
    """A name that the same content always gets in this bucket. Slow to compute, as passwords can be guessed."""
    return hashlib.scrypt(content, salt=bucket.encode(), n=2**14, r=8, p=1, dklen=16).hex()


def execution_of(bucket: str, key: str, version: str) -> str:
    """The name of the execution that is this version's own, as the workflow makes it."""
    return hashlib.sha256("\n".join((bucket, key, version)).encode()).hexdigest()


def read_receipt(client: Any, bucket: str, key: str) -> dict[str, Any] | None:  # noqa: ANN401 - a boto3 client
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as reason:
        if reason.response["Error"]["Code"] in _NOT_THERE:
            return None
        raise
    found: dict[str, Any] = json.loads(body)
    return found


def await_receipt(client: Any, bucket: str, key: str, execution: str, timeout: int) -> None:  # noqa: ANN401
    """Until the receipt is that of this execution."""
    missing = [{"matcher": "error", "expected": code, "state": "retry"} for code in _NOT_THERE]
    ours = {"matcher": "path", "argument": "Metadata.execution", "expected": execution, "state": "success"}
    attempts = max(1, timeout // _POLL)
    written = {"operation": "HeadObject", "delay": _POLL, "maxAttempts": attempts, "acceptors": [ours, *missing]}
    model = WaiterModel({"version": 2, "waiters": {"ReceiptWritten": written}})
    create_waiter_with_client("ReceiptWritten", model, client).wait(Bucket=bucket, Key=key)


def failed_lines(receipt: dict[str, Any]) -> list[dict[str, Any]]:
    return [line for line in receipt["lines"] if line["result"] not in ("created", "exists")]


def told(entries: list[dict[str, Any]]) -> str:
    """The first lines with their reasons, for a message."""
    words = [f"line {entry['line']} {entry.get('reason') or entry.get('result')}" for entry in entries[:_SHOWN]]
    more = [f"and {len(entries) - _SHOWN} more"] if len(entries) > _SHOWN else []
    return "; ".join(words + more).replace("line 0 ", "")


def judge(module: AnsibleAWSModule, receipt: dict[str, Any], result: dict[str, Any]) -> None:
    """Fail when the workflow did."""
    if receipt["status"] == "succeeded":
        module.exit_json(**result, receipt=receipt)
    failure, failed = receipt["failure"], failed_lines(receipt)
    first = receipt["refused"]["first"] or failed
    sentences = [
        f"The workflow of {module.params['bucket']} failed in {failure['step']} with {failure['error']}: "
        f"{failure['reason']}.",
        f"{told(first)}." if first else "",
        receipt.get("next", ""),
    ]
    module.fail_json(
        msg=" ".join(filter(None, sentences)),
        **result,
        receipt=receipt,
        failed_lines=failed,
    )


def hand_over(module: AnsibleAWSModule, content: bytes) -> None:
    given, client = module.params, module.client("s3")
    bucket, receipts = given["bucket"], given["receipt_bucket"] or f"{given['bucket']}-receipts"
    name = f"{given['target']}/{name_of(content, bucket)}.jsonl"
    result: dict[str, Any] = {"changed": True, "receipt_key": f"receipts/{name}.json", "upload": None}
    before = read_receipt(client, receipts, result["receipt_key"])
    if before is not None and before["status"] == "succeeded" and not given["force"]:
        module.exit_json(**{**result, "changed": False}, receipt=before)
    if module.check_mode:
        module.exit_json(**result, receipt=None)
    answer = client.put_object(Bucket=bucket, Key=f"uploads/{name}", Body=content)
    result["upload"] = {"bucket": bucket, "key": f"uploads/{name}", "version": answer["VersionId"]}
    if not given["wait"]:
        module.exit_json(**result, receipt=None)
    follow(module, client, receipts, result)


def follow(module: AnsibleAWSModule, client: Any, receipts: str, result: dict[str, Any]) -> None:  # noqa: ANN401
    """Wait for the receipt, and end as it says."""
    key, timeout = result["receipt_key"], module.params["timeout"]
    receipt, when = None, f"after {timeout} seconds"
    try:
        await_receipt(client, receipts, key, execution_of(**result["upload"]), timeout)
        receipt = read_receipt(client, receipts, key)
    except WaiterError as reason:
        if reason.last_response.get("Error", {}).get("Code") in _NO_SESSION:
            when = "at the end of this task's session, which cannot be renewed within the task"
    if receipt is None:
        module.fail_json(
            msg=(
                f"There is no receipt {key} in {receipts} {when}. The workflow goes on, and removes the file by "
                "itself; run this again later to see what became of it."
            ),
            **result,
        )
    else:
        judge(module, receipt, result)


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec=ARGUMENTS,
        supports_check_mode=True,
        mutually_exclusive=[("src", "content")],
        required_one_of=[("src", "content")],
    )
    given = module.params
    try:
        content = Path(given["src"]).read_bytes() if given["src"] else given["content"].encode()
    except OSError as reason:
        module.fail_json(msg=f"Cannot read {given['src']}: {reason.strerror}.")
    found = [asdict(problem) for problem in lines.problems(content, lines.Contract.of(given["contract"]))]
    if found:
        what = given["src"] or "The content"
        module.fail_json(msg=f"{what} was not handed over: {told(found)}.", changed=False, problems=found)
    try:
        hand_over(module, content)
    except (ClientError, BotoCoreError) as reason:
        module.fail_json_aws(
            reason,
            msg=f"Cannot hand a file over to {given['bucket']} as {given['target']}; see the role add_users_stepfn",
        )


if __name__ == "__main__":
    main()
