# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a submission has come: what of it is there in the data store says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from localgov_frontend.history import History, read_history
from localgov_frontend.results import Report, State, read_report
from localgov_frontend.submissions import UPLOAD_LIFETIME, Submission

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The pipeline's stages in their order, as a person would call what they do.
STAGES = {
    "uploaded": "Received",
    "parsed": "Tables read",
    "cleaned": "Every cell checked",
    "checked": "Rows, tables and years compared",
    "pseudonymised": "What may be shared made ready",
    "shared": "Shared",
}
# What is current is decided seconds after a report; later than this nobody waits for it.
_SETTLED_AFTER = timedelta(minutes=5)


@dataclass(frozen=True)
class Life:
    """`state`: a report's, or before it `waiting` (`overdue`, when the file can no longer arrive; `delayed`, when it
    did long ago), or between an accepted report and the decision of what is shared `sharing`, or `withdrawing` until
    that is done. `done_at`: when the last stage came to its end that is done.
    """

    state: str
    done: str | None
    done_at: datetime | None
    report: Report | None
    history: History
    withdrawal_asked_at: datetime | None

    @property
    def goes_on(self) -> bool:
        return self.state in {"waiting", "overdue", "delayed", "sharing", "withdrawing"}


def live(s3: S3Client, bucket: str, submission: Submission, sent_at: datetime | None) -> Life:
    """`sent_at` is when a large file was complete, if that is known."""
    prefix = f"results/{submission.path}/"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    written = {entry["Key"].removeprefix(prefix): entry["LastModified"] for entry in listed}
    asked_at = withdrawal_asked_at(s3, bucket, submission)
    if "report.json" not in written:
        done = next((stage for stage in reversed(STAGES) if f"done/{stage}" in written), None)
        state = "withdrawing" if asked_at else _before_report(submission, sent_at, started=done is not None)
        return Life(state, done, written.get(f"done/{done}"), None, History({}), asked_at)
    report = read_report(s3, bucket, submission)
    history = read_history(s3, bucket, submission.dataset, submission.year)
    return Life(_after_report(submission, report, history, asked_at), None, None, report, history, asked_at)


def withdrawal_asked_at(s3: S3Client, bucket: str, submission: Submission) -> datetime | None:
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=submission.withdrawal_key).get("Contents", [])
    return listed[0]["LastModified"] if listed else None


def _before_report(submission: Submission, sent_at: datetime | None, *, started: bool) -> str:
    # Once the signed request has expired, a file that was not sent can no longer arrive, and one that was has a report.
    since = max(submission.started_at, sent_at or submission.started_at)
    if datetime.now(UTC) - since <= UPLOAD_LIFETIME:
        return "waiting"
    return "delayed" if started else "overdue"


def _after_report(submission: Submission, report: Report, history: History, asked_at: datetime | None) -> str:
    if asked_at and report.state is not State.WITHDRAWN:
        return "withdrawing"
    is_new = datetime.now(UTC) - report.finished_at < _SETTLED_AFTER
    if report.accepted and is_new and not history.knows(submission, report.state):
        return "sharing"
    return report.state
