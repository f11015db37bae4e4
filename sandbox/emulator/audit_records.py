# SPDX-License-Identifier: GPL-3.0-or-later
"""A request to S3 as CloudTrail records it: who, what, which object, how it ended, and no secret.

The fields are those of CloudTrail's documented records of data events. Recorded are requests on objects, and the
listings that count as such; neither uploads by form nor access points.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from sandbox.emulator.internals import find

NEEDS = (
    "ministack.core.iam_evaluator._request_origin",
    "ministack.core.iam_evaluator.resolve_caller_identity",
    "ministack.core.responses.get_region",
    "ministack.core.router.extract_access_key_id",
    "ministack.services.iam._roles",
    "ministack.services.s3._buckets",
)

# Event names by method and sub-resource.
_ON_OBJECTS = {
    ("GET", ""): "GetObject",
    ("GET", "acl"): "GetObjectAcl",
    ("GET", "attributes"): "GetObjectAttributes",
    ("GET", "legal-hold"): "GetObjectLegalHold",
    ("GET", "retention"): "GetObjectRetention",
    ("GET", "tagging"): "GetObjectTagging",
    ("GET", "uploadId"): "ListParts",
    ("HEAD", ""): "HeadObject",
    ("PUT", ""): "PutObject",
    ("PUT", "acl"): "PutObjectAcl",
    ("PUT", "legal-hold"): "PutObjectLegalHold",
    ("PUT", "retention"): "PutObjectRetention",
    ("PUT", "tagging"): "PutObjectTagging",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "restore"): "RestoreObject",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("DELETE", ""): "DeleteObject",
    ("DELETE", "tagging"): "DeleteObjectTagging",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
_ON_BUCKETS = {
    ("GET", ""): "ListObjects",
    ("GET", "versions"): "ListObjectVersions",
    ("HEAD", ""): "HeadBucket",
    ("POST", "delete"): "DeleteObjects",
}
_COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}
_SUBRESOURCES = frozenset(name for _, name in [*_ON_OBJECTS, *_ON_BUCKETS] if name)
# Parameters that say which part is wanted, and not which sub-resource. The recorded ones carry no secret.
_RECORDED = frozenset({"delimiter", "list-type", "max-keys", "partNumber", "prefix", "start-after", "versionId"})
_PLAIN = _RECORDED | {"continuation-token", "encoding-type", "fetch-owner", "key-marker", "marker", "version-id-marker"}
_READING = ("Get", "Head", "List")
# HEAD has no body that could name the error.
_BODILESS = {HTTPStatus.FORBIDDEN: "AccessDenied", HTTPStatus.NOT_FOUND: "NoSuchKey"}


@dataclass(frozen=True)
class Resource:
    """An object, or for a listing the beginning that the names of the listed objects share."""

    bucket: str
    key: str
    is_prefix: bool = False

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Request:
    """What is known before the request is served."""

    event_name: str
    resources: tuple[Resource, ...]  # the object, and what it is copied from
    parameters: dict[str, str]
    user_agent: str
    identity: dict[str, Any]  # as CloudTrail's userIdentity

    @property
    def read_only(self) -> bool:
        return self.event_name.startswith(_READING)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any  # bytes, or a stream


def touched(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> tuple[str, tuple[Resource, ...]]:
    """The event's name and the resources of a request with the bucket in its path; no name for all other requests."""
    bucket, _, key = path.lstrip("/").partition("/")
    subresource = next((name for name in query if name in _SUBRESOURCES), "")
    others = [name for name in query if name != subresource and name not in _PLAIN and not name.startswith("X-Amz-")]
    table = _ON_OBJECTS if key else _ON_BUCKETS
    name = table.get((method, subresource), "") if bucket else ""
    if not name or (not key and others):
        return "", ()
    source = headers.get("x-amz-copy-source", "")
    if name in _COPIES and source:
        from_bucket, _, from_key = unquote(source.partition("?")[0]).lstrip("/").partition("/")
        return _COPIES[name], (Resource(bucket, key), Resource(from_bucket, from_key))
    return name, (Resource(bucket, key or _value(query, "prefix"), is_prefix=not key),)


def request(
    name: str, resources: tuple[Resource, ...], headers: dict[str, str], query: dict[str, Any], access_key: str
) -> Request:
    first = resources[0]
    parameters = {"bucketName": first.bucket, "Host": headers.get("host", "")}
    parameters |= {given: _value(query, given) for given in query if given in _RECORDED}
    if not first.is_prefix:
        parameters["key"] = first.key
    if len(resources) > 1:
        parameters["x-amz-copy-source"] = headers["x-amz-copy-source"]
    return Request(name, resources, parameters, f"[{headers.get('user-agent', '')}]", identity_of(access_key))


def record(asked: Request, answer: Answer, request_id: str, owner: str, region: str) -> dict[str, Any]:
    """The record that *owner*, the account of the bucket, receives."""
    caller = asked.identity["accountId"]
    event_id = str(uuid.uuid4())
    code, message = _error(answer)
    return {
        "eventVersion": "1.11",
        "userIdentity": asked.identity,
        "eventTime": _now(),
        "eventSource": "s3.amazonaws.com",
        "eventName": asked.event_name,
        "awsRegion": region,
        "sourceIPAddress": find("ministack.core.iam_evaluator._request_origin").get()[0],
        "userAgent": asked.user_agent,
        **({"errorCode": code, "errorMessage": message} if code else {}),
        "requestParameters": asked.parameters,
        "responseElements": None,
        "additionalEventData": {"bytesTransferredIn": 0, "bytesTransferredOut": _size(answer, asked)},
        "requestID": request_id,
        "eventID": event_id,
        "readOnly": asked.read_only,
        "resources": [entry for resource in asked.resources for entry in _described(resource, owner)],
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "recipientAccountId": owner,
        **({"sharedEventID": str(uuid.uuid4())} if caller != owner else {}),
        "eventCategory": "Data",
    }


def home_of(bucket: str) -> tuple[str, str] | None:
    """The account and the region that this bucket is in. Names are unique across accounts."""
    for (account, name), stored in find("ministack.services.s3._buckets")._data.items():
        if name == bucket:
            return account, stored.get("region") or find("ministack.core.responses.get_region")()
    return None


def access_key_of(headers: dict[str, str], query: dict[str, Any]) -> str:
    return str(find("ministack.core.router.extract_access_key_id")(headers, query) or "")


def identity_of(access_key: str) -> dict[str, Any]:
    """Who signed the request. To be asked before it is served, as long as the request counts as the caller's."""
    found = find("ministack.core.iam_evaluator.resolve_caller_identity")(access_key)
    if found is None:
        return {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    arn = found["userArn"]
    identity = {
        "type": "Root" if arn.endswith(":root") else "IAMUser",
        "principalId": found["userId"],
        "arn": arn,
        "accountId": found["accountId"],
        "accessKeyId": found["accessKey"],
    }
    if ":assumed-role/" not in arn:
        return identity | ({"userName": arn.rpartition("/")[2]} if ":user/" in arn else {})
    identity["accountId"] = arn.split(":")[4]
    return {**identity, "type": "AssumedRole", "sessionContext": _session(arn, found["session"] or {})}


def _session(arn: str, session: dict[str, Any]) -> dict[str, Any]:
    account, name = arn.split(":")[4], arn.split("/")[1]
    role = find("ministack.services.iam._roles").get_scoped(account, None, name) or {}
    return {
        "sessionIssuer": {
            "type": "Role",
            "principalId": role.get("RoleId", ""),
            "arn": role.get("Arn", f"arn:aws:iam::{account}:role/{name}"),
            "accountId": account,
            "userName": name,
        },
        "attributes": {"creationDate": _now(session.get("IssuedAt")), "mfaAuthenticated": "false"},
    }


def _described(resource: Resource, owner: str) -> list[dict[str, str]]:
    objects = {"type": "AWS::S3::Object", ("ARNPrefix" if resource.is_prefix else "ARN"): resource.arn}
    bucket = {"type": "AWS::S3::Bucket", "ARN": f"arn:aws:s3:::{resource.bucket}"}
    home = home_of(resource.bucket)
    return [objects, {"accountId": owner, **bucket} if home and home[0] == owner else bucket]


def _error(answer: Answer) -> tuple[str, str]:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return "", ""
    text = answer.body.decode("utf-8", "replace") if isinstance(answer.body, bytes) else ""
    code, message = (re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL) for name in ("Code", "Message"))
    status = HTTPStatus(answer.status)
    return code[1] if code else _BODILESS.get(status, status.phrase), message[1] if message else status.phrase


def _size(answer: Answer, asked: Request) -> int:
    if asked.event_name.startswith("Head"):
        return 0
    if isinstance(answer.body, bytes):
        return len(answer.body)
    given = {name.lower(): value for name, value in answer.headers.items()}.get("content-length", "")
    return int(given) if given.isdigit() else 0


def _value(query: dict[str, Any], name: str) -> str:
    value = query.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value or "")


def _now(at: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
