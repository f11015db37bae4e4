# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts that an organisation makes: not at once, not with a taken address, and with the role by which one gets in.

As shipped an account is there with the first answer, whatever its address, and nobody but its root can enter it.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from sandbox.emulator import calls
from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.responses.get_account_id",
    "ministack.services.organizations._DISPATCH",
    "ministack.services.organizations._accounts",
    "ministack.services.organizations._create_account",
    "ministack.services.organizations._create_statuses",
    "ministack.services.organizations._json",
    "ministack.services.organizations.handle_request",
)

_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_DEFAULT_ROLE = "OrganizationAccountAccessRole"


def install(settings: Settings) -> None:
    organizations = find("ministack.services.organizations")
    organizations._DISPATCH["CreateAccount"] = functools.partial(_create, organizations._create_account)
    organizations._DISPATCH["ListCreateAccountStatus"] = _list_statuses
    shipped = organizations.handle_request

    @functools.wraps(shipped)
    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:  # noqa: ANN401
        answer = await shipped(method, path, headers, body, query)
        if str(headers.get("x-amz-target", "")).endswith(".CreateAccount") and answer[0] == 200:
            status = json.loads(answer[2])["CreateAccountStatus"]
            made = organizations._create_statuses[status["Id"]].get("AccountId")
            if made:
                management = find("ministack.core.responses.get_account_id")()
                role = json.loads(body).get("RoleName") or _DEFAULT_ROLE
                await _let_in(calls.root(made, settings.region), management, role)
        return answer

    organizations.handle_request = handle_request


def _create(shipped: Any, payload: dict[str, Any]) -> Any:  # noqa: ANN401  ministack's own types
    organizations = find("ministack.services.organizations")
    taken = {str(account["Email"]).lower() for account in organizations._accounts.values()}
    known = set(organizations._accounts.keys())
    answer = shipped(payload)
    if answer[0] != 200:
        return answer
    status = json.loads(answer[2])["CreateAccountStatus"]
    if str(payload["Email"]).lower() in taken:
        for made in set(organizations._accounts.keys()) - known:
            del organizations._accounts[made]
        failed = {name: value for name, value in status.items() if name != "AccountId"}
        organizations._create_statuses[status["Id"]] = {
            **failed, "State": "FAILED", "FailureReason": "EMAIL_ALREADY_EXISTS"
        }  # fmt: skip
    begun = {name: status[name] for name in ("Id", "AccountName", "RequestedTimestamp")}
    return organizations._json(200, {"CreateAccountStatus": {**begun, "State": "IN_PROGRESS"}})


def _list_statuses(payload: dict[str, Any]) -> Any:  # noqa: ANN401  ministack's own types
    organizations = find("ministack.services.organizations")
    wanted = payload.get("States") or []
    found = [status for status in organizations._create_statuses.values() if not wanted or status["State"] in wanted]
    return organizations._json(200, {"CreateAccountStatuses": found})


async def _let_in(root: calls.Caller, management: str, role: str) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{management}:root"}, "Action": "sts:AssumeRole"}
        ],
    }
    await root.query("iam", "CreateRole", RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))
    document = json.dumps(_EVERYTHING)
    await root.query("iam", "PutRolePolicy", RoleName=role, PolicyName="AdministratorAccess", PolicyDocument=document)
