# SPDX-License-Identifier: GPL-3.0-or-later
"""An organisation makes accounts as AWS does: not at once, each with its own address, with a role to get in by."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox

MANAGEMENT = {"aws_access_key_id": "100000000001", "aws_secret_access_key": "test"}


def made(sandbox: Sandbox, name: str, email: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first answer, and the last."""
    organizations = sandbox.client("organizations", MANAGEMENT)
    first = organizations.create_account(AccountName=name, Email=email)["CreateAccountStatus"]
    last = organizations.describe_create_account_status(CreateAccountRequestId=first["Id"])["CreateAccountStatus"]
    return first, last


def test_a_new_account_is_not_there_with_the_first_answer(sandbox: Sandbox) -> None:
    first, last = made(sandbox, "haringey", "haringey@example.invalid")
    assert first["State"] == "IN_PROGRESS"
    assert "AccountId" not in first
    assert last["State"] == "SUCCEEDED"
    assert last["AccountId"].isdigit()


def test_an_address_that_another_account_has_is_refused_and_no_account_made(sandbox: Sandbox) -> None:
    _, last = made(sandbox, "enfield", "Camden@example.invalid")
    assert (last["State"], last["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")
    names = [one["Name"] for one in sandbox.client("organizations", MANAGEMENT).list_accounts()["Accounts"]]
    assert "enfield" not in names


def test_only_the_management_account_gets_in_by_the_role_that_comes_with_it(sandbox: Sandbox) -> None:
    _, last = made(sandbox, "brent", "brent@example.invalid")
    role = f"arn:aws:iam::{last['AccountId']}:role/OrganizationAccountAccessRole"
    taken = sandbox.client("sts", sandbox.operator()).assume_role(RoleArn=role, RoleSessionName="first")
    assert taken["AssumedRoleUser"]["Arn"].startswith(f"arn:aws:sts::{last['AccountId']}:")
    with pytest.raises(ClientError, match="AccessDenied"):
        sandbox.client("sts", sandbox.deployer("camden")).assume_role(RoleArn=role, RoleSessionName="thief")
