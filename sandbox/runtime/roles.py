# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of the roles that ECS and other services assume, and what ECS does with the execution role.

The task role's session is what a task finds at its credentials endpoint. With the execution role's session the
platform itself asks for what it needs before the task starts (pull the image, read the secrets, open the log stream),
through the emulator's front door: what the role may not do, the task does not get.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from sandbox.settings import Settings

_SERVICE = "ecs-tasks.amazonaws.com"
_HOURS = 6  # as on ECS

_making_clients = threading.Lock()


class RoleError(Exception):
    """The service cannot assume the role."""


@dataclass(frozen=True)
class Session:
    role_arn: str
    access_key: str
    secret_key: str
    token: str
    expires: float  # seconds since 1970

    def document(self) -> dict[str, str]:
        """As the container credentials endpoint of ECS answers."""
        return {
            "RoleArn": self.role_arn,
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret_key,
            "Token": self.token,
            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires)),
        }


def assume(role_arn: str, task_arn: str, service: str = _SERVICE) -> Session:
    """A session of the role for this task, if the role trusts ECS. Named by the task's id, as on ECS.

    Another service than ECS assumes a role for something else that has an ARN.
    """
    from ministack.services import sts

    name = role_arn.rsplit("/", 1)[-1]
    account = role_arn.split(":")[4]
    check_trust(role_arn, task_arn, service)
    session = Session(
        role_arn=role_arn,
        access_key="ASIA" + secrets.token_hex(8).upper(),
        secret_key=secrets.token_hex(20),
        token=secrets.token_urlsafe(60),
        expires=time.time() + _HOURS * 3600,
    )
    task_id = task_arn.rsplit("/", 1)[-1]
    sts.register_session(
        session.access_key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{task_id}",
            "UserId": f"{_role(role_arn).get('RoleId', 'AROA')}:{task_id}",
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.token,
            "Expiration": session.expires,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            "SourceAccessKeyId": account,
            "SourcePrincipalArn": role_arn,
            "SessionTags": [],
            "SessionPolicies": None,
        },
    )
    return session


def check_trust(role_arn: str, task_arn: str, service: str = _SERVICE) -> None:
    """Raise RoleError unless the role exists and its trust policy lets the service assume it for this task."""
    from ministack import app
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

    if not app.AUTH:
        return
    role = _role(role_arn)
    _, _, _, region, account, _ = task_arn.split(":", 5)
    context = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=region,
        service_context={"aws:sourcearn": task_arn, "aws:sourceaccount": account},
    )
    trust = role.get("AssumeRolePolicyDocument")
    if not trust or evaluate_resource_policy(trust, context, service=service).decision != "Allow":
        who, what = ("ECS", "task") if service == _SERVICE else (service, task_arn.split(":", 5)[5])
        raise RoleError(
            f"{who} was unable to assume the role '{role_arn}' that was provided for this {what}. Please verify that "
            f"the role being passed has the proper trust relationship and permissions: it must exist and "
            f"trust {service}."
        )


def _role(role_arn: str) -> dict[str, Any]:
    from ministack.services import iam

    return iam._roles.get_scoped(role_arn.split(":")[4], None, role_arn.rsplit("/", 1)[-1]) or {}


def client(settings: Settings, session: Session, service: str, region: str) -> Any:  # noqa: ANN401  boto3 has no static types
    """A client of this emulator that acts as the role."""
    from botocore.config import Config

    with _making_clients:  # which is not thread-safe, unlike their use
        return _boto().create_client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_url,
            verify=str(settings.ca_bundle) if settings.endpoint_url.startswith("https:") else None,
            aws_access_key_id=session.access_key,
            aws_secret_access_key=session.secret_key,
            aws_session_token=session.token,
            config=Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 5}),
        )


@cache
def _boto() -> Any:  # noqa: ANN401  botocore has no static types
    """One for all: it keeps the services' descriptions, which are slow to read and large."""
    from botocore.session import Session as BotoSession

    return BotoSession()
