# SPDX-License-Identifier: GPL-3.0-or-later
"""What CloudFormation may answer to whoever asks for drift. On a sandbox: tests/e2e/operators/test_deployment.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.session
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.modules import stack_drift_info as module
from botocore.stub import Stubber

WHEN = datetime(2026, 11, 26, tzinfo=UTC)


class Aws:
    """CloudFormation, which answers what it was told to, in that order."""

    def __init__(self, **stacks: str) -> None:
        client = botocore.session.get_session().create_client(
            "cloudformation", region_name="eu-west-2", aws_access_key_id="made-up-id", aws_secret_access_key="made-up"
        )
        self.stub = Stubber(client)
        found = [
            {"StackName": name.replace("_", "-"), "StackStatus": status, "CreationTime": WHEN}
            for name, status in stacks.items()
        ]
        self.stub.add_response("describe_stacks", {"Stacks": found}, {})
        self.stub.activate()
        self.client = RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff(retries=1))

    def compares(self, stack: str) -> Aws:
        self.stub.add_response("detect_stack_drift", {"StackDriftDetectionId": f"id-{stack}"}, {"StackName": stack})
        return self

    def says(self, stack: str, status: str, **more: str) -> Aws:
        answer = {
            "StackId": stack,
            "StackDriftDetectionId": f"id-{stack}",
            "DetectionStatus": status,
            "Timestamp": WHEN,
        }
        self.stub.add_response(
            "describe_stack_drift_detection_status", {**answer, **more}, {"StackDriftDetectionId": f"id-{stack}"}
        )
        return self

    def finds(self, stack: str, **resources: str) -> Aws:
        entries = [
            {
                "StackId": stack,
                "LogicalResourceId": name,
                "ResourceType": "AWS::SQS::Queue",
                "StackResourceDriftStatus": status,
                "Timestamp": WHEN,
            }
            for name, status in resources.items()
        ]
        self.stub.add_response("describe_stack_resource_drifts", {"StackResourceDrifts": entries}, {"StackName": stack})
        return self

    def drifts(self) -> list[dict[str, Any]]:
        found = module.drifts(self.client, "localgov-", 3)
        self.stub.assert_no_pending_responses()
        return found


def test_resources_that_could_be_compared_are_counted_and_those_that_differ_named() -> None:
    aws = Aws(localgov_events="UPDATE_COMPLETE").compares("localgov-events")
    aws.says("localgov-events", "DETECTION_COMPLETE", StackDriftStatus="DRIFTED")
    aws.finds("localgov-events", Queue="DELETED", Other="IN_SYNC", Third="NOT_CHECKED")
    (stack,) = aws.drifts()
    assert (stack["status"], stack["checked"]) == ("DRIFTED", 2)
    assert [(one["name"], one["status"]) for one in stack["resources"]] == [("Queue", "DELETED")]


def test_a_comparison_that_fails_is_not_taken_for_none() -> None:
    aws = Aws(localgov_events="CREATE_COMPLETE").compares("localgov-events")
    aws.says("localgov-events", "DETECTION_FAILED", DetectionStatusReason="Not authorised to read the queue")
    aws.finds("localgov-events")
    (stack,) = aws.drifts()
    assert (stack["status"], stack["reason"]) == ("UNKNOWN", "Not authorised to read the queue")


def test_what_a_comparison_found_before_it_failed_is_told_with_the_reason() -> None:
    aws = Aws(localgov_events="CREATE_COMPLETE").compares("localgov-events")
    aws.says("localgov-events", "DETECTION_FAILED", DetectionStatusReason="Not authorised to read the queue")
    aws.finds("localgov-events", Queue="MODIFIED", Other="IN_SYNC", Third="UNKNOWN")
    (stack,) = aws.drifts()
    assert (stack["status"], stack["reason"]) == ("DRIFTED", "Not authorised to read the queue")
    assert (stack["checked"], [one["name"] for one in stack["resources"]]) == (2, ["Queue"])


def test_one_that_does_not_end_in_time_is_told_of() -> None:
    aws = Aws(localgov_events="CREATE_COMPLETE").compares("localgov-events")
    aws.says("localgov-events", "DETECTION_IN_PROGRESS")
    (stack,) = aws.drifts()
    assert (stack["status"], stack["reason"]) == ("UNKNOWN", "The comparison did not end in time.")


def test_a_stack_in_between_is_told_of_and_those_of_others_are_left_alone() -> None:
    (stack,) = Aws(localgov_network="UPDATE_IN_PROGRESS", theirs="CREATE_COMPLETE").drifts()
    assert (stack["stack"], stack["reason"]) == ("localgov-network", "Not compared in the state UPDATE_IN_PROGRESS.")
