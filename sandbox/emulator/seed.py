# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS holds before the collection runs: the organisation, the operator, and in each account a deploy role.

Accounts of the unit have a role to restore with, too.

The operator also gets into the management account's role that makes accounts, and into the accounts that it makes.

Safe to repeat: every start brings these back to what the files of the checkout say.
"""

from __future__ import annotations

import configparser
import json
import os
import re
from dataclasses import dataclass
from typing import Any

from sandbox.emulator import calls, organisation
from sandbox.settings import Settings

DEPLOY_ROLE = "localgov-deploy"
RESTORE_ROLE = "localgov-restore"
OPERATOR = "operator"
# In the management account; and in each account that it makes.
ACCOUNTS_ROLE = "localgov-accounts"
ACCESS_ROLE = "OrganizationAccountAccessRole"
# The name of a policy of the deploy role, and its document in docs/; the second in accounts outside the unit only.
_DEPLOYER = {"localgov-deploy": "deployer-policy.json"}
_MEMBER = {**_DEPLOYER, "localgov-workflow": "workflow-policy.json"}
_RESTORER = {"localgov-restore": "restore-policy.json"}
_OUTSIDER = {**_DEPLOYER, "localgov-outsider": "outsider-policy.json"}


class SeedError(Exception):
    """The emulator refused something that it has to hold."""


@dataclass(frozen=True)
class Seeded:
    organisation_id: str
    organisational_unit_path: str


async def plant(settings: Settings) -> Seeded:
    seeded = Seeded(*organisation.establish(settings))
    await _operator(settings)
    trust = _trust(settings.management.id, seeded.organisation_id)
    for account in settings.accounts.values():
        policies = {
            name: _policy(settings, document) for name, document in (_MEMBER if account.unit else _OUTSIDER).items()
        }
        await _role(calls.root(account.id, settings.region), DEPLOY_ROLE, trust, policies)
        if account.unit:
            restorer = {name: _policy(settings, document) for name, document in _RESTORER.items()}
            await _role(calls.root(account.id, settings.region), RESTORE_ROLE, trust, restorer)
    accounts = {ACCOUNTS_ROLE: _policy(settings, "accounts-policy.json")}
    await _role(calls.root(settings.management.id, settings.region), ACCOUNTS_ROLE, trust, accounts)
    return seeded


def _policy(settings: Settings, document: str) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads((settings.root / "docs" / document).read_text(encoding="utf-8"))
    return policy


def _trust(management: str, organisation_id: str) -> dict[str, Any]:
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{management}:user/{OPERATOR}"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": organisation_id}},
        }
    )


async def _role(root: calls.Caller, role: str, trust: dict[str, Any], policies: dict[str, dict[str, Any]]) -> None:
    document = json.dumps(trust)
    created = await root.query("iam", "CreateRole", RoleName=role, AssumeRolePolicyDocument=document)
    if created.status == 409:
        _accepted(await root.query("iam", "UpdateAssumeRolePolicy", RoleName=role, PolicyDocument=document))
    else:
        _accepted(created)
    for name, permissions in policies.items():
        text = json.dumps(permissions, separators=(",", ":"))
        given = {"RoleName": role, "PolicyName": name, "PolicyDocument": text}
        _accepted(await root.query("iam", "PutRolePolicy", **given))


async def _operator(settings: Settings) -> None:
    """The person who deploys and makes accounts: may assume the roles for that, and nothing else."""
    root = calls.root(settings.management.id, settings.region)
    created = await root.query("iam", "CreateUser", UserName=OPERATOR)
    if created.status != 409:
        _accepted(created)
    roles = [
        f"arn:aws:iam::*:role/{DEPLOY_ROLE}",
        f"arn:aws:iam::*:role/{RESTORE_ROLE}",
        f"arn:aws:iam::{settings.management.id}:role/{ACCOUNTS_ROLE}",
        f"arn:aws:iam::*:role/{ACCESS_ROLE}",
    ]
    may = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}
    _accepted(
        await root.query(
            "iam",
            "PutUserPolicy",
            UserName=OPERATOR,
            PolicyName="assume-deploy-roles",
            PolicyDocument=json.dumps(_document(may)),
        )
    )
    listed = _accepted(await root.query("iam", "ListAccessKeys", UserName=OPERATOR))
    known = re.findall(r"<AccessKeyId>(.*?)</AccessKeyId>", listed.text)
    if _written_key(settings) in known:
        return
    for key in known:
        _accepted(await root.query("iam", "DeleteAccessKey", UserName=OPERATOR, AccessKeyId=key))
    _write_key(settings, _accepted(await root.query("iam", "CreateAccessKey", UserName=OPERATOR)).text)


def _written_key(settings: Settings) -> str | None:
    file = configparser.ConfigParser()
    file.read(settings.shared_credentials_file, encoding="utf-8")
    return file.get(OPERATOR, "aws_access_key_id", fallback=None)


def _write_key(settings: Settings, answer: str) -> None:
    found = [re.search(rf"<{name}>(.*?)</{name}>", answer) for name in ("AccessKeyId", "SecretAccessKey")]
    if not all(found):
        raise SeedError("The emulator made an access key without saying which.")
    access_key, secret_key = (match[1] for match in found if match)
    path = settings.shared_credentials_file
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"[{OPERATOR}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n")


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _accepted(answer: calls.Answer) -> calls.Answer:
    if answer.status != 200:
        reason = re.search(r"<Message>(.*?)</Message>", answer.text, re.DOTALL)
        raise SeedError(f"The emulator refused the sandbox's own set-up: {reason[1] if reason else answer.text[:300]}")
    return answer
