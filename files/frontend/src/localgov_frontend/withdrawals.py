# SPDX-License-Identifier: GPL-3.0-or-later
"""A person takes a submission back: a request that the pipeline carries out, and that tells for good who asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from localgov_frontend.sessions import Session
from localgov_frontend.submissions import Submission

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The request is there already, or is being written in the same moment.
_ASKED_BEFORE = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


def ask_for_withdrawal(s3: S3Client, bucket: str, submission: Submission, session: Session | None) -> None:
    """Whoever asks again changes nothing: the first request is the one on record."""
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = json.dumps({"who": _who(session), "when": when}).encode()
    try:
        s3.put_object(
            Bucket=bucket,
            Key=submission.withdrawal_key,
            Body=body,
            ContentType="application/json",
            IfNoneMatch="*",
        )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in _ASKED_BEFORE:
            raise


def _who(session: Session | None) -> str:
    """With the user pool's own name of the person: two people may have the same."""
    return f"{session.name} ({session.subject})" if session else "not known, as nobody signs in"
