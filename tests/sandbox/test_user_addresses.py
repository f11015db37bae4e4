# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""People of a user pool are found by their address, whatever has become of them and of others meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox


@pytest.fixture
def cognito(sandbox: Sandbox) -> Any:
    return sandbox.client("cognito-idp", sandbox.root("camden"))


@pytest.fixture
def pool(cognito: Any, unique: str) -> str:
    """With ada and grace in it."""
    made = cognito.create_user_pool(PoolName=unique, UsernameAttributes=["email"])["UserPool"]["Id"]
    for name in ("ada", "grace"):
        add(cognito, made, name)
    return str(made)


def add(cognito: Any, pool: str, name: str) -> None:
    cognito.admin_create_user(UserPoolId=pool, Username=address(name), MessageAction="SUPPRESS")


def address(name: str) -> str:
    return f"{name}@camden.example"


def found(cognito: Any, pool: str, name: str) -> bool:
    try:
        user = cognito.admin_get_user(UserPoolId=pool, Username=address(name))
    except cognito.exceptions.UserNotFoundException:
        return False
    return {"Name": "email", "Value": address(name)} in user["UserAttributes"]


def test_each_is_found_and_nobody_else(cognito: Any, pool: str) -> None:
    assert [found(cognito, pool, name) for name in ("ada", "grace", "joan")] == [True, True, False]


def test_who_is_there_cannot_be_added_again(cognito: Any, pool: str) -> None:
    with pytest.raises(cognito.exceptions.UsernameExistsException):
        add(cognito, pool, "ada")


def test_who_changes_their_address_is_found_by_the_new_one_alone(cognito: Any, pool: str) -> None:
    assert found(cognito, pool, "ada")
    changed = [{"Name": "email", "Value": address("ada.king")}]
    cognito.admin_update_user_attributes(UserPoolId=pool, Username=address("ada"), UserAttributes=changed)
    assert [found(cognito, pool, name) for name in ("ada", "ada.king", "grace")] == [False, True, True]


def test_who_has_gone_is_not_found_until_they_are_added_again(cognito: Any, pool: str) -> None:
    assert found(cognito, pool, "grace")
    cognito.admin_delete_user(UserPoolId=pool, Username=address("ada"))
    assert [found(cognito, pool, name) for name in ("ada", "grace")] == [False, True]
    add(cognito, pool, "ada")
    assert [found(cognito, pool, name) for name in ("ada", "grace")] == [True, True]


def test_an_address_of_another_pool_is_not_found(cognito: Any, pool: str, unique: str) -> None:
    other = cognito.create_user_pool(PoolName=f"{unique}-other", UsernameAttributes=["email"])["UserPool"]["Id"]
    assert found(cognito, pool, "ada")
    assert not found(cognito, other, "ada")
