# SPDX-License-Identifier: GPL-3.0-or-later
"""One submission: its name, where its parts lie in the data store, and the signed request that may write it."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from localgov_frontend.datasets import DATASETS, FileKind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOAD_LIFETIME = timedelta(minutes=15)
DOWNLOAD_LIFETIME = timedelta(minutes=5)
_TIME_FORMAT = "%Y%m%dt%H%M%S"
_IDENTIFIER = re.compile(r"(?P<time>[0-9]{8}t[0-9]{6})-[0-9a-f]{16}")
_YEAR = re.compile(r"[0-9]{4}")


@dataclass(frozen=True)
class Submission:
    dataset: str
    year: int
    identifier: str

    @property
    def path(self) -> str:
        return f"{self.dataset}/{self.year}/{self.identifier}"

    def upload_key(self, kind: FileKind) -> str:
        return f"uploads/{self.path}.{kind.ending}"

    @property
    def report_key(self) -> str:
        return f"results/{self.path}/report.json"

    @property
    def errors_key(self) -> str:
        return f"results/{self.path}/errors.csv"

    @property
    def withdrawal_key(self) -> str:
        return f"withdrawals/{self.path}.json"

    @property
    def started_at(self) -> datetime:
        time, _, _ = self.identifier.partition("-")
        return datetime.strptime(time, _TIME_FORMAT).replace(tzinfo=UTC)


@dataclass(frozen=True)
class PresignedUpload:
    url: str
    fields: dict[str, str]

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


def time_part(moment: datetime) -> str:
    """The start of an identifier: sorting identifiers as text sorts submissions by time."""
    return moment.astimezone(UTC).strftime(_TIME_FORMAT)


def new_submission(dataset: str, year: int, now: datetime) -> Submission:
    return Submission(dataset, year, f"{time_part(now)}-{secrets.token_hex(8)}")


def find_submission(dataset: str, year: str, identifier: str) -> Submission | None:
    """The submission that parts of an address or key name, or None where no submission can have that name."""
    match = _IDENTIFIER.fullmatch(identifier)
    if dataset not in DATASETS or match is None or not _YEAR.fullmatch(year):
        return None
    if int(year) not in DATASETS[dataset].years:
        return None
    try:
        datetime.strptime(match["time"], _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Submission(dataset, int(year), identifier)


def presign_upload(
    s3: S3Client, bucket: str, submission: Submission, kind: FileKind, max_bytes: int, redirect: str | None
) -> PresignedUpload:
    """A request that may write this one object, once chosen, and nothing else.

    With `redirect` a plain HTML form comes back to that address; without, S3 answers 201 to a script.
    """
    answer = {"success_action_redirect": redirect} if redirect else {"success_action_status": "201"}
    fields = {"Content-Type": kind.content_type, **answer}
    post = s3.generate_presigned_post(
        bucket,
        submission.upload_key(kind),
        Fields=dict(fields),
        Conditions=[*({name: value} for name, value in fields.items()), ["content-length-range", 1, max_bytes]],
        ExpiresIn=int(UPLOAD_LIFETIME.total_seconds()),
    )
    return PresignedUpload(url=post["url"], fields=post["fields"])


def presign_errors(s3: S3Client, bucket: str, submission: Submission) -> str:
    """An address from which the list of errors can be downloaded for a few minutes."""
    return s3.generate_presigned_url(
        "get_object",
        Params={
            "Bucket": bucket,
            "Key": submission.errors_key,
            "ResponseContentDisposition": f'attachment; filename="errors-{submission.identifier}.csv"',
        },
        ExpiresIn=int(DOWNLOAD_LIFETIME.total_seconds()),
    )
