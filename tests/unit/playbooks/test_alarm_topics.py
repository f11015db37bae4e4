# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the alarms of an account tell, by what an inventory says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.playbooks.evaluation import ROOT, evaluate

ORGANISATION = "arn:aws:sns:eu-west-2:200000000001:localgov-organisation-alarms"
CAMDEN = "arn:aws:sns:eu-west-2:012345670123:localgov-alarms"
ON_CALL = "arn:aws:sns:eu-west-2:012345670123:on-call"
ELSEWHERE = "arn:aws:sns:eu-west-1:300000000002:localgov-alarms"


def given(playbook: str, variable: str) -> str:
    """The expression by which a playbook's file gives a role's variable."""
    (expression,) = re.findall(rf'{variable}: "{{{{ (.*) }}}}"', (ROOT / "playbooks" / playbook).read_text())
    return str(expression)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By host, the topics that are given to the services and to the workflow; croydon is in another region."""
    services = given("site.yml", "la_services_alarm_topics")
    workflow = given("tasks/workflow.yml", "add_users_stepfn_alarm_topics")
    hub = {"ansible_aws_account_id": "200000000001", "platform_region": "eu-west-2"}
    camden = {**hub, "ansible_aws_account_id": "012345670123", "platform_alarm_topics": [ON_CALL]}
    croydon = {"ansible_aws_account_id": "300000000002", "platform_region": "eu-west-1"}
    inventory = {
        "organisation": {"hosts": {"hub": hub}},
        "local_authorities": {"hosts": {"camden": camden, "croydon": croydon}},
    }
    folder = tmp_path_factory.mktemp("playbook")
    return evaluate(folder, f"{{'services': {services}, 'workflow': {workflow}}}", inventory)


def test_the_services_tell_the_organisations_topic_and_those_that_the_inventory_names(told: dict[str, Any]) -> None:
    assert told["camden"]["services"] == [ORGANISATION, ON_CALL]


def test_the_workflow_tells_the_accounts_own_topic_and_the_same_as_the_services(told: dict[str, Any]) -> None:
    assert told["camden"]["workflow"] == [CAMDEN, ORGANISATION, ON_CALL]


def test_no_alarm_tells_a_topic_of_another_region(told: dict[str, Any]) -> None:
    assert told["croydon"] == {"services": [], "workflow": [ELSEWHERE]}
