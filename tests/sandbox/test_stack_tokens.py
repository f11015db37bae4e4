# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever asks again with the same token, as boto3 does when an answer is lost, is not refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox


def template(seconds: int) -> str:
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": seconds}}
    return json.dumps({"Resources": {"Queue": queue}})


@pytest.fixture
def cloudformation(sandbox: Sandbox) -> Any:  # noqa: ANN401 - boto3's clients have no static types
    return sandbox.client("cloudformation", sandbox.root("camden"))


def test_a_creation_is_done_once_for_one_token(cloudformation: Any, unique: str) -> None:  # noqa: ANN401
    asked = {"StackName": unique, "TemplateBody": template(30), "ClientRequestToken": "first"}
    first = cloudformation.create_stack(**asked)["StackId"]
    assert cloudformation.create_stack(**asked)["StackId"] == first
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        cloudformation.create_stack(**{**asked, "ClientRequestToken": "second"})
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        cloudformation.create_stack(StackName=unique, TemplateBody=template(30))


def test_so_it_is_with_an_update(cloudformation: Any, unique: str) -> None:  # noqa: ANN401
    made = cloudformation.create_stack(StackName=unique, TemplateBody=template(30))["StackId"]
    cloudformation.get_waiter("stack_create_complete").wait(StackName=unique, WaiterConfig={"Delay": 1})
    asked = {"StackName": unique, "TemplateBody": template(60), "ClientRequestToken": "update"}
    assert cloudformation.update_stack(**asked)["StackId"] == made
    cloudformation.get_waiter("stack_update_complete").wait(StackName=unique, WaiterConfig={"Delay": 1})
    assert cloudformation.update_stack(**asked)["StackId"] == made
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloudformation.update_stack(**{**asked, "ClientRequestToken": "another"})
