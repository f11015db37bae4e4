# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""An upload in parts, by a browser on the plain listener, into a bucket that refuses plain HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox
from tests.sandbox.test_transport import REGION, browse, tls_only

KEY = "uploads/file.csv"
PARTS = {1: b"a,b\n" * 5, 2: b"1,2\n" * 3}


@pytest.fixture
def bucket(sandbox: Sandbox, unique: str, as_policy: Any) -> str:
    """A versioned bucket of camden, as the role la_services makes the data store."""
    s3 = sandbox.client("s3", sandbox.deployer("camden"))
    s3.create_bucket(Bucket=unique, CreateBucketConfiguration=REGION)
    s3.put_bucket_versioning(Bucket=unique, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_policy(Bucket=unique, Policy=as_policy(tls_only(unique)))
    rule = {
        "AllowedOrigins": ["http://*:8080"],
        "AllowedMethods": ["POST", "PUT"],
        "AllowedHeaders": ["x-amz-checksum-sha256"],
    }
    s3.put_bucket_cors(Bucket=unique, CORSConfiguration={"CORSRules": [rule]})
    return unique


class Uploader:
    """A role with what a frontend has: on TLS for its own calls, on the plain listener for what it presigns."""

    def __init__(self, sandbox: Sandbox, bucket: str, *actions: str) -> None:
        resource = f"arn:aws:s3:::{bucket}/uploads/*"
        allowed = [{"Effect": "Allow", "Action": list(actions), "Resource": resource}]
        session = sandbox.role("camden", f"{bucket}-uploader", allowed)
        self.s3 = sandbox.client("s3", session)
        self.for_browsers = sandbox.client("s3", session, endpoint=sandbox.description["browser_endpoint_url"])
        self.object = {"Bucket": bucket, "Key": KEY}
        self.upload = self.object | {
            "UploadId": self.s3.create_multipart_upload(**self.object, ChecksumAlgorithm="SHA256")["UploadId"]
        }

    def send(self, number: int, content: bytes, *, signed_for: bytes | None = None) -> int:
        signed = content if signed_for is None else signed_for
        checksum = sha256(signed)
        params = {**self.upload, "PartNumber": number, "ContentLength": len(signed), "ChecksumSHA256": checksum}
        url = self.for_browsers.generate_presigned_url("upload_part", Params=params)
        return browse("PUT", url, content, {"x-amz-checksum-sha256": checksum})[0]

    def arrived(self) -> list[dict[str, Any]]:
        return list(self.s3.list_parts(**self.upload).get("Parts", []))

    def complete(self, **more: Any) -> Any:
        names = ("PartNumber", "ETag", "ChecksumSHA256")
        parts = [{name: part[name] for name in names} for part in self.arrived()]
        return self.s3.complete_multipart_upload(**self.upload, MultipartUpload={"Parts": parts}, **more)


EVERYTHING = ("s3:PutObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_parts_that_a_browser_sent_become_one_version_of_one_object(sandbox: Sandbox, bucket: str) -> None:
    uploader = Uploader(sandbox, bucket, *EVERYTHING)
    assert [uploader.send(number, content) for number, content in PARTS.items()] == [200, 200]
    assert {part["PartNumber"]: (part["Size"], part["ChecksumSHA256"]) for part in uploader.arrived()} == {
        number: (len(content), sha256(content)) for number, content in PARTS.items()
    }
    root = sandbox.client("s3", sandbox.root("camden"))
    assert root.list_object_versions(Bucket=bucket).get("Versions", []) == []
    version = uploader.complete(MpuObjectSize=sum(map(len, PARTS.values())), IfNoneMatch="*")["VersionId"]
    (listed,) = root.list_object_versions(Bucket=bucket)["Versions"]
    assert (listed["Key"], listed["VersionId"]) == (KEY, version)
    assert root.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"".join(PARTS.values())


def test_a_signed_part_is_held_to_its_length_and_checksum(sandbox: Sandbox, bucket: str) -> None:
    uploader = Uploader(sandbox, bucket, *EVERYTHING)
    signed_for = PARTS[1]
    for content in (signed_for + b"1", signed_for[1:], b"2" * len(signed_for)):
        assert uploader.send(1, content, signed_for=signed_for) in {400, 403}
    assert uploader.arrived() == []


def test_the_size_that_is_declared_at_the_end_is_counted_again(sandbox: Sandbox, bucket: str) -> None:
    uploader = Uploader(sandbox, bucket, *EVERYTHING)
    assert uploader.send(1, PARTS[1]) == 200
    with pytest.raises(ClientError, match="mp-object-size"):
        uploader.complete(MpuObjectSize=1)


def test_an_object_that_is_there_is_not_replaced(sandbox: Sandbox, bucket: str) -> None:
    uploader = Uploader(sandbox, bucket, *EVERYTHING)
    uploader.s3.put_object(**uploader.object, Body=b"first")
    assert uploader.send(1, PARTS[1]) == 200
    with pytest.raises(ClientError, match="PreconditionFailed"):
        uploader.complete(IfNoneMatch="*")


def test_to_look_at_parts_and_to_give_up_are_rights_of_their_own(sandbox: Sandbox, bucket: str) -> None:
    uploader = Uploader(sandbox, bucket, "s3:PutObject")
    assert uploader.send(1, PARTS[1]) == 200
    for call in (uploader.s3.list_parts, uploader.s3.abort_multipart_upload):
        with pytest.raises(ClientError, match="AccessDenied"):
            call(**uploader.upload)


def test_a_program_on_plain_http_cannot_complete_an_upload(sandbox: Sandbox, bucket: str) -> None:
    uploader = Uploader(sandbox, bucket, *EVERYTHING)
    uploader.s3 = uploader.for_browsers
    with pytest.raises(ClientError) as refusal:
        uploader.arrived()
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_browser_may_ask_whether_it_may_send_a_part(sandbox: Sandbox, bucket: str) -> None:
    url = f"{sandbox.description['browser_endpoint_url']}/{bucket}/{KEY}"

    def ask(header: str) -> tuple[int, Any]:
        asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": header}
        return browse("OPTIONS", url, None, {"Origin": "http://127.99.0.1:8080", **asked})

    status, headers = ask("x-amz-checksum-sha256")
    assert (status, headers["Access-Control-Allow-Headers"]) == (200, "x-amz-checksum-sha256")
    assert ask("x-amz-acl")[0] == 403
