# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions in a running sandbox, for demonstrations and tests: as a principal, not as an administrator.

Nothing that is deployed uses this; on AWS the same sessions exist only inside ECS tasks.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import boto3
import botocore.session
import requests

from sandbox.settings import Settings

_SECONDS = 30
# What botocore knows of the services: it costs a tenth of a second to read, and every session would read its own.
_MODELS = botocore.session.Session().get_component("data_loader")
_MAKING_A_CLIENT = threading.Lock()


class SessionError(Exception):
    """There is no such session to be had; says why."""


def of_task_role(settings: Settings, role_arn: str) -> boto3.Session:
    """The session that a task with this role would have. The role must exist and trust ECS."""
    document = _asked(settings, "session", role=role_arn)
    return of_keys(settings.region, document["AccessKeyId"], document["SecretAccessKey"], document["Token"])


def mails_to(settings: Settings, address: str) -> list[str]:
    """The mails that the sandbox would have sent to somebody, as that person reads them."""
    found: list[str] = _asked(settings, "mails", to=address)["mails"]
    return found


def _asked(settings: Settings, what: str, **given: str) -> dict[str, Any]:
    """What the sandbox itself tells whoever can read its control token."""
    answer = requests.get(
        f"{settings.endpoint_url}/_sandbox/{what}",
        params=given,
        headers={"Authorization": f"Bearer {settings.control_token.read_text()}"},
        verify=str(settings.ca_bundle),
        timeout=_SECONDS,
    )
    if not answer.ok:
        raise SessionError(f"No {what} of {', '.join(given.values())}: {answer.status_code} {answer.text[:300]}")
    document: dict[str, Any] = answer.json()
    return document


def of_root(settings: Settings, account: str) -> boto3.Session:
    """The root of an account: the emulator takes its id as access key."""
    return of_keys(settings.region, settings.accounts[account].id, "test")  # the emulator's convention, no secret


@cache
def of_keys(
    region: str, aws_access_key_id: str, aws_secret_access_key: str, aws_session_token: str | None = None
) -> boto3.Session:
    """One session for all who ask with the same keys."""
    core = botocore.session.Session()
    core.register_component("data_loader", _MODELS)
    return boto3.Session(aws_access_key_id, aws_secret_access_key, aws_session_token, region, botocore_session=core)


def client_of_root(settings: Settings, account: str, service: str) -> Any:  # noqa: ANN401 - boto3 has no static types
    """A client of the sandbox that acts as the root of an account."""
    where = {"endpoint_url": settings.endpoint_url, "verify": str(settings.ca_bundle)}
    return client(of_root(settings, account), service, **where)


def client(session: boto3.Session, service: str, **more: Any) -> Any:  # noqa: ANN401 - boto3 has no static types
    """A client of a session that several threads may have: boto3 makes one at a time."""
    made_by: Any = session
    with _MAKING_A_CLIENT:
        return made_by.client(service, **more)
