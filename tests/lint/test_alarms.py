# SPDX-License-Identifier: GPL-3.0-or-later
"""What is watched of an account, whom alarms tell, and what a dashboard and saved queries show."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.lint.test_templates import ROOT, resources

ALARMS = resources("AWS::CloudWatch::Alarm")
OWN = {"Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:localgov-alarms"}
GROUPS = {properties["LogGroupName"] for _, properties in resources("AWS::Logs::LogGroup")}
POLICIES = resources("AWS::SNS::TopicPolicy")


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("a service below what is desired", "localgov-daemon-below"),
        ("a failed run", "localgov-run"),
        ("a stuck run", "localgov-daemon"),
        ("dead letters", "localgov-uploads-failed"),
        ("storage", "localgov-storage"),
        ("a certificate", "localgov-public-certificate"),
        ("a share that is revoked", "localgov-share-revoked"),
        ("a cleanup that was missed", "localgov-add-users-missed"),
        ("services that could not be switched", "localgov-hours"),
    ],
)
def test_there_is_an_alarm_for(what: str, name: str) -> None:
    assert name in {alarm["AlarmName"] for _, alarm in ALARMS}, what


@pytest.mark.parametrize("where", [where for where, _ in ALARMS if not where.startswith("workflow")])
def test_an_alarm_tells_the_accounts_own_topic(where: str) -> None:
    assert OWN in dict(ALARMS)[where]["AlarmActions"]


# The workflow is given the account's own topic, which the services' alarms know by themselves.
@pytest.mark.parametrize(
    ("template", "own"),
    [("watch_organisation", OWN), ("workflow", "arn:aws:sns:eu-west-2:012345670123:localgov-alarms")],
)
def test_an_alarm_tells_the_organisations_topic_too(template: str, own: object) -> None:
    told = {where: alarm["AlarmActions"] for where, alarm in ALARMS if where.startswith(f"{template}/")}
    assert told
    for actions in told.values():
        assert actions == [own, "arn:aws:sns:eu-west-2:200000000001:localgov-organisation-alarms"]


@pytest.mark.parametrize("policy", [policy for _, policy in POLICIES], ids=[where for where, _ in POLICIES])
def test_a_topic_takes_alarms_of_named_accounts_over_tls_and_nothing_else(policy: dict[str, Any]) -> None:
    refused, allowed = policy["PolicyDocument"]["Statement"]
    assert (refused["Effect"], refused["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert (allowed["Principal"], allowed["Action"]) == ({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish")
    accounts = allowed["Condition"]["StringEquals"]["aws:SourceAccount"]
    assert accounts in ({"Ref": "AWS::AccountId"}, ["012345670123", "200000000001", "300000000002"])
    assert ":alarm:localgov-*" in str(allowed["Condition"]["ArnLike"]["aws:SourceArn"])


def test_a_service_that_runs_too_few_tasks_is_told_by_the_difference_of_what_ecs_counts() -> None:
    (alarm,) = [alarm for where, alarm in ALARMS if where == "watch/DaemonBelowAlarm"]
    told, *measured = alarm["Metrics"]
    assert told["Expression"] == "desired - FILL(running, 0)"
    names = {one["Id"]: one["MetricStat"]["Metric"]["MetricName"] for one in measured}
    assert names == {"desired": "DesiredTaskCount", "running": "RunningTaskCount"}
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_a_share_that_is_revoked_is_known_by_the_words_of_the_organisations_pipeline() -> None:
    (words,) = [one["FilterPattern"] for where, one in resources("AWS::Logs::MetricFilter") if "ShareRevoked" in where]
    logged = (ROOT / "files/dagster/code_server/src/localgov_pipeline/defs/storage.py").read_text(encoding="utf-8")
    assert len(found := re.findall(r'\?"([^"]+)"', words)) == 2
    assert all(f'"{one}"' in logged for one in found)


def test_saved_queries_ask_logs_that_there_are() -> None:
    queries = resources("AWS::Logs::QueryDefinition")
    assert {query["Name"] for _, query in queries} >= {"localgov/What failed", "localgov/Runs that were stuck"}
    for _, query in queries:
        assert set(query["LogGroupNames"]) <= GROUPS


def test_a_dashboard_shows_every_service_that_there_is() -> None:
    services = {
        properties["ServiceName"]
        for where, properties in resources("AWS::ECS::Service")
        if where.startswith("services/")
    }
    (body,) = [
        board["DashboardBody"] for where, board in resources("AWS::CloudWatch::Dashboard") if where == "watch/Dashboard"
    ]
    widgets = {widget["properties"]["title"]: widget["properties"] for widget in json.loads(body)["widgets"]}
    assert {metric[5] for metric in widgets["Tasks that run"]["metrics"]} == services
    assert {metric[3] for metric in widgets["Messages that wait, and that failed"]["metrics"]} == {
        "localgov-uploads",
        "localgov-uploads-failed",
    }
