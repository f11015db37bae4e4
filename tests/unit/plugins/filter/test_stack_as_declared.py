# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stacks are left alone, as there is nothing to update."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.filter.stack_as_declared import stack_as_declared

TEMPLATE = "Resources: {Queue: {Type: 'AWS::SQS::Queue'}}\n"
PARAMETERS = {"VpcId": "vpc-1", "Port": 5432}
TAGS = {"platform": "localgov"}


def stack(status: str = "UPDATE_COMPLETE", **other: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the module returns
    found = {
        "stack_description": {"stack_status": status},
        "stack_template": TEMPLATE,
        "stack_parameters": {"VpcId": "vpc-1", "Port": "5432"},
        "stack_tags": dict(TAGS),
    }
    return {**found, **other}


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "UPDATE_COMPLETE"])
def test_a_stack_that_is_whole_and_says_the_same_is_as_declared(status: str) -> None:
    assert stack_as_declared(stack(status), TEMPLATE, PARAMETERS, TAGS)


def test_a_stack_without_parameters_and_tags_may_lack_them() -> None:
    bare = {"stack_description": {"stack_status": "CREATE_COMPLETE"}, "stack_template": TEMPLATE, "stack_tags": None}
    assert stack_as_declared(bare, TEMPLATE)


@pytest.mark.parametrize(
    "found",
    [
        {},
        stack("UPDATE_IN_PROGRESS"),
        stack("UPDATE_ROLLBACK_COMPLETE"),
        stack("ROLLBACK_COMPLETE"),
        stack(stack_template=TEMPLATE + "# changed by hand\n"),
        stack(stack_template={"Resources": {}}),
        stack(stack_template=None),
        stack(stack_parameters={"VpcId": "vpc-2", "Port": "5432"}),
        stack(stack_parameters={"VpcId": "vpc-1", "Port": "5432", "More": "left to its default"}),
        stack(stack_parameters={"VpcId": "vpc-1", "Port": "****"}),
        stack(stack_parameters={"VpcId": "vpc-1"}),
        stack(stack_tags={}),
        stack(stack_tags={**TAGS, "more": "by hand"}),
    ],
)
def test_whatever_else_it_may_be_it_is_deployed(found: dict[str, Any]) -> None:
    assert not stack_as_declared(found, TEMPLATE, PARAMETERS, TAGS)
