# SPDX-License-Identifier: GPL-3.0-or-later
"""Stacks with saved queries and with alarms on expressions: made, changed, read back, removed."""

from __future__ import annotations

import json
from typing import Any

from tests.sandbox.conftest import Sandbox

STAT = {"Metric": {"Namespace": "ECS/ContainerInsights", "MetricName": "RunningTaskCount"}, "Period": 60, "Stat": "Sum"}


def template(threshold: int) -> str:
    alarm = {
        "AlarmName": "below",
        "Metrics": [
            {"Id": "missing", "Label": "tasks that are missing", "Expression": "1 - running", "ReturnData": True},
            {"Id": "running", "MetricStat": STAT, "ReturnData": False},
        ],
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 15,
        "Threshold": threshold,
    }
    query = {"Name": "localgov/What failed", "QueryString": "fields @message", "LogGroupNames": ["/localgov/run"]}
    made: dict[str, Any] = {
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": alarm},
        "Query": {"Type": "AWS::Logs::QueryDefinition", "Properties": query},
    }
    return json.dumps({"Resources": made, "Outputs": {"Query": {"Value": {"Ref": "Query"}}}})


def test_an_alarm_on_an_expression_and_a_saved_query_are_made_changed_and_removed(sandbox: Sandbox) -> None:
    session = sandbox.root("camden")
    cloudformation, cloudwatch = (sandbox.client(name, session) for name in ("cloudformation", "cloudwatch"))
    cloudformation.create_stack(StackName="watch", TemplateBody=template(0))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="watch", WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName="watch")["Stacks"]
    assert len(stack["Outputs"][0]["OutputValue"]) == 36

    cloudformation.update_stack(StackName="watch", TemplateBody=template(2))
    cloudformation.get_waiter("stack_update_complete").wait(StackName="watch", WaiterConfig={"Delay": 1})
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["below"])["MetricAlarms"]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("tasks that are missing", 2)

    cloudformation.delete_stack(StackName="watch")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="watch", WaiterConfig={"Delay": 1})
    assert cloudwatch.describe_alarms(AlarmNames=["below"])["MetricAlarms"] == []
