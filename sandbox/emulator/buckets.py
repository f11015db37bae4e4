# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket policy judges the caller from another account as who that caller is.

As shipped it judges the other account's root, so no condition on a role or an organisation can be tried. That the
caller's own policies must allow the request as well, ministack checks before. Nor does it know the account of a role's
session that has signed an upload form, nor the slash at the end of a key, so that no right on folder markers matches.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.iam_actions.extract_resource_arn",
    "ministack.core.iam_evaluator.PrincipalInfo",
    "ministack.core.iam_evaluator.evaluate_resource_policy",
    "ministack.core.iam_evaluator.resolve_principal",
    "ministack.core.responses._account_from_sts_session",
    "ministack.core.responses.get_account_id",
    "ministack.core.router.extract_access_key_id",
    "ministack.services.s3._account_from_access_key",
    "ministack.services.s3._foreign_bucket_allows",
    "ministack.services.s3.handle_request",
)

# Who sent the request that this task or thread works on: (access key, account).
_sender: contextvars.ContextVar[tuple[str, str] | None] = contextvars.ContextVar("sender", default=None)
# Whom the policy under evaluation judges; None outside a request from another account.
_judged: contextvars.ContextVar[Any] = contextvars.ContextVar("judged", default=None)


def install(settings: Settings) -> None:
    del settings
    _remember_sender()
    _judge_sender()
    _put_judged_into_context()
    _know_account_of_session()
    _judge_whole_keys()


def sender() -> tuple[str, str] | None:
    """Access key and account of whoever sent the request under way; None for what the emulator does by itself."""
    return _sender.get()


def _remember_sender() -> None:
    s3 = find("ministack.services.s3")
    extract_access_key = find("ministack.core.router.extract_access_key_id")
    account_of_request = find("ministack.core.responses.get_account_id")
    shipped = s3.handle_request

    @functools.wraps(shipped)
    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any, **more: Any) -> Any:  # noqa: ANN401
        access_key = extract_access_key(headers or {}, query or {})
        token = _sender.set((access_key, account_of_request()) if access_key else None)
        try:
            return await shipped(method, path, headers, body, query, **more)
        finally:
            _sender.reset(token)

    s3.handle_request = handle_request


def _judge_sender() -> None:
    s3 = find("ministack.services.s3")
    evaluator = find("ministack.core.iam_evaluator")
    shipped = s3._foreign_bucket_allows

    @functools.wraps(shipped)
    def foreign_bucket_allows(*arguments: Any, **more: Any) -> bool:  # noqa: ANN401
        sender = _sender.get()
        principal = evaluator.resolve_principal(*sender) if sender else None
        token = _judged.set(principal if isinstance(principal, evaluator.PrincipalInfo) else None)
        try:
            return bool(shipped(*arguments, **more))
        finally:
            _judged.reset(token)

    s3._foreign_bucket_allows = foreign_bucket_allows


def _put_judged_into_context() -> None:
    evaluator = find("ministack.core.iam_evaluator")
    shipped = evaluator.evaluate_resource_policy

    @functools.wraps(shipped)
    def evaluate_resource_policy(document: Any, context: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        judged = _judged.get()
        if judged is not None:
            context = dataclasses.replace(
                context,
                principal_arn=judged.arn,
                principal_type=judged.type,
                principal_account=judged.account,
                principal_keys=judged.keys,
            )
        return shipped(document, context, *rest, **more)

    evaluator.evaluate_resource_policy = evaluate_resource_policy


def _know_account_of_session() -> None:
    s3 = find("ministack.services.s3")
    account_of_session = find("ministack.core.responses._account_from_sts_session")
    shipped = s3._account_from_access_key

    @functools.wraps(shipped)
    def account_from_access_key(access_key: str) -> str:
        return str(account_of_session(access_key) or shipped(access_key))

    s3._account_from_access_key = account_from_access_key


def _judge_whole_keys() -> None:
    actions = find("ministack.core.iam_actions")
    shipped = actions.extract_resource_arn

    @functools.wraps(shipped)
    def extract_resource_arn(service: str, method: str, path: str, *rest: Any) -> str:  # noqa: ANN401
        bucket, _, key = path.lstrip("/").partition("/")
        is_object = service == "s3" and key.strip("/")
        return f"arn:aws:s3:::{bucket}/{key}" if is_object else str(shipped(service, method, path, *rest))

    actions.extract_resource_arn = extract_resource_arn
