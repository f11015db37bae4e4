# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy is the declared one when it has each statement of it and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.filter.policy_differences import policy_differences

ARN = "arn:aws:s3:::localgov-012345670123-data-store"
TLS: dict[str, Any] = {
    "Sid": "DenyInsecureTransport",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [ARN, f"{ARN}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
# With one lock of two: it lets nobody in as long as nobody has the other key.
FOREIGN = {
    "Sid": "Later",
    "Effect": "Allow",
    "Principal": {"AWS": "*"},
    "Action": "s3:GetObject",
    "Resource": f"{ARN}/*",
}


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.mark.parametrize(
    "found",
    [
        policy(TLS),
        json.dumps(policy(TLS)),
        policy({**TLS, "Action": ["s3:*"], "Resource": [f"{ARN}/*", ARN]}),
        policy({**TLS, "Condition": {"Bool": {"aws:SecureTransport": ["false"]}}}),
        {"Version": "2012-10-17", "Statement": TLS},
    ],
)
def test_the_same_statements_in_any_writing_do_not_differ(found: dict[str, Any] | str) -> None:
    assert policy_differences(found, [TLS]) == []


@pytest.mark.parametrize("nothing", [None, "", {}, policy()])
def test_a_bucket_without_the_declared_statement_lacks_it(nothing: dict[str, Any] | str | None) -> None:
    assert policy_differences(nothing, [TLS]) == ["DenyInsecureTransport is missing"]


def test_a_statement_of_somebody_else_is_named() -> None:
    nameless = {key: value for key, value in FOREIGN.items() if key != "Sid"}
    assert policy_differences(policy(FOREIGN, TLS, nameless), [TLS]) == [
        "Later is not declared",
        "a statement without Sid (Allow) is not declared",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Allow"},
        {"Action": "s3:PutObject"},
        {"Resource": ARN},
        {"Principal": {"AWS": "012345670123"}},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Condition": {}},
    ],
)
def test_a_changed_statement_is_missing_and_what_stands_there_is_not_declared(change: dict[str, Any]) -> None:
    assert policy_differences(policy({**TLS, **change}), [TLS]) == [
        "DenyInsecureTransport is missing",
        "DenyInsecureTransport is not declared",
    ]


@pytest.mark.parametrize("text", ["no JSON", '{"Statement": "none"}', '{"Statement": [], "Statement": []}'])
def test_a_policy_that_cannot_be_understood_is_not_compared(text: str) -> None:
    with pytest.raises(AnsibleFilterError, match="cannot be understood"):
        policy_differences(text, [TLS])
