# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing an object that a KMS key encrypts asks the key: its policy, and the caller's own.

As shipped S3 records the key and asks nobody, so a shared bucket whose key was never opened, or whose readers lack
permissions on it, works here and not on AWS.
"""

from __future__ import annotations

import contextvars
import functools
from typing import Any
from xml.etree import ElementTree

from sandbox.emulator import buckets
from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator.EvalResult",
    "ministack.core.iam_evaluator.PrincipalInfo",
    "ministack.core.iam_evaluator.combine_resource_policy",
    "ministack.core.iam_evaluator.evaluate",
    "ministack.core.iam_evaluator.resolve_principal",
    "ministack.core.responses.get_region",
    "ministack.core.responses.request_scope",
    "ministack.services.kms._resolve_key",
    "ministack.services.s3._bucket_encryption",
    "ministack.services.s3._bucket_owner_account",
    "ministack.services.s3._dispatch",
    "ministack.services.s3._error",
    "ministack.services.s3._get_object",
    "ministack.services.s3._resolve_sse_write_headers",
)

_ALGORITHM = "x-amz-server-side-encryption"
_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
# The request under way: bucket, key of the object, and whether it begins an upload of several parts.
_request: contextvars.ContextVar[tuple[str, str, bool] | None] = contextvars.ContextVar("request", default=None)


def install(settings: Settings) -> None:
    del settings
    _remember_request()
    _ask_before_writing()
    _ask_before_reading()


def _remember_request() -> None:
    s3 = find("ministack.services.s3")
    shipped = s3._dispatch

    @functools.wraps(shipped)
    def dispatch(method: str, bucket: str, key: str, headers: Any, body: bytes, query: Any) -> Any:  # noqa: ANN401
        token = _request.set((bucket, key, method == "POST" and "uploads" in query))
        try:
            return shipped(method, bucket, key, headers, body, query)
        finally:
            _request.reset(token)

    s3._dispatch = dispatch


def _ask_before_writing() -> None:
    s3 = find("ministack.services.s3")
    shipped = s3._resolve_sse_write_headers

    @functools.wraps(shipped)
    def resolve_sse_write_headers(headers: Any, bucket: str) -> Any:  # noqa: ANN401
        wanted, error = shipped(headers, bucket)
        request = _request.get()
        if error is None and request is not None and request[0] == bucket:
            _, key, in_parts = request
            # Each part is encrypted by a data key that has to be decrypted for it.
            actions = ["kms:GenerateDataKey", "kms:Decrypt"] if in_parts else ["kms:GenerateDataKey"]
            error = _refusal(actions, bucket, key, wanted)
        return (None, error) if error else (wanted, None)

    s3._resolve_sse_write_headers = resolve_sse_write_headers


def _ask_before_reading() -> None:
    s3 = find("ministack.services.s3")
    shipped = s3._get_object

    @functools.wraps(shipped)
    def get_object(bucket: str, key: str, headers: Any, query: Any = None) -> Any:  # noqa: ANN401
        answer = shipped(bucket, key, headers, query)
        return (_refusal(["kms:Decrypt"], bucket, key, answer[1]) if answer[0] < 300 else None) or answer

    s3._get_object = get_object


def _refusal(actions: list[str], bucket: str, key: str, encryption: dict[str, str]) -> Any:  # noqa: ANN401
    """S3's answer when whoever sent the request may not use the key that *encryption* names; None if they may."""
    found = {name.lower(): value for name, value in encryption.items()}
    sender = buckets.sender()
    if sender is None or not found.get(_ALGORITHM, "").startswith("aws:kms"):
        return None
    evaluator = find("ministack.core.iam_evaluator")
    principal = evaluator.resolve_principal(*sender)
    if not isinstance(principal, evaluator.PrincipalInfo):
        return None
    owner = str(find("ministack.services.s3._bucket_owner_account")(bucket))
    for action in actions:
        reason = _unmet(action, principal, _Key(found.get(_KEY, ""), owner), _context(bucket, key))
        if reason:
            message = f"User: {principal.arn} is not authorized to perform: {action} {reason}"
            return find("ministack.services.s3._error")("AccessDenied", message, 403, f"/{bucket}/{key}")
    return None


class _Key:
    """The key by its id, ARN or alias, as the account of the bucket's owner names it."""

    def __init__(self, name: str, owner: str) -> None:
        self.owner = name.split(":")[4] if name.startswith("arn:") else owner
        region = find("ministack.core.responses.get_region")()
        with find("ministack.core.responses.request_scope")(self.owner, region):
            self.record = find("ministack.services.kms._resolve_key")(name)
        # Without a name, the one that AWS keeps for S3 in each account.
        self.is_of_aws = not name or name.rpartition(":")[2].startswith("alias/aws/")
        self.arn = str(self.record["Arn"]) if self.record else name or f"alias/aws/s3 of account {owner}"


def _unmet(action: str, principal: Any, key: _Key, context: dict[str, str]) -> str:  # noqa: ANN401 - ministack's own
    """Why *principal* may not, in AWS's words; empty if it may."""
    by_key = f"on resource: {key.arn} because no resource-based policy allows the {action} action"
    if key.is_of_aws:
        return "" if principal.account == key.owner else by_key
    if key.record is None:
        return by_key
    evaluator = find("ministack.core.iam_evaluator")
    asked = evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=key.arn,
        region=key.arn.split(":")[3],
        service_context=context,
        principal_keys=principal.keys,
    )
    if principal.policies is None:  # a root
        own = evaluator.EvalResult("Allow", principal.arn)
    else:
        own = evaluator.evaluate(asked, principal.policies, *principal.limits)
    policy = key.record.get("Policy") or ""
    decided = evaluator.combine_resource_policy(
        own, asked, policy, key.owner, required=True, limits=tuple(principal.limits)
    )
    if decided.decision == "Allow":
        return ""
    if own.decision == "Allow":
        return by_key
    return f"on resource: {key.arn} because no identity-based policy allows the {action} action"


def _context(bucket: str, key: str) -> dict[str, str]:
    """What S3 tells the key. With a bucket key the encryption context names the bucket, without one the object."""
    arn = f"arn:aws:s3:::{bucket}" if _has_bucket_key(bucket) else f"arn:aws:s3:::{bucket}/{key}"
    region = find("ministack.core.responses.get_region")()
    return {"kms:viaservice": f"s3.{region}.amazonaws.com", "kms:encryptioncontext:aws:s3:arn": arn}


def _has_bucket_key(bucket: str) -> bool:
    text = find("ministack.services.s3._bucket_encryption").get(bucket)
    if not text:
        return False
    elements = ElementTree.fromstring(text).iter()  # noqa: S314 - which S3 has parsed when it took it
    return any(each.tag.rpartition("}")[2] == "BucketKeyEnabled" and each.text == "true" for each in elements)
