#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have what was uploaded for a dataset and year processed now, and wait for the reports."""

from __future__ import annotations

DOCUMENTATION = r"""
module: submission_runs
short_description: Have uploads processed now, and wait for their reports
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Announces every upload of a dataset and year to the account's pipeline once more, each as a request of its own, so
    that it is processed although it was processed before. The pipeline queues the runs as any others.
  - Waits until each has a new report, and tells what it says. Nothing of a file is read, only of reports, which hold no
    value of one.
options:
  data_store:
    description:
      - The bucket with C(uploads/) and C(results/).
    type: str
    required: true
  queue:
    description:
      - The name of the queue that the pipeline drains.
    type: str
    required: true
  dataset:
    description:
      - The dataset, such as V(ssda903).
    type: str
    required: true
  year:
    description:
      - The year.
    type: int
    required: true
  submissions:
    description:
      - Only these submissions. By default all that there are.
    type: list
    elements: str
    default: []
  wait_timeout:
    description:
      - The seconds that all reports together may take.
    type: int
    default: 3600
attributes:
  check_mode:
    support: full
    description: Tells what would be processed.
  diff_mode:
    support: none
    description: What is processed is named in the result.
requirements:
  - python >= 3.11
notes:
  - Permissions that the task's identity needs - C(s3:ListBucketVersions) on the bucket, C(s3:GetObject) on
    C(results/*/report.json) in it, C(sqs:GetQueueUrl) and C(sqs:SendMessage) on the queue.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Process what there is of a year once more
  localgov.platform.submission_runs:
    data_store: localgov-012345670123-data-store
    queue: localgov-uploads
    dataset: ssda903
    year: 2026
  register: processed

- name: Say what was rejected
  ansible.builtin.debug:
    msg: "{{ processed.submissions | selectattr('state', 'equalto', 'rejected') | map(attribute='submission') }}"
"""

RETURN = r"""
submissions:
  description: What became of each upload.
  returned: success
  type: list
  elements: dict
  contains:
    submission:
      description: Its identifier.
      type: str
    state:
      description: >-
        What its report says, such as V(accepted) or V(rejected); V(unfinished) when there was none in time, V(to be
        processed) in check mode.
      type: str
    errors:
      description: How many errors its report counts.
      type: int
    finished_at:
      description: When it was processed.
      type: str
"""

import json
import re
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import attempt
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.module_utils._submissions import (
    Submissions,
    Upload,
    wait_for_reports,
)

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "data_store": {"type": "str", "required": True},
    "queue": {"type": "str", "required": True},
    "dataset": {"type": "str", "required": True},
    "year": {"type": "int", "required": True},
    "submissions": {"type": "list", "elements": "str", "default": []},
    "wait_timeout": {"type": "int", "default": 3600},
}
_DATASET = re.compile(r"[a-z0-9_]{1,40}")
_MESSAGES_PER_CALL = 10


class Pipeline(Submissions):
    """Of one account, with the queue by which it learns of uploads."""

    def __init__(self, s3: Client, sqs: Client, data_store: str, queue: str) -> None:
        super().__init__(s3, data_store)
        self.sqs, self.queue = sqs, queue

    def request(self, uploads: list[Upload]) -> None:
        """Announce them as S3 does, and say besides that it is a request: that makes another run key."""
        requested = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        entries = [
            {"Id": str(number), "MessageBody": message(self.data_store, upload, requested)}
            for number, upload in enumerate(uploads)
        ]
        needed = f"sqs:GetQueueUrl and sqs:SendMessage on {self.queue}"
        with attempt(f"announce uploads to the queue {self.queue}", permission=needed):
            url = self.sqs.get_queue_url(aws_retry=True, QueueName=self.queue)["QueueUrl"]
            for first in range(0, len(entries), _MESSAGES_PER_CALL):
                batch = entries[first : first + _MESSAGES_PER_CALL]
                answer = self.sqs.send_message_batch(aws_retry=True, QueueUrl=url, Entries=batch)
                if failed := answer.get("Failed"):
                    reason = f"{failed[0]['Code']}: {failed[0].get('Message', '')}"
                    raise RefusedError(f"The queue {self.queue} did not take every request: {reason}. Run this again.")


def message(bucket: str, upload: Upload, requested: str) -> str:
    detail = {
        "bucket": {"name": bucket},
        "object": {"key": upload.key, "version-id": upload.version},
        "requested": requested,
    }
    return json.dumps({"source": "localgov.platform", "detail-type": "Run Requested", "detail": detail})


def uploads_of(pipeline: Pipeline, scope: str, only: list[str]) -> list[Upload]:
    found = [Upload(*entry) for entry in sorted(pipeline.latest(f"uploads/{scope}").items())]
    if missing := sorted(set(only) - {upload.submission for upload in found}):
        raise RefusedError(f"uploads/{scope} of {pipeline.data_store} has no submission {', '.join(missing)}.")
    return [upload for upload in found if not only or upload.submission in only]


def process(pipeline: Pipeline, given: dict[str, Any], *, check: bool) -> dict[str, Any]:
    if not _DATASET.fullmatch(given["dataset"]):
        raise RefusedError(f"{given['dataset']!r} names no dataset: use small letters, digits and underscores.")
    scope = f"{given['dataset']}/{given['year']}/"
    uploads = uploads_of(pipeline, scope, given["submissions"])
    # A submission that came in two forms has one report.
    names = sorted({upload.submission for upload in uploads})
    if check or not uploads:
        waiting = [outcome(name, {"state": "to be processed"}) for name in names]
        return {"changed": bool(uploads), "submissions": waiting}
    before = pipeline.reports(scope)
    pipeline.request(uploads)
    finished = wait_for_reports(pipeline, scope, before, names, given["wait_timeout"])
    reports = {name: pipeline.report(scope, name) for name in names if name in finished}
    told = [outcome(name, reports.get(name, {"state": "unfinished"})) for name in names]
    return {"changed": True, "submissions": told}


def outcome(submission: str, report: dict[str, Any]) -> dict[str, Any]:
    return {
        "submission": submission,
        "state": report["state"],
        "errors": int((report.get("errors") or {}).get("total", 0)),
        "finished_at": report.get("finished_at") or "",
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    try:
        s3, sqs = (module.client(service, retry_decorator=retry) for service in ("s3", "sqs"))
        pipeline = Pipeline(s3, sqs, given["data_store"], given["queue"])
        module.exit_json(**process(pipeline, given, check=module.check_mode))
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    except ClientError as error:
        module.fail_json_aws(error, msg=f"Cannot have {given['dataset']} {given['year']} processed")


if __name__ == "__main__":
    main()
