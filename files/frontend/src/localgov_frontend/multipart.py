# SPDX-License-Identifier: GPL-3.0-or-later
"""A large file in parts: what each part must be, and the calls to S3 that begin, look through and end the upload.

S3 puts the parts together. Nothing of the object is to be seen before that, so whoever watches for uploads sees each
file once and whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from localgov_frontend.datasets import FileKind
from localgov_frontend.submissions import UPLOAD_LIFETIME, Submission

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# S3 takes 10,000 parts, each but the last of at least 5 MiB: of this size, far more than the largest upload needs.
PART_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """`size` in bytes is what the browser declared; every part is signed for its share of it."""

    submission: Submission
    kind: FileKind
    upload_id: str
    size: int

    @property
    def key(self) -> str:
        return self.submission.upload_key(self.kind)

    @property
    def numbers(self) -> range:
        return range(1, -(-self.size // PART_BYTES) + 1)

    def bytes_of(self, number: int) -> int:
        return min(PART_BYTES, self.size - (number - 1) * PART_BYTES)


@dataclass(frozen=True)
class Part:
    number: int
    size: int
    etag: str
    sha256: str


def begin_upload(s3: S3Client, bucket: str, submission: Submission, kind: FileKind, size: int) -> Upload:
    answer = s3.create_multipart_upload(
        Bucket=bucket, Key=submission.upload_key(kind), ContentType=kind.content_type, ChecksumAlgorithm="SHA256"
    )
    return Upload(submission, kind, answer["UploadId"], size)


def presign_part(s3: S3Client, bucket: str, upload: Upload, number: int, sha256: str) -> str:
    """A request that may send exactly the bytes with this checksum (base64), as this part."""
    return s3.generate_presigned_url(
        "upload_part",
        Params={
            "Bucket": bucket,
            "Key": upload.key,
            "UploadId": upload.upload_id,
            "PartNumber": number,
            "ContentLength": upload.bytes_of(number),
            "ChecksumSHA256": sha256,
        },
        ExpiresIn=int(UPLOAD_LIFETIME.total_seconds()),
    )


def list_parts(s3: S3Client, bucket: str, upload: Upload) -> list[Part]:
    """The parts that have arrived and are of the right size."""
    pages = s3.get_paginator("list_parts").paginate(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)
    found = (
        Part(entry["PartNumber"], entry["Size"], entry["ETag"], entry.get("ChecksumSHA256", ""))
        for page in pages
        for entry in page.get("Parts", [])
    )
    return [part for part in found if part.number in upload.numbers and part.size == upload.bytes_of(part.number)]


def missing(upload: Upload, parts: Iterable[Part]) -> list[int]:
    return sorted(set(upload.numbers) - {part.number for part in parts})


def complete_upload(s3: S3Client, bucket: str, upload: Upload, parts: Iterable[Part]) -> str | None:
    """Put the parts together; the version that this made. S3 counts the size again, and replaces no object."""
    listed: list[CompletedPartTypeDef] = [
        {"PartNumber": part.number, "ETag": part.etag, "ChecksumSHA256": part.sha256} for part in parts
    ]
    answer = s3.complete_multipart_upload(
        Bucket=bucket,
        Key=upload.key,
        UploadId=upload.upload_id,
        MultipartUpload={"Parts": listed},
        MpuObjectSize=upload.size,
        IfNoneMatch="*",
    )
    return answer.get("VersionId")


def abort_upload(s3: S3Client, bucket: str, upload: Upload) -> None:
    s3.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload.upload_id)
