# SPDX-License-Identifier: GPL-3.0-or-later
"""The buckets, as a resource. No request is made, and no client built, before the first use."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg

from localgov_pipeline.lib.submissions import ObjectVersion

PARQUET, CSV, JSON = "application/vnd.apache.parquet", "text/csv", "application/json"
# Requests at once, where many buckets are asked. As many connections are kept.
PARALLEL = 16
_CHUNK_BYTES = 1 << 20

_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
_CLOSED = {
    "AccessDenied": "access is refused",
    "403": "access is refused",
    "AllAccessDisabled": "access is refused",
    "AccountProblem": "its account is suspended",
    "InvalidObjectState": "a file is archived",
    "NoSuchBucket": "the bucket does not exist",
}


class BucketClosedError(dg.Failure):
    """The bucket's owner does not let us in, or has no such bucket: to wait and ask again would change nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, allow_retries=False)


class BucketUnreachableError(Exception):
    """No answer, or none of use: a passing state, unlike a refusal."""


class LocationError(BucketUnreachableError):
    """Not a bucket at all: until the inventory is mended, there is nobody to ask."""


class Fetched(NamedTuple):
    content: bytes
    version_id: str


class Downloaded(NamedTuple):
    version_id: str
    last_modified: datetime
    sha256: str


class Listed(NamedTuple):
    key: str
    etag: str
    last_modified: datetime


@cache
def aws_client(service: str, *, waits: bool = True) -> Any:  # noqa: ANN401
    """One client of a service for the life of the process: building one costs as much CPU as fifty requests. One that
    does not wait hears for half a minute at most that there is no answer.

    Straight from botocore: boto3's session loads what we have no use for, and every run would pay for it.
    """
    import botocore.session
    from botocore.config import Config

    patience: dict[str, Any] = {"retries": {"mode": "standard", "max_attempts": 8}}
    if not waits:
        retries = {"mode": "standard", "total_max_attempts": 2}
        patience = {"retries": retries, "connect_timeout": 3, "read_timeout": 10}
    config = Config(max_pool_connections=PARALLEL, **patience)
    # ECS names the region in AWS_REGION, which botocore does not read.
    return botocore.session.get_session().create_client(
        service, region_name=os.environ.get("AWS_REGION"), config=config
    )


def bucket_of(location: str) -> str:
    bucket = location.removeprefix("s3://").rstrip("/")
    if not location.startswith("s3://") or not bucket or "/" in bucket:
        raise LocationError(f"the location {location!r} is not of the form s3://bucket")
    return bucket


class Storage(dg.ConfigurableResource[None]):
    """Locations are `s3://bucket`. Encryption is left to each bucket's default."""

    data_store_location: str
    workspace_location: str = ""
    shared_location: str = ""
    member_shared_locations: str = "{}"
    # Local authority to what was agreed with it, such as `keep_published`.
    member_agreements: str = "{}"
    # Whether minutes may go by until it is clear that our own buckets do not answer. A run has that time.
    waits: bool = True

    @classmethod
    def from_environment(cls) -> Storage:
        """For sensors. Dagster would open its instance to hand them a resource, and the code server, in which they
        are evaluated, has no database. It looks at one after another, and gives each a minute."""
        names = {name: name.upper() for name in cls.model_fields if name.endswith("_location")}
        names["member_shared_locations"] = "MEMBER_SHARED_LOCATIONS"
        names["member_agreements"] = "MEMBER_AGREEMENTS"
        settings = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
        return cls(**settings, waits=False)

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
        """Local authority to the location of its shared bucket, of which `bucket_of` tells whether it is one."""
        return {name: str(location) for name, location in json.loads(self.member_shared_locations).items()}

    @property
    def agreements(self) -> dict[str, str]:
        agreed: dict[str, str] = json.loads(self.member_agreements)
        return agreed

    @property
    def client(self) -> Any:  # noqa: ANN401  # botocore makes its clients' types at run time
        return aws_client("s3") if self.waits else self.client_of_members

    @property
    def client_of_members(self) -> Any:  # noqa: ANN401
        """Dagster gives a sensor a minute for all authorities: one that does not answer may not take it from the
        others."""
        return aws_client("s3", waits=False)

    def _client(self, bucket: str) -> Any:  # noqa: ANN401
        is_of_member = any(location.rstrip("/") == f"s3://{bucket}" for location in self.members.values())
        return self.client_of_members if is_of_member else self.client

    def fetch(self, bucket: str, key: str) -> Fetched | None:
        """The latest version of an object; None where there is none.

        Without leave to list the whole bucket, S3 refuses access to what does not exist: look for a key that may be
        absent with `latest_version` or `has` first.
        """
        with _named_refusals(bucket):
            response = self._found(bucket, key)
            return None if response is None else Fetched(response["Body"].read(), response.get("VersionId", "null"))

    def download(self, bucket: str, key: str, path: Path) -> Downloaded | None:
        """The latest version of an object, into a file, however large it is; None where there is none."""
        import hashlib

        digest = hashlib.sha256()
        with _named_refusals(bucket):
            response = self._found(bucket, key)
            if response is None:
                return None
            with path.open("wb") as file:
                for chunk in response["Body"].iter_chunks(_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
        return Downloaded(response.get("VersionId", "null"), response["LastModified"], digest.hexdigest())

    def _found(self, bucket: str, key: str) -> dict[str, Any] | None:
        client = self._client(bucket)
        try:
            found: dict[str, Any] = client.get_object(Bucket=bucket, Key=key)
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                return None
            raise
        return found

    def put(self, bucket: str, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        with _named_refusals(bucket):
            self.client.put_object(Bucket=bucket, Key=key, Body=content, ContentType=content_type)

    def put_file(self, bucket: str, key: str, path: Path, content_type: str) -> None:
        with path.open("rb") as file, _named_refusals(bucket):
            self.client.put_object(Bucket=bucket, Key=key, Body=file, ContentType=content_type)

    def remove(self, bucket: str, keys: Iterable[str]) -> None:
        """Absent objects are fine: what counts is that they are gone."""
        with _named_refusals(bucket):
            for key in keys:
                self.client.delete_object(Bucket=bucket, Key=key)

    def erase(self, bucket: str, prefix: str, is_meant: Callable[[str], bool] = lambda _: True) -> int:
        """Remove all versions, and marks of deletion, of the keys under a prefix that are meant; how many."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        with _named_refusals(bucket):
            found = [
                (entry["Key"], entry["VersionId"])
                for page in pages
                for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                if is_meant(entry["Key"])
            ]
            for key, version in found:
                self.client.delete_object(Bucket=bucket, Key=key, VersionId=version)
        return len(found)

    def objects(self, bucket: str, prefix: str) -> Iterator[Listed]:
        pages = self._client(bucket).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with _named_refusals(bucket):
            for page in pages:
                for entry in page.get("Contents", []):
                    yield Listed(entry["Key"], entry["ETag"].strip('"'), entry["LastModified"])

    def versions(self, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        with _named_refusals(bucket):
            for page in pages:
                for entry in page.get("Versions", []):
                    yield ObjectVersion(entry["Key"], entry["VersionId"], entry["IsLatest"], entry["LastModified"])

    def latest_version(self, bucket: str, key: str) -> str | None:
        of_key = (version for version in self.versions(bucket, key) if version.key == key)
        return next((version.version_id for version in of_key if version.is_latest), None)

    def has(self, bucket: str, key: str) -> bool:
        return any(entry.key == key for entry in self.objects(bucket, key))


@contextmanager
def _named_refusals(bucket: str) -> Iterator[None]:
    """Who is refused and who gets no answer are told apart: the first has been decided, the second passes."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except (BotoCoreError, ResponseParserError) as error:
        raise BucketUnreachableError(f"s3://{bucket}: no answer ({type(error).__name__})") from error
    except ClientError as error:
        code = error.response["Error"]["Code"]
        reason = "its key cannot be used" if code.startswith("KMS.") else _CLOSED.get(code)
        if reason is not None:
            raise BucketClosedError(f"s3://{bucket}: {reason}") from error
        raise BucketUnreachableError(f"s3://{bucket}: {code}") from error
