# SPDX-License-Identifier: GPL-3.0-or-later
"""People who may sign in at the sandbox's frontends, in each account: one who uploads, one who looks on, one who may
withdraw what was uploaded.

Their passwords are made when the sandbox first starts, and are in one file that only its owner can read.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sandbox import sessions
from sandbox.settings import Settings

UPLOADER, VIEWER, MANAGER = "uploader", "viewer", "manager"
_GROUPS = {UPLOADER: "uploaders", VIEWER: "viewers", MANAGER: "managers"}
# The stack of the sign-in, and its output that names the user pool.
_STACK, _POOL = "localgov-signin", "SignInUserPoolId"


@dataclass(frozen=True)
class Person:
    account: str
    part: str  # one of the above
    email: str
    password: str = field(repr=False)


def file_of(settings: Settings) -> Path:
    return settings.state / "people.json"


def make(settings: Settings) -> None:
    """Think of people and passwords, as far as that has not been done."""
    path = file_of(settings)
    known = {(person.account, person.part): person for person in _read(path)} if path.exists() else {}
    wanted = [(account.name, part) for account in settings.accounts.values() if account.unit for part in _GROUPS]
    new = {place: _new_person(*place) for place in wanted if place not in known}
    if not new:
        return
    people = [asdict(person) for person in (known | new).values()]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(people, file, indent=2)


def _new_person(account: str, part: str) -> Person:
    return Person(account, part, f"{part}@{account}.example", secrets.token_urlsafe(18))


def _read(path: Path) -> list[Person]:
    return [Person(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def find(settings: Settings, account: str, part: str = UPLOADER) -> Person:
    for person in _read(file_of(settings)):
        if (person.account, person.part) == (account, part):
            return person
    raise LookupError(f"The sandbox has no {part} in {account}; see {file_of(settings)}.")


def user_pool(settings: Settings, account: str) -> str | None:
    """The account's user pool; None where people do not sign in."""
    stacks = sessions.client_of_root(settings, account, "cloudformation")
    for stack in stacks.describe_stacks()["Stacks"]:
        if stack["StackName"] == _STACK:
            return str(next(output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == _POOL))
    return None


def admit(settings: Settings, account: str) -> bool:
    """Put the account's people into its user pool, as the authority's administrator would; whether there is one."""
    pool = user_pool(settings, account)
    if pool is None:
        return False
    cognito = sessions.client_of_root(settings, account, "cognito-idp")
    for part, group in _GROUPS.items():
        person = find(settings, account, part)
        attributes = [{"Name": "email", "Value": person.email}, {"Name": "email_verified", "Value": "true"}]
        try:
            cognito.admin_create_user(
                UserPoolId=pool,
                Username=person.email,
                UserAttributes=attributes,
                TemporaryPassword=person.password,
                MessageAction="SUPPRESS",
            )
        except cognito.exceptions.UsernameExistsException:
            continue
        cognito.admin_set_user_password(
            UserPoolId=pool, Username=person.email, Password=person.password, Permanent=True
        )
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=person.email, GroupName=group)
    return True
