# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at an upload before anything is done with it."""

from __future__ import annotations

import json
import os
from typing import Any

import boto3

from staging.lines import Contract, Problem, lines_of, problems
from staging.uploads import Upload

Findings = dict[str, Any]  # how many `lines`, and of each of the `problems` its `line` and `reason`


def findings(upload: Upload) -> Findings:
    contract = Contract.of(json.loads(os.environ["CONTRACT"]))
    if upload.size > contract.max_bytes:  # and is not even fetched
        return _told(0, [Problem(0, f"the file is larger than {contract.max_bytes} bytes")])
    s3: Any = boto3.client("s3")
    answer = s3.get_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    content = answer["Body"].read(contract.max_bytes + 1)
    return _told(len(lines_of(content)) if contract.has_lines else 0, problems(content, contract))


def _told(lines: int, found: list[Problem]) -> Findings:
    return {"lines": lines, "problems": [{"line": problem.line, "reason": problem.reason} for problem in found]}
