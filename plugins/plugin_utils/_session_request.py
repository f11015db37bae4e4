# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session is asked for: an account, a role in it, and who asks. Values only; nothing here calls AWS."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

# Bounds and patterns of the API reference of sts:AssumeRole.
_DURATION = range(900, 43201)
_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_ROLE_NAME = re.compile(r"/?([A-Za-z0-9_+=,.@/-]+)")
_ROLE_ARN = re.compile(r"arn:[a-z0-9-]+:iam::([0-9]{12}):role/[A-Za-z0-9_+=,.@/-]+")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")

_OCTAL_TRAP = (
    "Without quotes YAML reads the digits as a number, and as an octal one when they begin with 0, so that the account "
    "becomes another"
)


class InvalidRequestError(ValueError):
    """An option is wrong; the text says which one and how to write it."""


@dataclass(frozen=True)
class SessionRequest:
    """A session of one account. Requests with the same `key` are answered by the same session."""

    account_id: str
    session_name: str
    role: str | None = None
    """Name (with its path, if any) or ARN; None stands for the caller's own identity."""
    external_id: str | None = field(default=None, repr=False)
    duration: int = 3600
    region: str | None = None
    endpoint_url: str | None = None
    ca_bundle: str | None = None
    profile: str | None = None
    shared_credentials_file: str | None = None
    config_file: str | None = None

    @property
    def key(self) -> str:
        """Names the session in the cache. The region is left out: a session is good in every region."""
        return _digest({name: value for name, value in asdict(self).items() if name != "region"})

    @property
    def source_key(self) -> str:
        """Names the source identity in the cache."""
        return _digest({"source": [self.profile, self.shared_credentials_file, self.config_file]})

    @property
    def label(self) -> str:
        """The account and the role, as every message names them."""
        return f"AWS account {self.account_id}, " + (f"role {self.role}" if self.role else "the caller's own identity")


def session_request(options: Mapping[str, Any]) -> SessionRequest:
    """The request that the connection plugin's options ask for.

    Raises InvalidRequestError where an option cannot be meant.
    """

    def text(name: str) -> str | None:
        value = options.get(name)
        return None if value in (None, "") else str(value)

    account_id = _account_id(options.get("account_id"))
    return SessionRequest(
        account_id=account_id,
        session_name=_session_name(text("session_name") or operator_session_name()),
        role=_role(text("role"), account_id),
        external_id=text("external_id"),
        duration=_duration(options.get("duration")),
        region=text("region"),
        endpoint_url=text("endpoint_url"),
        ca_bundle=text("ca_bundle"),
        profile=text("profile"),
        shared_credentials_file=text("shared_credentials_file"),
        config_file=text("config_file"),
    )


def operator_session_name() -> str:
    """The operator as CloudTrail shall name them: user and control node, in the characters that STS admits."""
    user = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    if not user:
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container that runs under a number without a name
            user = f"uid-{os.getuid()}"
    return re.sub(r"[^A-Za-z0-9_+=,.@-]", "-", f"{user}@{socket.gethostname()}")[:64]


def _account_id(value: object) -> str:
    if value in (None, ""):
        raise InvalidRequestError(
            "This host has no account id. Give it one in the inventory, twelve digits in quotes, such as "
            'ansible_aws_account_id: "012345670123".'
        )
    if isinstance(value, str):
        if _ACCOUNT_ID.fullmatch(value):
            return str(value)
        raise InvalidRequestError(
            f'ansible_aws_account_id is "{value}", but an account id is twelve digits in quotes, such as '
            f'"012345670123". {_OCTAL_TRAP}.'
        )
    raise InvalidRequestError(
        f"ansible_aws_account_id is {value!r}, which is not text in quotes. {_OCTAL_TRAP}. "
        f'Write it in quotes: ansible_aws_account_id: "{_probable_account_id(value)}".'
    )


def _probable_account_id(value: object) -> str:
    """The twelve digits that were probably written, to be checked by a person."""
    if isinstance(value, int) and 0 < value < 8**11:
        return f"0{value:011o}"
    if isinstance(value, int) and 10**11 <= value < 10**12:
        return str(value)
    return "012345670123"


def _duration(value: object) -> int:
    if value is None:
        return 3600
    if not isinstance(value, int) or value not in _DURATION:
        raise InvalidRequestError(
            f"ansible_aws_account_duration is {value}, but a session lasts from {_DURATION.start} to "
            f"{_DURATION.stop - 1} seconds."
        )
    return int(value)


def _session_name(value: str) -> str:
    if not _SESSION_NAME.fullmatch(value):
        raise InvalidRequestError(
            f'ansible_aws_account_session_name is "{value}", but a session name has 2 to 64 characters: letters, '
            "digits and _+=,.@-."
        )
    return value


def _role(value: str | None, account_id: str) -> str | None:
    if value is None:
        return None
    if arn := _ROLE_ARN.fullmatch(value):
        if arn[1] != account_id:
            raise InvalidRequestError(
                f"The inventory says AWS account {account_id}, but ansible_aws_account_role is a role of account "
                f"{arn[1]}: {value}. Correct one of them, or give the role's name alone."
            )
        return value
    if name := _ROLE_NAME.fullmatch(value):
        return name[1]
    raise InvalidRequestError(
        f'ansible_aws_account_role is "{value}", which is neither the name nor the ARN of a role.'
    )


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
