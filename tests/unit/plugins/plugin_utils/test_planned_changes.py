# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsed task says that it would change."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _planned_changes as planned

STACK = "amazon.aws.cloudformation"
TEMPLATE = (
    "Resources:\n  Vpc: {Type: AWS::EC2::VPC}\n  Data:\n    Type: AWS::S3::Bucket\n    Properties: {Name: !Ref X}\n"
)


def stack(**result: Any) -> planned.Change:  # noqa: ANN401  whatever a module returns
    arguments = {"stack_name": "localgov-database", "state": result.pop("state", "present"), "template_body": TEMPLATE}
    found = planned.planned("camden", "Deploy", STACK, {"invocation": {"module_args": arguments}, **result})
    assert found is not None
    return found


def modified(kind: str, **change: Any) -> dict[str, Any]:  # noqa: ANN401  what AWS says of a change
    return {
        "Type": "Resource",
        "ResourceChange": {"Action": "Modify", "LogicalResourceId": "It", "ResourceType": kind, **change},
    }


def test_a_stack_without_changes_counts_as_looked_at() -> None:
    assert (
        stack(changed=False, msg="The submitted information didn't contain changes.", meta="None")["action"] == "none"
    )


def test_a_new_stack_is_made_of_what_its_template_declares() -> None:
    change = stack(changed=True, msg="New stack would be created", meta=[])
    assert change["action"] == "create"
    assert [(one["name"], one["type"]) for one in change["resources"]] == [
        ("Vpc", "AWS::EC2::VPC"),
        ("Data", "AWS::S3::Bucket"),
    ]


def test_a_change_names_the_resource_and_what_of_it_changes() -> None:
    details = [{"Target": {"Attribute": "Properties", "Name": "Image"}}, {"Target": {"Attribute": "Tags"}}]
    change = stack(changed=True, msg=None, meta=[modified("AWS::ECS::Service", Replacement="False", Details=details)])
    assert change["action"] == "change"
    assert change["resources"] == [
        {
            "name": "It",
            "type": "AWS::ECS::Service",
            "action": "change",
            "replacement": "no",
            "properties": ["Image", "Tags"],
            "policy": "",
            "data": False,
        }
    ]


@pytest.mark.parametrize(
    ("kind", "change", "loses"),
    [
        ("AWS::RDS::DBInstance", {"Replacement": "True", "PolicyAction": "ReplaceAndSnapshot"}, True),
        ("AWS::S3::Bucket", {"Replacement": "Conditional"}, True),
        ("AWS::RDS::DBInstance", {"Replacement": "False"}, False),
        ("AWS::S3::Bucket", {"Action": "Remove", "PolicyAction": "Delete"}, True),
        ("AWS::S3::Bucket", {"Action": "Remove", "PolicyAction": "Retain"}, False),
        ("AWS::ECS::TaskDefinition", {"Replacement": "True"}, False),
    ],
)
def test_a_resource_loses_its_data_when_it_is_replaced_or_goes_without_being_retained(
    kind: str, change: dict[str, str], loses: bool
) -> None:
    (resource,) = stack(changed=True, msg=None, meta=[modified(kind, **change)])["resources"]
    assert resource["data"] is loses


def test_a_change_set_that_fails_is_unclear_and_says_why() -> None:
    change = stack(changed=True, msg="Template error: no such parameter", meta=[])
    assert change["action"] == "unclear"
    assert "no such parameter" in change["detail"]


def test_a_change_of_outputs_alone_is_a_change() -> None:
    change = stack(changed=True, msg=None, meta=[])
    assert (change["action"], change["detail"]) == ("change", "Only outputs, parameters, tags or metadata")


def test_a_stack_that_goes_is_removed() -> None:
    assert stack(state="absent", changed=True, msg="Stack would be deleted", meta=[])["action"] == "remove"


def test_any_other_task_is_told_of_by_what_it_is_about_and_only_if_it_changes_that() -> None:
    about = {"invocation": {"module_args": {"resource": "localgov-012345670123-shared"}}}
    trust = "localgov.platform.cross_account_trust"
    diff = {"before": {"Statement": []}, "after": {"Statement": ["Readers"]}}
    change = planned.planned("camden", "Let them read", trust, {**about, "changed": True, "diff": diff})
    assert change is not None
    assert (change["kind"], change["name"], change["action"]) == ("trust", "localgov-012345670123-shared", "change")
    assert change["diff"].splitlines()[-2:] == ["+Statement:", "+- Readers"]
    assert planned.planned("camden", "Let them read", trust, {**about, "changed": False}) is None


def test_a_task_of_an_unknown_module_is_called_after_the_task() -> None:
    change = planned.planned("camden", "Paint it", "example.house.paint", {"changed": True})
    assert change is not None
    assert (change["kind"], change["name"]) == ("setting", "Paint it")
