# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudFormation takes no parameter that a template does not have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox

TEMPLATE = json.dumps(
    {
        "Parameters": {"Size": {"Type": "String", "Default": "small"}},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Size"}}}},
    }
)
REFUSED = r"\(ValidationError\) .* Parameters: \[Colour, Shape\] do not exist in the template"


@pytest.fixture
def given(unique: str) -> Callable[..., dict[str, Any]]:
    """What a call is given for a stack with these parameters, beside one that the template has."""

    def arguments(*more: str) -> dict[str, Any]:
        parameters = [{"ParameterKey": name, "ParameterValue": unique} for name in ("Size", *more)]
        return {"StackName": unique, "TemplateBody": TEMPLATE, "Parameters": parameters}

    return arguments


def test_a_parameter_that_the_template_does_not_have_is_refused_before_anything_is_made(
    sandbox: Sandbox, unique: str, given: Callable[..., dict[str, Any]]
) -> None:
    cloudformation = sandbox.client("cloudformation", sandbox.root("camden"))
    with pytest.raises(ClientError, match=REFUSED):
        cloudformation.create_stack(**given("Colour", "Shape"))
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName=unique)


def test_so_it_is_for_updates_and_change_sets(
    sandbox: Sandbox, unique: str, given: Callable[..., dict[str, Any]]
) -> None:
    cloudformation = sandbox.client("cloudformation", sandbox.root("camden"))
    cloudformation.create_stack(**given())
    cloudformation.get_waiter("stack_create_complete").wait(StackName=unique, WaiterConfig={"Delay": 1})
    with pytest.raises(ClientError, match=REFUSED):
        cloudformation.update_stack(**given("Colour", "Shape"))
    with pytest.raises(ClientError, match=REFUSED):
        cloudformation.create_change_set(**given("Colour", "Shape"), ChangeSetName="more")
