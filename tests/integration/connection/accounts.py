# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulated accounts: an operator's, and those whose role trusts the operator."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import boto3

REGION = "eu-west-2"
OPERATOR_ACCOUNT = "999900001111"
ORGANISATION = "012345670123"
AUTHORITIES = {"camden": "111122223333", "hackney": "222233334444", "barnet": "333344445555", "ealing": "444455556666"}
EXTERNAL_ID = "external-id-of-the-test"
ROLE = "localgov-deploy"


@dataclass(frozen=True)
class Operator:
    """The person who runs Ansible: an IAM user of an account of their own."""

    access_key_id: str
    secret_access_key: str


def make_accounts(endpoint: str) -> Operator:
    """Makes the operator, and in each account a role that trusts them and one that does not.

    Camden's role `guarded` asks for an external id as well.
    """
    iam = _iam_of_root(endpoint, OPERATOR_ACCOUNT)
    iam.create_user(UserName="alice")
    may_assume = _policy(Action="sts:AssumeRole", Resource="*")
    iam.put_user_policy(UserName="alice", PolicyName="assume", PolicyDocument=may_assume)
    key = iam.create_access_key(UserName="alice")["AccessKey"]
    alice = {"AWS": f"arn:aws:iam::{OPERATOR_ACCOUNT}:user/alice"}
    for account in (ORGANISATION, *AUTHORITIES.values()):
        _make_role(endpoint, account, ROLE, Principal=alice)
        _make_role(endpoint, account, "untrusting", Principal={"AWS": f"arn:aws:iam::{account}:root"})
    condition = {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}
    _make_role(endpoint, AUTHORITIES["camden"], "guarded", Principal=alice, Condition=condition)
    return Operator(key["AccessKeyId"], key["SecretAccessKey"])


def _iam_of_root(endpoint: str, account: str) -> Any:  # noqa: ANN401  # botocore makes clients at run time
    """IAM as the account's root, whom the emulator admits by the account's number."""
    return boto3.client(
        "iam",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=account,
        aws_secret_access_key="test",
    )


def _make_role(endpoint: str, account: str, name: str, **trust: object) -> None:
    iam = _iam_of_root(endpoint, account)
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(Action="sts:AssumeRole", **trust))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=_policy(Action="*", Resource="*"))


def _policy(**statement: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})
