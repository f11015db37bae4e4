#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep an account of an AWS organisation, known by its name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: organization_account
short_description: Make an account of an AWS organisation, and put it into its unit
version_added: 0.1.0
author:
  - localgov.platform contributors (!UNKNOWN)
description:
  - Makes an account where the organisation has none of that name, waits until it is there, and moves it into a unit.
    One that somebody has put into another unit is refused, and stays there.
  - Accounts are known by their names, so a second run makes none. One whose making was begun by an earlier run that was
    interrupted is waited for.
  - Accounts are never closed by it.
options:
  name:
    description:
      - The account's name.
    type: str
    required: true
  email:
    description:
      - The address of its root user, which no other account anywhere at AWS may have. Needed only where the account is
        to be made; that of an account that is there stays as it is.
    type: str
  organizational_unit:
    description:
      - The id of the unit that the account is in, as in V(ou-ab12-11111111). By default it stays where it is, at first
        in the root. It is moved from nowhere but the root.
    type: str
  access_role:
    description:
      - The role that AWS makes in a new account, which the management account may assume.
    type: str
    default: OrganizationAccountAccessRole
  tags:
    description:
      - Tags of a new account.
    type: dict
    default: {}
  wait_timeout:
    description:
      - The seconds that AWS may take to make the account.
    type: int
    default: 900
attributes:
  check_mode:
    support: full
    description: Says whether an account would be made or moved.
  diff_mode:
    support: none
    description: There is nothing to compare.
notes:
  - Only the management account of an organisation makes accounts. The task's identity is one of it, with the
    permissions of C(docs/accounts-policy.json).
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
seealso:
  - plugin: localgov.platform.organization_accounts
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Have an account for Barnet
  localgov.platform.organization_account:
    name: barnet
    email: aws+barnet@example.gov.uk
    organizational_unit: "{{ unit }}" # an id such as ou-ab12-11111111
  delegate_to: management-account
  register: made

- name: Know its number
  ansible.builtin.debug:
    msg: "{{ made.account.id }}"
"""

RETURN = r"""
account:
  description: The account; V(null) in check mode where there is none yet.
  returned: success
  type: dict
  contains:
    id:
      description: Its number.
      type: str
      sample: "012345670123"
    name:
      description: Its name.
      type: str
    email:
      description: Its address.
      type: str
made:
  description: Whether it was made now, or would be.
  returned: success
  type: bool
"""

import difflib
import re
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import (
    NotYetError,
    attempt,
    pages,
    until,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "email": {"type": "str"},
    "organizational_unit": {"type": "str"},
    "access_role": {"type": "str", "default": "OrganizationAccountAccessRole"},
    "tags": {"type": "dict", "default": {}},
    "wait_timeout": {"type": "int", "default": 900},
}
# Organizations has one control plane per partition; its endpoint needs a region to be signed for.
_HOME_REGION = "us-east-1"
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+[.][^@\s]+")
_PERMISSIONS = "the permissions of docs/accounts-policy.json, in the management account"
_REASONS = {
    "ACCOUNT_LIMIT_EXCEEDED": "The organisation may have no more accounts. Ask AWS for a higher quota.",
    "CONCURRENT_ACCOUNT_MODIFICATION": "Another account is being made right now. Run this again.",
    "EMAIL_ALREADY_EXISTS": "Another account at AWS has this address. Give another one.",
    "INTERNAL_FAILURE": "AWS does not say why. Run this again, and if that is no help, ask AWS Support.",
    "INVALID_EMAIL": "AWS does not take this address. Give another one.",
    "MISSING_PAYMENT_INSTRUMENT": "The management account has no way of paying. Give it one.",
}


def account_of(accounts: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The one of that name. RefusedError where there are several, or it is not active."""
    found = [account for account in accounts if account["Name"] == name]
    if len(found) > 1:
        ids = ", ".join(account["Id"] for account in found)
        raise RefusedError(f"The organisation has several accounts named {name}: {ids}. Rename all but one of them.")
    for account in found:
        state = account.get("State") or account["Status"]
        if state != "ACTIVE":
            raise RefusedError(f"The account {name} ({account['Id']}) is {state}, not ACTIVE. Take another name.")
    return found[0] if found else None


def refuse_email(accounts: list[dict[str, Any]], name: str, email: str | None) -> None:
    if not email:
        close = difflib.get_close_matches(name, [account["Name"] for account in accounts])
        raise RefusedError(
            f"The organisation has no account named {name}. Give its e-mail address to make it"
            + (f", or correct the name: there is {', '.join(close)}." if close else ".")
        )
    if not _EMAIL.fullmatch(email):
        raise RefusedError(f"{email!r} is no e-mail address such as aws+{name}@example.gov.uk.")
    for account in accounts:
        if account["Email"].lower() == email.lower():
            raise RefusedError(
                f"{email} is the address of the account {account['Name']} ({account['Id']}), and each needs its own. "
                f"Give another one, such as aws+{name}@example.gov.uk."
            )


def under_way(organizations: Client, name: str) -> dict[str, Any] | None:
    """What an earlier run has asked for and not seen the end of."""
    statuses = pages(organizations.list_create_account_status, "CreateAccountStatuses", States=["IN_PROGRESS"])
    return next((status for status in statuses if status.get("AccountName") == name), None)


def make(organizations: Client, given: dict[str, Any]) -> str:
    """The new account's id."""
    tags = [{"Key": key, "Value": str(value)} for key, value in given["tags"].items()]
    status = (
        under_way(organizations, given["name"])
        or organizations.create_account(
            AccountName=given["name"], Email=given["email"], RoleName=given["access_role"], Tags=tags
        )["CreateAccountStatus"]
    )
    status = ended(organizations, status, given["wait_timeout"])
    if status["State"] == "IN_PROGRESS":
        raise RefusedError(
            f"AWS is still making the account {given['name']} after {given['wait_timeout']} seconds. Run this again: "
            "it goes on to wait for the same one."
        )
    if status.get("FailureReason") == "EMAIL_ALREADY_EXISTS":
        # The answer to the request may have been lost on its way, and this be the answer to its repetition.
        if first := under_way(organizations, given["name"]):
            status = ended(organizations, first, given["wait_timeout"])
        elif made := same(list(pages(organizations.list_accounts, "Accounts")), given):
            return str(made["Id"])
    if status["State"] == "FAILED":
        reason = status.get("FailureReason", "without a reason")
        raise RefusedError(
            f"AWS did not make the account {given['name']} with the address {given['email']}: {reason}. "
            f"{_REASONS.get(reason, 'Put right what AWS names here, then run this again.')}"
        )
    return str(status["AccountId"])


def same(accounts: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any] | None:
    """The account of that name, if its address is the given one too."""
    account = account_of(accounts, given["name"])
    return account if account and account["Email"].lower() == given["email"].lower() else None


def ended(organizations: Client, status: dict[str, Any], seconds: int) -> dict[str, Any]:
    """The latest status, once it has ended or the time is over."""
    latest = [status]

    def look() -> None:
        answer = organizations.describe_create_account_status(aws_retry=True, CreateAccountRequestId=status["Id"])
        latest.append(answer["CreateAccountStatus"])
        if latest[-1]["State"] == "IN_PROGRESS":
            raise NotYetError

    if status["State"] == "IN_PROGRESS":
        until(look, seconds)
    return latest[-1]


def move(organizations: Client, account: str, unit: str | None, *, check: bool) -> bool:
    """Whether it was, or would be, moved. RefusedError where it is in another unit, where somebody has put it."""
    if not unit:
        return False
    (parent,) = organizations.list_parents(aws_retry=True, ChildId=account)["Parents"]
    if parent["Id"] == unit:
        return False
    if parent["Type"] != "ROOT":
        raise RefusedError(
            f"The account {account} is in the unit {parent['Id']}, not in {unit}, and is left there. Move it yourself "
            "if it is the one that you mean; otherwise take another name."
        )
    if not check:
        organizations.move_account(
            aws_retry=True, AccountId=account, SourceParentId=parent["Id"], DestinationParentId=unit
        )
    return True


def keep(organizations: Client, given: dict[str, Any], *, check: bool) -> dict[str, Any]:
    with attempt("look at the organisation's accounts", permission=_PERMISSIONS):
        accounts = list(pages(organizations.list_accounts, "Accounts"))
    account = account_of(accounts, given["name"])
    if account is None:
        refuse_email(accounts, given["name"], given["email"])
        if check:
            return {"changed": True, "made": True, "account": None}
    with attempt(f"keep the account {given['name']}", permission=_PERMISSIONS):
        identifier = account["Id"] if account else make(organizations, given)
        moved = move(organizations, identifier, given["organizational_unit"], check=check)
    return {
        "changed": moved or account is None,
        "made": account is None,
        "account": {
            "id": identifier,
            "name": given["name"],
            "email": account["Email"] if account else given["email"],
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    retry = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=10)
    region = module.region or _HOME_REGION
    try:
        client = module.client("organizations", retry_decorator=retry, region=region)
        module.exit_json(**keep(client, module.params, check=module.check_mode))
    except RefusedError as refused:
        module.fail_json(msg=str(refused))


if __name__ == "__main__":
    main()
