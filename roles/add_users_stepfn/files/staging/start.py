# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the execution of an upload that EventBridge tells of: one for each version of an object."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

from staging.failures import quietly
from staging.uploads import Upload


@quietly
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    found = event["detail"]["object"]
    upload = Upload(event["detail"]["bucket"]["name"], found["key"], found["version-id"], int(found.get("size") or 0))
    workflow: Any = boto3.client("stepfunctions")
    # Nothing of the event itself: a redelivered one has another id, and the input must be the same then.
    given = {"bucket": upload.bucket, "key": upload.key, "version": upload.version, "size": upload.size}
    try:
        workflow.start_execution(
            stateMachineArn=os.environ["WORKFLOW"], name=upload.execution, input=json.dumps(given, sort_keys=True)
        )
    except workflow.exceptions.ExecutionAlreadyExists:
        return {"execution": upload.execution, "started": False}
    return {"execution": upload.execution, "started": True}
