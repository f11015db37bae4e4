# SPDX-License-Identifier: GPL-3.0-or-later
"""Between two states of the services their roles may what either of them allows, and no more."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.filter.rights_of_both import rights_of_both

TEMPLATE = """\
Description: Roles
Parameters:
{parameters}
Resources:
  ApiExecutionRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: localgov-api-execution
      Policies:
        - PolicyName: start
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - Sid: PullOwnImage
                Effect: Allow
                Action: [ecr:BatchGetImage]
                Resource: {image}
              - Sid: ReadDeclaredSecrets
                Effect: Allow
                Action: secretsmanager:GetSecretValue
                Resource: [{secrets}]
{more}
"""
REPORTS = """\
  ReportsTaskRole:
    Type: AWS::IAM::Role
    Properties: {RoleName: localgov-reports-task}
"""


def template(*secrets: str, image: str = "!Sub arn:${AWS::Partition}:api", more: str = "", cache: bool = False) -> str:
    parameters = [
        f"  {name}: {{Type: String}}" for name in ("DatabaseSecretArn", *(["CacheSecretArn"] if cache else []))
    ]
    return TEMPLATE.format(parameters="\n".join(parameters), secrets=", ".join(secrets), image=image, more=more)


def both(after: str, before: Any) -> dict[str, Any]:  # noqa: ANN401 - text, or what AWS makes of it
    found: dict[str, Any] = yaml.safe_load(rights_of_both(after, before))
    return found


def rights_before(found: dict[str, Any]) -> dict[str, Any]:
    """The statements that stay from before, by their Sids."""
    start, before = found["Resources"]["ApiExecutionRole"]["Properties"]["Policies"]
    assert (start["PolicyName"], before["PolicyName"]) == ("start", "before")
    return {statement["Sid"]: statement["Resource"] for statement in before["PolicyDocument"]["Statement"]}


@pytest.mark.parametrize("before", ["", None, template("one")])
def test_a_template_that_takes_nothing_away_stays_as_it_is(before: str | None) -> None:
    after = template("one", "two")
    assert rights_of_both(after, before) == after


def test_a_secret_that_is_declared_no_more_may_still_be_read() -> None:
    found = both(template("new"), template("old", "!Ref DatabaseSecretArn", "new"))
    assert rights_before(found) == {"ReadDeclaredSecrets": ["old", {"Ref": "DatabaseSecretArn"}]}


def test_an_image_of_before_may_still_be_pulled() -> None:
    found = both(template("one", image="!Sub arn:${AWS::Partition}:other"), template("one"))
    assert rights_before(found) == {"PullOwnImage": [{"Fn::Sub": "arn:${AWS::Partition}:api"}]}


def test_a_role_of_a_service_that_goes_stays_until_its_last_task_has_ended() -> None:
    found = both(template("one"), template("one", more=REPORTS))
    assert found["Resources"]["ReportsTaskRole"]["Properties"] == {"RoleName": "localgov-reports-task"}


def test_what_the_old_rights_refer_to_stays_a_parameter() -> None:
    found = both(template("one"), template("one", "!Ref CacheSecretArn", cache=True))
    assert found["Parameters"].keys() == {"DatabaseSecretArn", "CacheSecretArn"}


def test_after_a_second_failure_the_rights_of_three_states_are_there_each_sid_once() -> None:
    between = rights_of_both(template("two"), template("one"))
    found = both(template("three"), between)
    assert rights_before(found) == {"ReadDeclaredSecrets": ["two"], "ReadDeclaredSecrets2": ["one"]}
    again = both(template("four"), rights_of_both(template("three"), between))
    assert sorted(rights_before(again)) == ["ReadDeclaredSecrets", "ReadDeclaredSecrets2", "ReadDeclaredSecrets3"]


def test_a_right_that_comes_back_is_no_right_of_before() -> None:
    between = rights_of_both(template("two"), template("one"))
    after = template("one", "two")
    assert rights_of_both(after, between) == after


def test_a_right_under_another_condition_is_another_right() -> None:
    document: dict[str, Any] = yaml.safe_load(template("one", image="api"))
    policy = document["Resources"]["ApiExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    policy["Statement"][0]["Condition"] = {"StringEquals": {"aws:ResourceTag/platform": "localgov"}}
    assert rights_before(both(template("one", image="api"), document)) == {"PullOwnImage": ["api"]}


def _with_condition(**condition: Any) -> dict[str, Any]:  # noqa: ANN401 - as IAM has it
    document: dict[str, Any] = yaml.safe_load(template("one", image="api"))
    policy = document["Resources"]["ApiExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    policy["Statement"][0]["Condition"] = condition
    return document


@pytest.mark.parametrize("one", ["s3.eu-west-2.amazonaws.com", ["s3.eu-west-2.amazonaws.com"]])
def test_a_condition_with_another_value_to_choose_from_covers_the_one_before(one: str | list[str]) -> None:
    before = _with_condition(StringLike={"kms:ViaService": one})
    both_regions = ["s3.eu-west-1.amazonaws.com", "s3.eu-west-2.amazonaws.com"]
    after = yaml.safe_dump(_with_condition(StringLike={"kms:ViaService": both_regions}))
    assert rights_of_both(after, before) == after
    gone = rights_of_both(yaml.safe_dump(before), yaml.safe_load(after))
    assert rights_before(yaml.safe_load(gone)) == {"PullOwnImage": ["api"]}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"StringNotEquals": {"aws:tag": ["a"]}}, {"StringNotEquals": {"aws:tag": ["a", "b"]}}),
        ({"StringEquals": {"aws:tag": "a"}}, {"StringEquals": {"aws:tag": ["a", "b"], "aws:other": "c"}}),
        ({"StringEquals": {"aws:tag": "a"}}, {"StringLike": {"aws:tag": ["a", "b"]}}),
        ({}, {"StringEquals": {"aws:tag": "a"}}),
    ],
)
def test_a_condition_that_is_met_by_less_covers_nothing(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = both(yaml.safe_dump(_with_condition(**after)), _with_condition(**before))
    assert rights_before(found) == {"PullOwnImage": ["api"]}


def test_the_text_has_no_byte_that_says_nothing() -> None:
    document = rights_of_both(template("two"), template("one")).splitlines()[1]
    assert '", "' not in document
    assert '": ' not in document


def test_actions_that_are_allowed_no_more_stay_alone() -> None:
    document: dict[str, Any] = yaml.safe_load(template("one", image="api"))
    policy = document["Resources"]["ApiExecutionRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    policy["Statement"][0]["Action"].append("ecr:DescribeImages")
    found = both(template("one", image="api"), document)
    before = found["Resources"]["ApiExecutionRole"]["Properties"]["Policies"][1]["PolicyDocument"]["Statement"]
    assert [statement["Action"] for statement in before] == [["ecr:DescribeImages"]]


def test_the_text_is_none_that_a_client_of_aws_would_take_for_json() -> None:
    assert rights_of_both(template("two"), template("one")).startswith("#")


@pytest.mark.parametrize("before", ["Resources: [", "none", "{}"])
def test_what_is_no_template_is_refused_by_name(before: str) -> None:
    with pytest.raises(AnsibleFilterError, match="A template of roles cannot be understood"):
        rights_of_both(template("one"), before)
