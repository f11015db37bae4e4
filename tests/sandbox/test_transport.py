# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401, S310  boto3's clients have no static types; every URL is the sandbox's own
"""TLS by the sandbox's own authority, and the plain listener for browsers."""

from __future__ import annotations

import datetime
import http.client
import json
import ssl
import urllib.error
import urllib.request
import uuid
from typing import Any

import botocore.auth
import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox

REGION = {"LocationConstraint": "eu-west-2"}
EVERY_S3_ACTION = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


def tls_only(bucket: str) -> dict[str, Any]:
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


@pytest.fixture
def bucket(sandbox: Sandbox, unique: str, as_policy: Any) -> str:
    """A bucket of camden that refuses plain HTTP, with a rule for browsers of http://frontend.example."""
    s3 = sandbox.client("s3", sandbox.deployer("camden"))
    s3.create_bucket(Bucket=unique, CreateBucketConfiguration=REGION)
    s3.put_bucket_policy(Bucket=unique, Policy=as_policy(tls_only(unique)))
    rule = {
        "AllowedOrigins": ["http://frontend.example"],
        "AllowedMethods": ["PUT", "POST"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag", "x-amz-version-id"],
    }
    s3.put_bucket_cors(Bucket=unique, CORSConfiguration={"CORSRules": [rule]})
    return unique


@pytest.fixture
def uploader(sandbox: Sandbox, bucket: str) -> Any:
    """An S3 client as a role that may only add uploads, which presigns for the browser's endpoint."""
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/uploads/*"}
    session = sandbox.role("camden", f"{bucket}-uploader", [allowed])
    return sandbox.client("s3", session, endpoint=sandbox.description["browser_endpoint_url"])


def browse(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """What a browser gets: status and headers."""
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers


def form(presigned: dict[str, Any], content: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and headers of the form upload that *presigned* allows."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in presigned["fields"].items()
    ]
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f.csv"\r\n\r\n'.encode()
    body = b"".join(parts) + file + content + f"\r\n--{boundary}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_a_client_that_does_not_know_the_authority_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(sandbox.description["endpoint_url"] + "/_ministack/health", timeout=10)


def test_the_certificate_is_for_localhost_too(sandbox: Sandbox) -> None:
    described = sandbox.description
    context = ssl.create_default_context(cafile=described["ca_bundle"])
    url = described["endpoint_url"].replace("127.0.0.1", "localhost") + "/_ministack/health"
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        assert answer.status == 200


def test_a_tls_only_bucket_serves_tls_and_refuses_a_program_on_plain_http(sandbox: Sandbox, bucket: str) -> None:
    program = sandbox.role("camden", f"{bucket}-program", [EVERY_S3_ACTION])
    sandbox.client("s3", program).put_object(Bucket=bucket, Key="a", Body=b"a")
    plain = sandbox.client("s3", program, endpoint=sandbox.description["browser_endpoint_url"])
    for call in (plain.get_object, plain.head_object, plain.delete_object):
        with pytest.raises(ClientError) as refusal:
            call(Bucket=bucket, Key="a")
        assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_program_cannot_pretend_to_have_used_tls(sandbox: Sandbox, bucket: str) -> None:
    program = sandbox.role("camden", f"{bucket}-program", [EVERY_S3_ACTION])
    plain = sandbox.client("s3", program, endpoint=sandbox.description["browser_endpoint_url"])
    plain.meta.events.register(
        "before-send.s3", lambda request, **_: request.headers.update({"x-forwarded-proto": "https"})
    )
    with pytest.raises(ClientError) as refusal:
        plain.put_object(Bucket=bucket, Key="a", Body=b"a")
    assert refusal.value.response["Error"]["Code"] == "AccessDenied"


def test_a_browser_puts_with_a_presigned_url(sandbox: Sandbox, bucket: str, uploader: Any) -> None:
    key = {"Bucket": bucket, "Key": "uploads/file.csv"}
    url = uploader.generate_presigned_url("put_object", Params=key)
    status, headers = browse("PUT", url, b"a,b\n", {"Origin": "http://frontend.example"})
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "http://frontend.example"
    stored = sandbox.client("s3", sandbox.root("camden")).get_object(**key)
    assert stored["Body"].read() == b"a,b\n"


def test_a_browser_posts_with_a_presigned_form(sandbox: Sandbox, bucket: str, uploader: Any) -> None:
    presigned = uploader.generate_presigned_post(
        bucket, "uploads/${filename}", Conditions=[["starts-with", "$key", "uploads/"], ["content-length-range", 1, 99]]
    )
    status, _ = browse("POST", presigned["url"], *form(presigned, b"a,b\n"))
    assert status == 204
    stored = sandbox.client("s3", sandbox.root("camden")).get_object(Bucket=bucket, Key="uploads/f.csv")
    assert stored["Body"].read() == b"a,b\n"


@pytest.mark.parametrize(
    ("what", "content", "status"), [("nothing", b"", 400), ("too much", b"x" * 100, 400)], ids=["empty", "too-long"]
)
def test_a_form_is_held_to_its_size(bucket: str, uploader: Any, what: str, content: bytes, status: int) -> None:
    presigned = uploader.generate_presigned_post(
        bucket, "uploads/file.csv", Conditions=[["content-length-range", 1, 99]]
    )
    assert browse("POST", presigned["url"], *form(presigned, content))[0] == status, what


def test_a_form_is_held_to_its_key(bucket: str, uploader: Any) -> None:
    presigned = uploader.generate_presigned_post(bucket, "uploads/file.csv")
    presigned["fields"]["key"] = "results/file.csv"
    assert browse("POST", presigned["url"], *form(presigned, b"a"))[0] == 403


def test_a_form_expires(bucket: str, uploader: Any) -> None:
    presigned = uploader.generate_presigned_post(bucket, "uploads/file.csv", ExpiresIn=-1)
    assert browse("POST", presigned["url"], *form(presigned, b"a"))[0] == 403


def test_a_presigned_url_expires(bucket: str, uploader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = botocore.auth.get_current_datetime  # type: ignore[attr-defined]
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now() - datetime.timedelta(minutes=5))
    key = {"Bucket": bucket, "Key": "uploads/a"}
    expired = uploader.generate_presigned_url("put_object", Params=key, ExpiresIn=60)
    valid = uploader.generate_presigned_url("put_object", Params=key, ExpiresIn=600)
    assert (browse("PUT", expired, b"a")[0], browse("PUT", valid, b"a")[0]) == (403, 200)


def test_a_presigned_url_cannot_be_changed(bucket: str, uploader: Any) -> None:
    url = uploader.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "uploads/a"})
    assert browse("PUT", url.replace("uploads/a?", "uploads/b?"), b"a")[0] == 403


def test_what_was_presigned_cannot_do_more_than_its_signer(bucket: str, uploader: Any) -> None:
    elsewhere = uploader.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "results/a"})
    assert browse("PUT", elsewhere, b"a")[0] == 403
    presigned = uploader.generate_presigned_post(bucket, "results/a")
    assert browse("POST", presigned["url"], *form(presigned, b"a"))[0] == 403


def test_an_unsigned_upload_is_refused(sandbox: Sandbox, bucket: str) -> None:
    url = f"{sandbox.description['browser_endpoint_url']}/{bucket}/uploads/a"
    assert browse("PUT", url, b"a")[0] == 403


def test_a_browser_may_ask_before_it_uploads(sandbox: Sandbox, bucket: str) -> None:
    url = f"{sandbox.description['browser_endpoint_url']}/{bucket}/uploads/a"

    def ask(origin: str) -> tuple[int, Any]:
        return browse("OPTIONS", url, None, {"Origin": origin, "Access-Control-Request-Method": "PUT"})

    status, headers = ask("http://frontend.example")
    assert status == 200
    assert "PUT" in headers["Access-Control-Allow-Methods"]
    assert ask("http://elsewhere.example")[0] == 403


def test_no_web_page_can_make_a_browser_press_the_emulators_switches(sandbox: Sandbox, bucket: str) -> None:
    described = sandbox.description
    assert browse("POST", described["browser_endpoint_url"] + "/_ministack/reset")[0] == 404
    address = described["endpoint_url"].removeprefix("https://")
    context = ssl.create_default_context(cafile=described["ca_bundle"])
    connection = http.client.HTTPSConnection(address, context=context, timeout=10)
    connection.request("POST", "/_ministack/reset")
    answer = connection.getresponse()
    assert answer.status == 404
    assert "python -m sandbox" in json.loads(answer.read())["message"]
    sandbox.client("s3", sandbox.deployer("camden")).head_bucket(Bucket=bucket)
