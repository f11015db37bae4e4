# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS takes the policies that people are asked to give to roles."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Of all policies of a role's own together, and of one managed policy; white space does not count.
INLINE, MANAGED = 10_240, 6_144


# What CloudFormation's own type of a topic asks for to make, read, change and remove one that has no subscriptions, no
# protection of data and no log of deliveries. Of a right that is missing one hears on AWS, and not in the sandbox.
OF_A_TOPIC = {
    "sns:CreateTopic", "sns:DeleteTopic", "sns:GetDataProtectionPolicy", "sns:GetTopicAttributes",
    "sns:ListSubscriptionsByTopic", "sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:TagResource",
    "sns:UntagResource",
}  # fmt: skip


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / f"{name}-policy.json").read_text())
    return found


def length(name: str) -> int:
    return len(json.dumps(document(name), separators=(",", ":")))


def allowed(name: str, resource: str) -> list[str]:
    """The actions, or patterns of them, that a policy allows on a resource."""
    return [
        action
        for statement in document(name)["Statement"]
        if statement["Effect"] == "Allow" and any(fnmatchcase(resource, one) for one in listed(statement["Resource"]))
        for action in listed(statement["Action"])
    ]


def listed(one_or_more: str | list[str]) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else one_or_more


def test_what_a_deployer_needs_fits_into_policies_of_the_roles_own() -> None:
    assert length("deployer") < 0.9 * INLINE


@pytest.mark.parametrize("name", ["accounts", "workflow", "outsider", "webserver"])
def test_what_only_some_need_fits_into_a_managed_policy(name: str) -> None:
    assert length(name) < 0.9 * MANAGED


def test_a_deployer_may_do_with_a_topic_what_cloudformation_does_and_subscribe_nobody() -> None:
    actions = allowed("deployer", "arn:aws:sns:eu-west-2:012345670123:localgov-alarms")
    may = {wanted for wanted in OF_A_TOPIC if any(fnmatchcase(wanted, action) for action in actions)}
    assert OF_A_TOPIC - may == set()
    for other in ("sns:Subscribe", "sns:Publish", "sns:PutDataProtectionPolicy"):
        assert not any(fnmatchcase(other, action) for action in actions), other
