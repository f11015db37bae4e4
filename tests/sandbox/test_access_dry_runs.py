# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""A push that stores nothing tells who is let in: rights are judged before what is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox, policy

EVERYTHING = {"Effect": "Allow", "Action": ["s3:*", "ecr:*"], "Resource": "*"}
OTHERS = {**EVERYTHING, "Action": "sqs:*"}


def refusal(call: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return dict(refused.value.response["Error"])


def test_what_is_no_manifest_is_refused_only_after_the_pusher_was_let_in(sandbox: Sandbox, unique: str) -> None:
    owner = sandbox.client("ecr", sandbox.root("hub"))
    owner.create_repository(repositoryName=unique)
    where = {"registryId": sandbox.account("hub"), "repositoryName": unique}
    pusher = sandbox.client("ecr", sandbox.role("camden", unique, [EVERYTHING]))
    sent = {**where, "imageManifest": "{}", "imageTag": "one"}
    assert refusal(pusher.put_image, **sent)["Code"] == "AccessDeniedException"
    principal = {"AWS": f"arn:aws:iam::{sandbox.account('camden')}:role/{unique}"}
    shared = policy({"Effect": "Allow", "Principal": principal, "Action": "ecr:PutImage"})
    owner.set_repository_policy(repositoryName=unique, policyText=shared)
    for nothing in ("{}", "[]", "no JSON", '{"schemaVersion": 2}'):
        assert refusal(pusher.put_image, **{**sent, "imageManifest": nothing})["Code"] == "InvalidParameterException"
    assert owner.describe_images(repositoryName=unique)["imageDetails"] == []


def test_a_refusal_says_whose_policy_refuses(sandbox: Sandbox, unique: str) -> None:
    owner = sandbox.client("ecr", sandbox.root("hub"))
    owner.create_repository(repositoryName=unique)
    asked = {"registryId": sandbox.account("hub"), "repositoryName": unique, "imageIds": [{"imageTag": "one"}]}
    without = sandbox.client("ecr", sandbox.role("camden", f"{unique}-without", [OTHERS]))
    assert "because no identity-based policy allows" in refusal(without.batch_get_image, **asked)["Message"]
    with_rights = sandbox.client("ecr", sandbox.role("camden", unique, [EVERYTHING]))
    refused = refusal(with_rights.batch_get_image, **asked)
    assert refused["Code"] == "AccessDeniedException"
    assert "because no resource-based policy allows the ecr:BatchGetImage action" in refused["Message"]
