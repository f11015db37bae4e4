# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls that the operator's own rights must allow, and what is said when they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.cloud import CloudRetry
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError

_NOT_THERE = ("NoSuchBucket", "NoSuchEntity", "NoSuchEntityException")


class NotYetError(Exception):
    """Not yet as it should be, and it may become so."""


class Again(CloudRetry):  # type: ignore[misc]  # amazon.aws has no type stubs
    """Decorators that repeat a function that raises NotYetError; name it in `catch_extra_error_codes`."""

    base_class = NotYetError

    @staticmethod
    def status_code_from_exception(error: Exception) -> str:
        return type(error).__name__


def until(look: Callable[[], None], seconds: int, between: int = 3) -> None:
    """Repeat `look` for as long as it raises NotYetError, or until the time is over."""
    again = Again.exponential_backoff(
        retries=max(1, seconds // between), delay=between, backoff=1, catch_extra_error_codes=[NotYetError.__name__]
    )
    with suppress(NotYetError):
        again(look)()


def pages(method: Any, key: str, **asked: Any) -> Iterator[Any]:  # noqa: ANN401  a method of a client
    """The entries of a listing that goes on with a `NextToken`, or as ECS writes it with a `nextToken`."""
    token: dict[str, str] = {}
    while True:
        answer = method(aws_retry=True, **asked, **token)
        yield from answer[key]
        token = {name: answer[name] for name in ("NextToken", "nextToken") if answer.get(name)}
        if not token:
            return


class NotThereError(RefusedError):
    """There is no such bucket or role."""


@dataclass(frozen=True)
class Identity:
    """Whose session a task has."""

    arn: str
    account: str
    partition: str
    region: str

    def role_arn(self, name: str) -> str:
        """The role of this account by its name, with its path if it has one."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name.lstrip('/')}"


@contextmanager
def attempt(doing: str, account: str = "", permission: str = "") -> Iterator[None]:
    """Make AWS's errors say what could not be done in which account; a refusal also says what the session needs."""
    what = f"Cannot {doing} in account {account}" if account else f"Cannot {doing}"
    try:
        yield
    except ClientError as error:
        raise _explained(error, what, permission) from error
    except BotoCoreError as error:
        raise RefusedError(f"{what}: {error}") from error


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))


def _explained(error: ClientError, what: str, permission: str) -> RefusedError:
    code = code_of(error)
    text = f"{what}: {code}: {message_of(error).rstrip('.')}."
    if code in _NOT_THERE:
        return NotThereError(f"{text} Make it first, or correct its name.")
    if "AccessDenied" in code:
        needed = permission or "permission for that call"
        return RefusedError(f"{text} This task's identity needs {needed}, with nothing denying it.")
    return RefusedError(f"{text} Unless it passes by itself, put right what AWS names here, then run this again.")
