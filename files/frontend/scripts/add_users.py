# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds people to the account's user pool, at which they sign in to the frontend.

``add_users.py <issuer> <token> <path>``: the user pool as its issuer's address, a token that is not looked at (AWS
knows who calls), and a file of one JSON object per line with ``name``, ``emailAddress``, ``role`` and perhaps
``password``.

The role is a group of the pool. Somebody gets an invitation by mail, with a temporary password that AWS makes; where
the line has a password that one is temporary instead, and no mail is sent. Either way the first sign-in asks for a new
one. Who is there already stays as they are; only somebody whom an earlier run left in no group is invited again and
given theirs. Where the line of such a person has a password, it fails: whose password they have is not known.

What became of each line goes to the path in RESULTS_PATH, or else to the output. Nothing that is printed or written has
anything of a line but its number.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

Result = dict[str, Any]

_ISSUER = re.compile(r"https://cognito-idp\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(\1_[A-Za-z0-9]+)")
_NEVER_SIGNED_IN = "FORCE_CHANGE_PASSWORD"
# Cognito lets an account add a few dozen people a second, and says so to whoever is faster.
_TRIES = Config(retries={"mode": "adaptive", "total_max_attempts": 10}, connect_timeout=10, read_timeout=30)
_REASONS = {
    "CodeDeliveryFailureException": "the invitation could not be sent",
    "InvalidParameterException": "the user pool does not take this name or e-mail address",
    "InvalidPasswordException": "the user pool does not take this password",
    "LimitExceededException": "the user pool sends no more mails today; hand the file over again tomorrow",
    "ResourceNotFoundException": "there is no such group, or no such user pool",
    "TooManyRequestsException": "the user pool was asked too often; hand the file over again",
}
_NOT_SET = (
    "an earlier run left them in no group, and the password of this line was not set; hand it over without a password, "
    "which sends an invitation, or delete them in the user pool first"
)
# What would become of every other line too.
_OF_ALL_LINES = (
    "AccessDeniedException",
    "InvalidSignatureException",
    "LimitExceededException",
    "NotAuthorizedException",
)


class LineError(Exception):
    """Why a line could not be worked on, in words that have nothing of it."""


class PoolError(LineError):
    """A reason that stops at this line, as it is one for all that follow."""


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    group: str
    password: str | None

    @classmethod
    def of(cls, line: str) -> Person:
        try:
            given = json.loads(line)
            name, email, group = (given[key] for key in ("name", "emailAddress", "role"))
        except (ValueError, TypeError, KeyError):
            raise LineError("is not a JSON object with name, emailAddress and role") from None
        password = given.get("password")
        if not all(isinstance(value, str) for value in (name, email, group, password or "")):
            raise LineError("has a name, emailAddress, role or password that is no text")
        return cls(name, email, group, password or None)


class Pool:
    """A Cognito user pool whose people sign in by their e-mail addresses."""

    def __init__(self, issuer: str) -> None:
        found = _ISSUER.fullmatch(issuer)
        if found is None:
            raise PoolError(
                "the first argument is no issuer, such as https://cognito-idp.<region>.amazonaws.com/<pool>"
            )
        self._cognito: Any = boto3.client("cognito-idp", region_name=found[1], config=_TRIES)
        self._id = found[2]

    def add(self, person: Person) -> str:
        """`created`, or `exists`."""
        with _told_of():
            try:
                self._create(person)
            except self._cognito.exceptions.UsernameExistsException:
                if self._is_unfinished(person):
                    self._finish(person)
                return "exists"
            self._group(person)
            return "created"

    def _create(self, person: Person) -> None:
        # Whoever hands the file over vouches for the addresses. Without a medium Cognito would send a text message.
        password = {"TemporaryPassword": person.password, "MessageAction": "SUPPRESS"} if person.password else {}
        attributes = {"email": person.email, "email_verified": "true", "name": person.name}
        self._cognito.admin_create_user(
            UserPoolId=self._id,
            Username=person.email,
            UserAttributes=[{"Name": name, "Value": value} for name, value in attributes.items()],
            DesiredDeliveryMediums=["EMAIL"],
            **password,
        )

    def _is_unfinished(self, person: Person) -> bool:
        """Whether a run, or a call whose answer was lost, got no further than to create them."""
        user = {"UserPoolId": self._id, "Username": person.email}
        if self._cognito.admin_get_user(**user)["UserStatus"] != _NEVER_SIGNED_IN:
            return False
        return not self._cognito.admin_list_groups_for_user(**user)["Groups"]

    def _finish(self, person: Person) -> None:
        """What a run left undone. The group comes last, as it is what tells the finished from the others."""
        if person.password is not None:
            raise LineError(_NOT_SET)
        # The first may not have been sent; of two, the later one's password counts.
        self._cognito.admin_create_user(
            UserPoolId=self._id,
            Username=person.email,
            MessageAction="RESEND",
            DesiredDeliveryMediums=["EMAIL"],
        )
        self._group(person)

    def _group(self, person: Person) -> None:
        self._cognito.admin_add_user_to_group(UserPoolId=self._id, Username=person.email, GroupName=person.group)


@contextmanager
def _told_of() -> Iterator[None]:
    """Failures of AWS by their kind: its own words may have an e-mail address."""
    try:
        yield
    except ClientError as reason:
        code = str(reason.response["Error"]["Code"])
        kind = PoolError if code in _OF_ALL_LINES else LineError
        raise kind(f"{_REASONS.get(code, 'AWS refused it')} ({code})") from None
    except BotoCoreError as reason:
        raise PoolError(f"AWS was not reached ({type(reason).__name__})") from None


def main(arguments: list[str]) -> int:
    if len(arguments) != 3:
        sys.stderr.write("usage: add_users.py <issuer> <token> <path>\n")
        return 2
    issuer, _, path = arguments
    results = os.environ.get("RESULTS_PATH")
    with Path(path).open(encoding="utf-8") as lines:
        if not results:
            return add_all(issuer, lines, sys.stdout)
        with Path(results).open("w", encoding="utf-8") as out:
            return add_all(issuer, lines, out)


def add_all(issuer: str, lines: TextIO, out: TextIO) -> int:
    code = 0
    try:
        pool = Pool(issuer)
        for number, line in enumerate(lines, start=1):
            try:
                result: Result = {"line": number, "result": pool.add(Person.of(line))}
            except LineError as reason:
                code = 1
                result = {"line": number, "result": "failed", "reason": str(reason)}
                if isinstance(reason, PoolError):
                    _tell(out, result)
                    raise
            _tell(out, result)
    except PoolError as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    return code


def _tell(out: TextIO, result: Result) -> None:
    out.write(json.dumps(result) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
