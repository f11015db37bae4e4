# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the statements let in, as a policy evaluator decides it from the request alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import Resource, resource_of
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import (
    PRESETS,
    Statement,
    Trust,
    key_statements,
    older_sessions_denied,
    wanted_statements,
)
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration
from ministack.core.iam_evaluator import (
    EvalContext,
    combine_resource_policy,
    evaluate,
    evaluate_resource_policy,
    parse_policy_document,
)

OWNER, HUB = "012345670123", "200000000001"
ORGANISATION, UNIT = "o-a1b2c3d4e5", "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"
ROLE = f"arn:aws:iam::{HUB}:role/localgov-run-task"
TRUST = Trust(
    sid="Localgov",
    access="read",
    organisation_id=ORGANISATION,
    organisational_unit_paths=(f"{UNIT}*",),
    role_arns=(ROLE,),
)
BUCKET = resource_of("camden-shared", "s3_bucket", OWNER, "eu-west-2", "aws")
KEY = resource_of(f"arn:aws:kms:eu-west-2:{OWNER}:key/1234", None, OWNER, "eu-west-2", "aws")
S3 = "s3.eu-west-2.amazonaws.com"


@dataclass(frozen=True)
class Caller:
    """Who asks, as AWS fills in the condition keys."""

    arn: str = ROLE
    organisation: str | None = ORGANISATION
    unit: str | None = UNIT


MEMBER = Caller()
OUTSIDERS = {
    "other organisation": Caller(organisation="o-zzzzzzzzzz", unit="o-zzzzzzzzzz/r-ab12/ou-ab12-11111111/"),
    "no organisation": Caller(organisation=None, unit=None),
    "other unit": Caller(unit="o-a1b2c3d4e5/r-ab12/ou-ab12-22222222/"),
    "no unit": Caller(unit="o-a1b2c3d4e5/r-ab12/"),
    "other role": Caller(arn=f"arn:aws:iam::{HUB}:role/localgov-run-execution"),
    "same role of another account": Caller(arn="arn:aws:iam::300000000002:role/localgov-run-task"),
    "member without a role": Caller(arn=f"arn:aws:iam::{HUB}:user/somebody"),
}


def request(caller: Caller, action: str, resource: str, **context: str) -> EvalContext:
    membership = {"aws:principalorgid": caller.organisation, "aws:principalorgpaths": caller.unit and [caller.unit]}
    return EvalContext(
        principal_arn=caller.arn,
        principal_type="AssumedRole",
        principal_account=caller.arn.split(":")[4],
        action=action,
        resource_arn=resource,
        region="eu-west-2",
        principal_keys=membership,
        service_context={name.lower(): value for name, value in context.items()},
    )


def lets_in(statements: list[Statement], asked: EvalContext) -> bool:
    return bool(evaluate_resource_policy({"Statement": statements}, asked).decision == "Allow")


# --- Kinds whose calls the sandbox does not serve across accounts ---

CASES = [
    (kind, access, action)
    for kind in ("kms_key", "secretsmanager_secret", "sns_topic", "sqs_queue")
    for access, purposes in PRESETS[kind].items()
    for actions in purposes.values()
    for action in actions
]


def carrier(kind: str) -> Resource:
    return KEY if kind == "kms_key" else resource_of("one", kind, OWNER, "eu-west-2", "aws")


@pytest.mark.parametrize(("kind", "access", "action"), CASES)
def test_a_member_with_the_role_is_let_in_and_nobody_else(kind: str, access: str, action: str) -> None:
    of = carrier(kind)
    statements = wanted_statements(replace(TRUST, access=access), of)
    assert lets_in(statements, request(MEMBER, action, of.arn))
    let_in = [who for who, caller in OUTSIDERS.items() if lets_in(statements, request(caller, action, of.arn))]
    assert let_in == []


@pytest.mark.parametrize(
    ("kind", "access", "action"),
    [
        ("kms_key", "decrypt", "kms:Encrypt"),
        ("kms_key", "decrypt", "kms:PutKeyPolicy"),
        ("secretsmanager_secret", "read", "secretsmanager:PutSecretValue"),
        ("sns_topic", "publish", "sns:Subscribe"),
        ("sns_topic", "subscribe", "sns:Publish"),
        ("sqs_queue", "send", "sqs:ReceiveMessage"),
        ("sqs_queue", "receive", "sqs:SendMessage"),
    ],
)
def test_a_member_with_the_role_may_do_nothing_else(kind: str, access: str, action: str) -> None:
    of = carrier(kind)
    assert not lets_in(wanted_statements(replace(TRUST, access=access), of), request(MEMBER, action, of.arn))


def test_revoked_sessions_are_those_that_were_issued_before_or_within_a_minute() -> None:
    """A session issued in the very second of the revocation, or while IAM spreads the closing, does not survive."""
    moment = datetime(2026, 11, 26, 12, 0, 0, 900_000, tzinfo=UTC)
    policies = [
        parse_policy_document(json.dumps(document))
        for document in (
            older_sessions_denied(moment),
            {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
        )
    ]

    def decision(issued: str) -> str:
        asked = request(MEMBER, "s3:GetObject", "arn:aws:s3:::one/a", **{"aws:TokenIssueTime": issued})
        return str(evaluate(asked, policies).decision)

    assert decision("2026-11-26T11:59:59Z") == "Deny"
    assert decision("2026-11-26T12:00:00Z") == "Deny"
    assert decision("2026-11-26T12:00:59Z") == "Deny"
    assert decision("2026-11-26T12:01:00Z") == "Allow"


# --- A bucket's key: the key's policy and the caller's own, which must both allow ---


def own_statements(service: dict[str, Any], **locations: Any) -> list[Statement]:  # noqa: ANN401 - as inventories say it
    """The statements of a role, as CloudFormation resolves them."""
    keys = {"camden-shared": f"arn:aws:kms:eu-west-2:{OWNER}:key/*"}
    found = _declaration.key_statements(service, locations, keys)
    text = json.dumps(found).replace("${AWS::Partition}", "aws").replace("${AWS::URLSuffix}", "amazonaws.com")
    resolved: list[Statement] = json.loads(text, object_hook=lambda each: each.get("Fn::Sub", each))
    return resolved


RUN = own_statements({"reads": ["member_shared"]}, member_shared={"camden": "camden-shared", "sutton": "sutton-shared"})


def key_allows(own: list[Statement], key_policy: list[Statement], asked: EvalContext) -> bool:
    identity = evaluate(asked, [parse_policy_document(json.dumps({"Statement": own}))])
    combined = combine_resource_policy(identity, asked, {"Statement": key_policy}, OWNER, required=True)
    return bool(combined.decision == "Allow")


def decrypting(caller: Caller = MEMBER, context: str = BUCKET.arn, via: str = S3, action: str = "kms:Decrypt") -> Any:  # noqa: ANN401
    keys = {"kms:ViaService": via, "kms:EncryptionContext:aws:s3:arn": context}
    return request(caller, action, KEY.arn, **keys)


@pytest.mark.parametrize("context", [BUCKET.arn, f"{BUCKET.arn}/ssda903/a.csv"])
def test_both_policies_let_the_run_role_decrypt_with_a_bucket_key_and_without(context: str) -> None:
    assert key_allows(RUN, key_statements(TRUST, BUCKET, KEY), decrypting(context=context))


def test_either_policy_alone_lets_nobody_decrypt() -> None:
    assert not key_allows(RUN, [], decrypting())
    assert not key_allows([], key_statements(TRUST, BUCKET, KEY), decrypting())


@pytest.mark.parametrize(
    "asked",
    [
        decrypting(context="arn:aws:s3:::camden-shared-too"),
        decrypting(context="arn:aws:s3:::camden-shared-too/a.csv"),
        decrypting(context="arn:aws:s3:::sutton-shared/a.csv"),
        decrypting(via="secretsmanager.eu-west-2.amazonaws.com"),
        decrypting(via="s3.us-east-1.amazonaws.com"),
        decrypting(action="kms:GenerateDataKey"),
        request(MEMBER, "kms:Decrypt", KEY.arn),
    ],
    ids=["other bucket", "its object", "member without a key", "other service", "other region", "to write", "directly"],
)
def test_neither_policy_lets_the_run_role_do_anything_else(asked: EvalContext) -> None:
    everything: list[Statement] = [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]
    anybody: list[Statement] = [{**everything[0], "Principal": "*"}]
    assert not key_allows(everything, key_statements(TRUST, BUCKET, KEY), asked)
    assert not key_allows(RUN, anybody, asked)


@pytest.mark.parametrize("who", OUTSIDERS)
def test_the_key_refuses_whom_the_bucket_refuses(who: str) -> None:
    everything: list[Statement] = [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]
    assert not key_allows(everything, key_statements(TRUST, BUCKET, KEY), decrypting(OUTSIDERS[who]))


def test_the_authority_s_own_role_writes_large_files_by_the_key_s_default_policy() -> None:
    default: list[Statement] = [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OWNER}:root"}, "Action": "kms:*", "Resource": "*"}
    ]
    writer = Caller(arn=f"arn:aws:iam::{OWNER}:role/localgov-run-task")
    own = own_statements({"writes": ["shared"]}, shared="camden-shared")
    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        assert key_allows(own, default, decrypting(writer, action=action))
        assert not key_allows([], default, decrypting(writer, action=action))
