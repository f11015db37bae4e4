# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import (
    InvalidRequestError,
    operator_session_name,
    session_request,
)

CAMDEN = "111122223333"


def test_a_request_is_made_of_the_options_that_are_set() -> None:
    request = session_request({"account_id": CAMDEN, "role": "/team/deploy", "external_id": "", "duration": 900})
    assert (request.role, request.external_id, request.duration) == ("team/deploy", None, 900)
    assert request.session_name == operator_session_name()
    assert request.label == f"AWS account {CAMDEN}, role team/deploy"


@pytest.mark.parametrize("role", [None, ""])
def test_no_role_is_the_callers_own_identity(role: str | None) -> None:
    assert session_request({"account_id": CAMDEN, "role": role}).label.endswith("the caller's own identity")


def test_the_external_id_does_not_show() -> None:
    assert "the-id" not in repr(session_request({"account_id": CAMDEN, "external_id": "the-id"}))


def test_one_session_serves_all_regions_but_not_another_role() -> None:
    options = {"account_id": CAMDEN, "role": "deploy"}
    key = session_request(options).key
    assert session_request({**options, "region": "eu-west-1"}).key == key
    assert session_request({**options, "role": "audit"}).key != key
    assert session_request({**options, "external_id": "x1"}).key != key


@pytest.mark.parametrize(
    ("account_id", "said"),
    [
        (1402433619, '"012345670123"'),
        (222233334444, '"222233334444"'),
        (None, "no account id"),
        ("", "no account id"),
        ("12345670123", "twelve digits"),
        ("1111-2222-3333", "twelve digits"),
        (["111122223333"], "in quotes"),
    ],
)
def test_an_account_id_that_is_not_twelve_digits_in_quotes_is_refused(account_id: object, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        session_request({"account_id": account_id})
    assert ("octal" in str(caught.value)) == bool(account_id)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("duration", 899, "900 to 43200"),
        ("duration", 43201, "900 to 43200"),
        ("session_name", "two words", "session name"),
        ("session_name", "x" * 65, "session name"),
        ("role", "not a role", "neither the name nor the ARN"),
        ("role", "arn:aws:iam::111122223333:user/x", "neither the name nor the ARN"),
        ("role", "arn:aws:iam::999900001111:role/x", "account 999900001111"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(option: str, value: object, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        session_request({"account_id": CAMDEN, option: value})


def test_the_operators_session_name_is_one_that_sts_admits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a host" + "x" * 80)
    monkeypatch.setenv("SUDO_USER", "jo:anna")
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", operator_session_name())
