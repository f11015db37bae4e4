# SPDX-License-Identifier: GPL-3.0-or-later
"""One organisation with units, and who a caller is to a policy.

As shipped every account is the master of an organisation of its own, ``aws:PrincipalOrgPaths`` never resolves, and
``aws:PrincipalArn`` of a role session is the session's ARN, where AWS gives the role's.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Account, Settings

NEEDS = (
    "ministack.core.iam_evaluator._resolve_condition_key",
    "ministack.core.iam_evaluator._principal_org_id",
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.responses.request_scope",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.error_response_json",
    "ministack.services.iam._roles",
    "ministack.services.organizations._accounts",
    "ministack.services.organizations._create_organizational_unit",
    "ministack.services.organizations._ensure_org",
    "ministack.services.organizations._orgs",
    "ministack.services.organizations._ous",
    "ministack.services.organizations.handle_request",
    "ministack.services.s3._bucket_owner_account",
)

# What an organisation lets its member accounts ask about it.
_MEMBERS_MAY = ("DescribeOrganization",)


def install(settings: Settings) -> None:
    management = settings.management.id
    _answer_condition_keys(management)
    _answer_members(settings)


def membership(management: str, account: str | None) -> tuple[str, str] | None:
    """The organisation's id and the account's path in it, ``o-.../r-.../ou-.../``; None for an outsider."""
    organizations = find("ministack.services.organizations")
    record = organizations._accounts.get_scoped(management, None, account)
    if record is None:
        return None
    identifier = organizations._orgs.get_scoped(management, None, "self")["Id"]
    path: list[str] = []
    parent = record["_ParentId"]
    while parent.startswith("ou-"):
        path.insert(0, parent)
        parent = organizations._ous.get_scoped(management, None, parent)["_ParentId"]
    return identifier, "/".join([identifier, parent, *path, ""])


def _answer_condition_keys(management: str) -> None:
    evaluator = find("ministack.core.iam_evaluator")
    shipped = evaluator._resolve_condition_key

    @functools.wraps(shipped)
    def resolve(key: str, context: Any) -> Any:  # noqa: ANN401 - ministack's own types
        name = key.lower()
        if name == "aws:principalarn":
            return role_of(context.principal_arn)
        if name in ("aws:resourceaccount", "s3:resourceaccount"):
            return _owner(context) or shipped(key, context)
        for prefix, account in (("aws:principalorg", context.principal_account), ("aws:resourceorg", _owner(context))):
            if name.startswith(prefix):
                return _organisation_key(name.removeprefix(prefix), membership(management, account))
        return shipped(key, context)

    evaluator._resolve_condition_key = resolve
    evaluator._principal_org_id = lambda account: (membership(management, account) or (None,))[0]


def _organisation_key(suffix: str, member: tuple[str, str] | None) -> str | list[str] | None:
    if member is None:
        return None
    values: dict[str, str | list[str]] = {"id": member[0], "paths": [member[1]]}
    return values.get(suffix)


def role_of(arn: str) -> str:
    """The role's ARN for the ARN of one of its sessions; any other ARN as it is."""
    parts = arn.split(":")
    if len(parts) < 6 or not parts[5].startswith("assumed-role/"):
        return arn
    account, name = parts[4], parts[5].split("/")[1]
    role = find("ministack.services.iam._roles").get_scoped(account, None, name)
    # A role with a path has it in its ARN, and not in those of its sessions.
    return str((role or {}).get("Arn") or f"arn:{parts[1]}:iam::{account}:role/{name}")


def _owner(context: Any) -> str | None:  # noqa: ANN401 - ministack's own type
    """The account that owns the resource in question."""
    parts = context.resource_arn.split(":", 5)
    if len(parts) < 6:
        return None
    if parts[2] == "s3" and not parts[4]:
        owner = find("ministack.services.s3._bucket_owner_account")(parts[5].split("/")[0])
        return str(owner) if owner else None
    return parts[4] or None


def _answer_members(settings: Settings) -> None:
    """Members see their organisation; only its management account changes it."""
    organizations = find("ministack.services.organizations")
    responses = find("ministack.core.responses")
    management = settings.management.id
    shipped = organizations.handle_request

    @functools.wraps(shipped)
    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:  # noqa: ANN401
        account = responses.get_account_id()
        if account == management or membership(management, account) is None:
            return await shipped(method, path, headers, body, query)
        operation = str(headers.get("x-amz-target", "")).rpartition(".")[2]
        if operation not in _MEMBERS_MAY:
            message = "You don't have permissions to access this resource."
            return responses.error_response_json("AccessDeniedException", message, 400)
        with responses.request_scope(management, settings.region):
            return await shipped(method, path, headers, body, query)

    organizations.handle_request = handle_request


def establish(settings: Settings) -> tuple[str, str]:
    """Make the organisation, its unit and its accounts where they are missing: organisation id and unit path."""
    organizations = find("ministack.services.organizations")
    management = settings.management
    with find("ministack.core.responses.request_scope")(management.id, settings.region):
        organizations._ensure_org()
        organisation = organizations._orgs["self"]["Id"]
        template = organizations._accounts[management.id]
        root = template["_ParentId"]
        unit = _unit(settings.unit, root)
        for account in settings.accounts.values():
            if account.in_organisation and account.id not in organizations._accounts:
                parent = unit if account.unit else root
                organizations._accounts[account.id] = _account_record(account, template, organisation, parent)
    return organisation, f"{organisation}/{root}/{unit}/*"


def _unit(name: str, root: str) -> str:
    organizations = find("ministack.services.organizations")
    for unit in organizations._ous.values():
        if unit["Name"] == name:
            return str(unit["Id"])
    answer = organizations._create_organizational_unit({"ParentId": root, "Name": name})
    return str(json.loads(answer[2])["OrganizationalUnit"]["Id"])


def _account_record(account: Account, template: dict[str, Any], organisation: str, parent: str) -> dict[str, Any]:
    management = template["Id"]
    return {
        **template,
        "Id": account.id,
        "Arn": f"arn:aws:organizations::{management}:account/{organisation}/{account.id}",
        "Email": f"{account.name}@example.invalid",
        "Name": account.name,
        "JoinedMethod": "CREATED",
        "_ParentId": parent,
    }
