# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a policy lets in from outside its account: rather one too many than one too few."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.filter.outside_access import FilterModule
from ansible_collections.localgov.platform.plugins.plugin_utils._outside_access import PolicyError, outside_access
from hypothesis import given
from hypothesis import strategies as st

OWN = "012345670123"
OTHER = "200000000001"
ROOT_OF_OTHER = f"arn:aws:iam::{OTHER}:root"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(principal: object, **more: object) -> dict[str, Any]:
    return {"Sid": "Door", "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "*", **more}


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": OWN},
        {"AWS": f"arn:aws:iam::{OWN}:root"},
        {"AWS": [f"arn:aws:iam::{OWN}:role/localgov-run-task", f"arn:aws:iam::{OWN}:user/path/someone"]},
        {"AWS": f"arn:aws:sts::{OWN}:assumed-role/localgov-run-task/session"},
        {"AWS": f"arn:aws-cn:iam::{OWN}:root"},
    ],
)
def test_the_accounts_own_principals_are_not_from_outside(principal: object) -> None:
    assert outside_access(policy(allow(principal)), OWN) == []


@pytest.mark.parametrize("service", ["logging.s3.amazonaws.com", "s3.amazonaws.com.cn"])
def test_a_service_uses_a_key_for_the_account(service: str) -> None:
    statement = allow({"Service": service, "AWS": OWN})
    assert outside_access(policy(statement), OWN, bucket="localgov-shared") == []


def test_a_service_that_reads_a_bucket_may_hand_on_what_it_reads() -> None:
    """As CloudFront does, whosever the web site is."""
    of_anybody = {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudfront::{OTHER}:distribution/E1"}}
    statement = allow({"Service": "cloudfront.amazonaws.com"}, Condition=of_anybody)
    assert outside_access(policy(statement), OWN) == ["Door: Service cloudfront.amazonaws.com"]


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        ("*", "*"),
        ({"AWS": "*"}, "AWS *"),
        ({"AWS": OTHER}, f"AWS {OTHER}"),
        ({"AWS": ROOT_OF_OTHER}, f"AWS {ROOT_OF_OTHER}"),
        ({"AWS": [OWN, ROOT_OF_OTHER]}, f"AWS {ROOT_OF_OTHER}"),
        ({"AWS": "AROAEXAMPLEEXAMPLE123"}, "AWS AROAEXAMPLEEXAMPLE123"),
        ({"AWS": f"arn:aws:iam::{OWN}:*"}, f"AWS arn:aws:iam::{OWN}:*"),
        ({"AWS": f"arn:aws:iam::{OTHER}:role/{OWN}"}, f"AWS arn:aws:iam::{OTHER}:role/{OWN}"),
        ({"AWS": f"{OWN}0"}, f"AWS {OWN}0"),
        ({"CanonicalUser": "79a59df900b949e55d96a1e6"}, "CanonicalUser 79a59df900b949e55d96a1e6"),
        ({"Federated": "cognito-identity.amazonaws.com"}, "Federated cognito-identity.amazonaws.com"),
        ({"Service": "*"}, "Service *"),
        ({"Service": "amazonaws.com.example.org"}, "Service amazonaws.com.example.org"),
        ({"AWS": None}, "AWS None"),
        ({}, "no principal"),
        (None, "no principal"),
    ],
)
def test_everybody_else_is_named_with_the_statement_that_lets_them_in(principal: object, named: str) -> None:
    assert outside_access(policy(allow(principal)), OWN) == [f"Door: {named}"]


def test_a_condition_does_not_excuse_a_statement() -> None:
    guarded = allow("*", Condition={"StringEquals": {"aws:PrincipalAccount": OWN}})
    assert outside_access(policy(guarded), OWN) == ["Door: *"]


def test_everybody_but_somebody_is_from_outside() -> None:
    statement = {"Sid": "Door", "Effect": "Allow", "NotPrincipal": {"AWS": ROOT_OF_OTHER}, "Action": "s3:GetObject"}
    assert outside_access(policy(statement), OWN) == [f'Door: everybody but {{"AWS": "{ROOT_OF_OTHER}"}}']


def test_a_refusal_lets_in_nobody_and_an_effect_that_is_neither_counts_as_leave() -> None:
    assert outside_access(policy(allow("*", Effect="Deny")), OWN) == []
    assert outside_access(policy(allow("*", Effect="allow")), OWN) == ["Door: *"]


def test_a_statement_without_a_sid_is_named_by_its_number() -> None:
    nameless = {key: value for key, value in allow("*").items() if key != "Sid"}
    assert outside_access(policy(allow({"AWS": OWN}), nameless), OWN) == ["statement 2: *"]


@pytest.mark.parametrize("nothing", [None, "", "  ", {}, {"Version": "2012-10-17", "Statement": []}])
def test_a_resource_without_a_policy_lets_in_nobody(nothing: Any) -> None:  # noqa: ANN401
    assert outside_access(nothing, OWN) == []


def test_text_as_aws_returns_it_and_a_single_statement_are_read_alike() -> None:
    assert outside_access(json.dumps({"Statement": allow("*")}), OWN) == ["Door: *"]


@pytest.mark.parametrize(
    "unclear",
    ["{", "[]", '["Statement"]', '{"Statement": "x"}', '{"Statement": ["x"]}', '{"Statement": [], "Statement": []}', 7],
)
def test_a_policy_that_cannot_be_understood_is_never_taken_for_a_closed_door(unclear: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError):
        outside_access(unclear, OWN)


@pytest.mark.parametrize("account", ["12345670123", "camden", "", ".*"])
def test_an_account_that_is_none_is_refused(account: str) -> None:
    with pytest.raises(PolicyError, match="not a string of twelve digits"):
        outside_access(None, account)


@given(st.lists(st.sampled_from([OWN, OTHER, "*", ROOT_OF_OTHER, f"arn:aws:iam::{OWN}:root"]), min_size=1))
def test_each_principal_counts_once_wherever_it_stands(principals: list[str]) -> None:
    outside = [principal for principal in principals if OWN not in principal]
    assert outside_access(policy(allow({"AWS": principals})), OWN) == [f"Door: AWS {name}" for name in outside]


def test_in_a_playbook_the_error_is_ansibles_own() -> None:
    outside = FilterModule().filters()["outside_access"]
    assert outside(policy(allow("*")), OWN) == ["Door: *"]
    with pytest.raises(AnsibleFilterError, match="nobody knows whom it lets in"):
        outside("{", OWN)


# --- One key for several buckets ---

OTHERS = ["arn:aws:s3:::other", "arn:aws:s3:::other/*"]


def of_key(operator: str, value: object, name: str = "kms:EncryptionContext:aws:s3:arn") -> dict[str, Any]:
    return allow({"AWS": "*"}, Action="kms:Decrypt", Condition={operator: {name: value}})


@pytest.mark.parametrize(
    "statement",
    [
        of_key("StringLike", OTHERS),
        of_key("StringEquals", OTHERS[0]),
        of_key("StringLike", [*OTHERS, "arn:aws:s3:::third.one/folder/*"]),
        of_key("StringLike", OTHERS, name="KMS:encryptioncontext:aws:s3:arn"),
    ],
)
def test_a_key_s_statement_for_other_buckets_does_not_open_this_one(statement: dict[str, Any]) -> None:
    assert outside_access(policy(statement), OWN, bucket="shared") == []
    assert outside_access(policy(statement), OWN) == ["Door: AWS *"]


@pytest.mark.parametrize(
    "statement",
    [
        of_key("StringLike", [*OTHERS, "arn:aws:s3:::shared/*"]),
        of_key("StringLike", [*OTHERS, "*"]),
        of_key("StringLike", "arn:aws:s3:::other*"),
        of_key("StringLike", "arn:aws:s3:::s?ared/*"),
        of_key("StringLike", "arn:aws:s3:::${aws:PrincipalTag/bucket}/*"),
        of_key("StringLike", []),
        of_key("StringLike", None),
        of_key("StringLikeIfExists", OTHERS),
        of_key("StringNotLike", OTHERS),
        of_key("ForAllValues:StringLike", OTHERS),
        of_key("StringLike", OTHERS, name="kms:EncryptionContext:other"),
        allow({"AWS": "*"}, Action="kms:Decrypt", Condition="StringLike"),
        allow({"AWS": "*"}, Action="kms:Decrypt", Sid="Door"),
    ],
)
def test_a_key_s_statement_that_may_open_this_bucket_too_counts(statement: dict[str, Any]) -> None:
    assert outside_access(policy(statement), OWN, bucket="shared") == ["Door: AWS *"]
