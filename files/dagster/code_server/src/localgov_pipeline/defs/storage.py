# SPDX-License-Identifier: GPL-3.0-or-later
"""The buckets, as a resource. No request is made, and no client built, before the first use."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import dagster as dg

from localgov_pipeline.lib.submissions import ObjectVersion

if TYPE_CHECKING:
    import polars as pl

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CLOSED = {
    "AccessDenied": "access is refused",
    "403": "access is refused",
    "AllAccessDisabled": "access is refused",
    "AccountProblem": "its account is suspended",
    "InvalidObjectState": "a file is archived",
    "NoSuchBucket": "the bucket does not exist",
}


class BucketClosedError(Exception):
    """The bucket's owner does not let us in, or has no such bucket."""


class Fetched(NamedTuple):
    content: bytes
    version_id: str


class Listed(NamedTuple):
    key: str
    etag: str
    last_modified: datetime


@cache
def aws_client(service: str) -> Any:  # noqa: ANN401
    """One client of a service for the life of the process: building one costs as much CPU as fifty requests.

    Straight from botocore: boto3's session loads what we have no use for, and every run would pay for it.
    """
    import botocore.session
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "max_attempts": 8})
    # ECS names the region in AWS_REGION, which botocore does not read.
    return botocore.session.get_session().create_client(
        service, region_name=os.environ.get("AWS_REGION"), config=config
    )


def bucket_of(location: str) -> str:
    bucket = location.removeprefix("s3://").rstrip("/")
    if not location.startswith("s3://") or not bucket or "/" in bucket:
        raise ValueError(f"The location {location!r} is not of the form s3://bucket.")
    return bucket


class Storage(dg.ConfigurableResource[None]):
    """Locations are `s3://bucket`. Encryption is left to each bucket's default."""

    data_store_location: str
    workspace_location: str = ""
    shared_location: str = ""
    member_shared_locations: str = "{}"

    @classmethod
    def from_environment(cls) -> Storage:
        """For sensors. Dagster would open its instance to hand them a resource, and the code server, in which they
        are evaluated, has no database."""
        names = {name: name.upper() for name in cls.model_fields if name.endswith("_location")}
        names["member_shared_locations"] = "MEMBER_SHARED_LOCATIONS"
        return cls(**{name: os.environ[variable] for name, variable in names.items() if variable in os.environ})

    @property
    def data_store(self) -> str:
        return bucket_of(self.data_store_location)

    @property
    def workspace(self) -> str:
        return bucket_of(self.workspace_location)

    @property
    def shared(self) -> str:
        return bucket_of(self.shared_location)

    @property
    def members(self) -> dict[str, str]:
        """Local authority to its shared bucket."""
        return {name: bucket_of(location) for name, location in json.loads(self.member_shared_locations).items()}

    @property
    def client(self) -> Any:  # noqa: ANN401  # botocore makes its clients' types at run time
        return aws_client("s3")

    def fetch(self, bucket: str, key: str) -> Fetched | None:
        """The latest version of an object; None where there is none.

        Without leave to list the whole bucket, S3 refuses access to what does not exist: look for a key that may be
        absent with `latest_version` or `has` first.
        """
        try:
            response = self.client.get_object(Bucket=bucket, Key=key)
        except self.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise _closed(error, bucket) from error
        return Fetched(response["Body"].read(), response.get("VersionId", "null"))

    def put(self, bucket: str, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)

    def remove(self, bucket: str, keys: Iterable[str]) -> None:
        """Absent objects are fine: what counts is that they are gone."""
        for key in keys:
            self.client.delete_object(Bucket=bucket, Key=key)

    def objects(self, bucket: str, prefix: str) -> Iterator[Listed]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        try:
            for page in pages:
                for entry in page.get("Contents", []):
                    yield Listed(entry["Key"], entry["ETag"].strip('"'), entry["LastModified"])
        except self.client.exceptions.ClientError as error:
            raise _closed(error, bucket) from error

    def versions(self, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Versions", []):
                yield ObjectVersion(entry["Key"], entry["VersionId"], entry["IsLatest"], entry["LastModified"])

    def latest_version(self, bucket: str, key: str) -> str | None:
        of_key = (version for version in self.versions(bucket, key) if version.key == key)
        return next((version.version_id for version in of_key if version.is_latest), None)

    def has(self, bucket: str, key: str) -> bool:
        return any(entry.key == key for entry in self.objects(bucket, key))

    def put_frame(self, key: str, frame: pl.DataFrame) -> None:
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        self.put(self.workspace, key, buffer.getvalue(), "application/vnd.apache.parquet")

    def fetch_frame(self, key: str) -> pl.DataFrame:
        import polars as pl

        fetched = self.fetch(self.workspace, key)
        if fetched is None:
            raise FileNotFoundError(f"s3://{self.workspace}/{key} is missing: process the submission from its upload.")
        return pl.read_parquet(io.BytesIO(fetched.content))


def _closed(error: Any, bucket: str) -> Exception:  # noqa: ANN401
    code = error.response["Error"]["Code"]
    reason = "its key cannot be used" if code.startswith("KMS.") else _CLOSED.get(code)
    return error if reason is None else BucketClosedError(f"s3://{bucket}: {reason}")
