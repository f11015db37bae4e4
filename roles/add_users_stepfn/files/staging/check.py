# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at an upload before anything is done with it."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

from staging.failures import quietly
from staging.lines import Contract, Problem, lines_of, problems
from staging.uploads import Upload

# As many as a person can use, and far from the 256 KiB that an execution may pass on.
_TOLD = 100


@quietly
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    upload = Upload.of(event)
    contract = Contract.of(json.loads(os.environ["CONTRACT"]))
    if upload.size > contract.max_bytes:  # and is not even fetched
        found, count = [Problem(0, f"the file is larger than {contract.max_bytes} bytes")], 0
    else:
        s3: Any = boto3.client("s3")
        answer = s3.get_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
        content = answer["Body"].read(contract.max_bytes + 1)
        found = problems(content, contract)
        count = len(lines_of(content)) if contract.has_lines else 0
    return {
        "valid": not found,
        "lines": count,
        "problems": [{"line": problem.line, "reason": problem.reason} for problem in found[:_TOLD]],
        "problem_count": len(found),
    }
