# SPDX-License-Identifier: GPL-3.0-or-later
"""Buckets of the accounts that the tests play with."""

from __future__ import annotations

import os
import secrets
from functools import cache
from pathlib import Path
from typing import Any

import boto3

ACCOUNT = "012345670123"
REGION = "eu-west-2"
SAMPLES = Path(__file__).parent.parent / "samples"


def client(account: str = ACCOUNT, service: str = "s3") -> Any:  # noqa: ANN401
    return _client(os.environ["AWS_ENDPOINT_URL"], account, service)


@cache
def _client(endpoint: str, account: str, service: str) -> Any:  # noqa: ANN401
    """Kept, for building one takes as long as fifty requests."""
    who = {"aws_access_key_id": account, "aws_secret_access_key": "test"}
    return boto3.client(service, region_name=REGION, endpoint_url=endpoint, **who)


def make_bucket(name: str, account: str = ACCOUNT) -> str:
    """A new, versioned bucket whose name starts with `name`."""
    bucket = f"{name}-{secrets.token_hex(4)}"
    s3 = client(account)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket
