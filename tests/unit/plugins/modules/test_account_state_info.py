# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWS may answer to whoever asks how an account is. On a sandbox: tests/integration/rollout/test_estate.py."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.modules import account_state_info as module
from botocore.stub import Stubber

from tests.unit.answering_aws import stubbed

WHEN = datetime(2026, 11, 26, 8, tzinfo=UTC)


class Aws:
    """Services that answer what they were told to, in that order."""

    def __init__(self) -> None:
        self._connected: dict[str, tuple[Any, Stubber]] = {}

    def __getattr__(self, service: str) -> Stubber:
        return self._service(service)[1]

    def _service(self, name: str) -> tuple[Any, Stubber]:
        if name not in self._connected:
            self._connected[name] = stubbed(name)
        return self._connected[name]

    def account(self) -> module.Account:
        return module.Account(lambda service: self._service(service)[0], "localgov")


@pytest.fixture
def aws() -> Aws:
    return Aws()


def test_stacks_of_others_are_not_told_and_drift_that_was_looked_for_is(aws: Aws) -> None:
    stack = {"StackStatus": "CREATE_COMPLETE", "CreationTime": WHEN}
    drift = {"DriftInformation": {"StackDriftStatus": "DRIFTED"}}
    found = [
        {**stack, "StackName": "localgov-network", **drift},
        {**stack, "StackName": "localgov-database", "LastUpdatedTime": WHEN.replace(hour=9)},
        {**stack, "StackName": "another"},
    ]
    aws.cloudformation.add_response("describe_stacks", {"Stacks": found})
    assert module.stacks(aws.account()) == [
        {
            "name": "localgov-database",
            "status": "CREATE_COMPLETE",
            "updated": "2026-11-26T09:00:00Z",
            "drift": "NOT_CHECKED",
        },
        {
            "name": "localgov-network",
            "status": "CREATE_COMPLETE",
            "updated": "2026-11-26T08:00:00Z",
            "drift": "DRIFTED",
        },
    ]


def test_services_beyond_the_first_page_and_the_first_ten_are_told(aws: Aws) -> None:
    arns = [f"arn:aws:ecs:eu-west-2:012345670123:service/localgov/s{number:02}" for number in range(11)]
    aws.ecs.add_response("list_services", {"serviceArns": arns[:6], "nextToken": "more"})
    aws.ecs.add_response("list_services", {"serviceArns": arns[6:]})
    for part in (arns[:10], arns[10:]):
        services = [
            {
                "serviceName": arn.rpartition("/")[2],
                "status": "ACTIVE",
                "desiredCount": 1,
                "runningCount": 0,
                "taskDefinition": "localgov-s:1",
                "deployments": [{"status": "PRIMARY", "rolloutState": "FAILED"}],
            }
            for arn in part
        ]
        aws.ecs.add_response("describe_services", {"services": services})
    definition = {
        "family": "localgov-s",
        "revision": 1,
        "containerDefinitions": [{"name": "s", "image": "registry/localgov/s@sha256:abc"}],
    }
    for _arn in arns:
        aws.ecs.add_response("describe_task_definition", {"taskDefinition": definition})
    found = module.services(aws.account())
    assert [one["name"] for one in found] == [f"s{number:02}" for number in range(11)]
    assert found[0] == {
        "name": "s00",
        "desired": 1,
        "running": 0,
        "rollout": "FAILED",
        "task_definition": "localgov-s:1",
        "images": {"s": "sha256:abc"},
    }


def test_a_refused_call_is_noted_with_what_it_needs_and_the_rest_is_told(aws: Aws) -> None:
    aws.s3.add_client_error("get_bucket_policy", "AccessDenied", "no")
    tags = [{"Key": "share", "Value": "revoked"}, {"Key": "share-since", "Value": "2026-11-26T08:00:00Z"}]
    aws.s3.add_response("get_bucket_tagging", {"TagSet": tags})
    account = aws.account()
    share = module.share(account, "localgov-012345670123-shared")
    assert share == {"open": None, "decided": "revoked", "since": "2026-11-26T08:00:00Z"}
    (note,) = account.unread
    assert note["part"] == "share"
    assert "needs s3:GetBucketPolicy on localgov-012345670123-shared" in note["reason"]


@pytest.mark.parametrize("code", ["NoSuchBucket", "NoSuchBucketPolicy"])
def test_a_bucket_that_is_not_there_or_has_no_policy_is_closed(aws: Aws, code: str) -> None:
    aws.s3.add_client_error("get_bucket_policy", code)
    aws.s3.add_client_error("get_bucket_tagging", "NoSuchTagSet")
    account = aws.account()
    assert module.share(account, "localgov-012345670123-shared")["open"] is False
    assert account.unread == []


def test_a_cluster_that_is_not_there_has_no_services(aws: Aws) -> None:
    aws.ecs.add_client_error("list_services", "ClusterNotFoundException")
    account = aws.account()
    assert account.read("services", "", lambda: module.services(account), []) == []
    assert account.unread == []


def test_of_the_latest_submissions_neither_name_nor_person_is_told(aws: Aws) -> None:
    keys = [f"results/ssda903/2026/{name}/report.json" for name in ("older", "newest", "old")]
    entries = [
        {"Key": key, "LastModified": WHEN.replace(minute=minute)} for key, minute in zip(keys, (1, 3, 2), strict=True)
    ]
    entries.append({"Key": "results/ssda903/2026/newest/table.parquet", "LastModified": WHEN.replace(minute=9)})
    aws.s3.add_response("list_objects_v2", {"Contents": entries})
    report = {
        "state": "rejected",
        "finished_at": "2026-11-26T08:03:00Z",
        "errors": {"total": 4},
        "uploaded_by": "jo@example.gov.uk",
        "file_name": "jo's children.csv",
    }
    for key in (keys[1], keys[2]):
        expected = {"Bucket": "store", "Key": key}
        aws.s3.add_response("get_object", {"Body": io.BytesIO(json.dumps(report).encode())}, expected)
    told = module.runs(aws.account(), "store", 2)
    assert told[0] == {
        "dataset": "ssda903",
        "year": "2026",
        "state": "rejected",
        "finished_at": "2026-11-26T08:03:00Z",
        "errors": 4,
    }
    assert len(told) == 2


def test_only_alarms_of_the_platform_that_have_gone_off_are_asked_for(aws: Aws) -> None:
    alarm = {"AlarmName": "localgov-run", "StateUpdatedTimestamp": WHEN, "AlarmDescription": "What to do: ..."}
    asked = {"StateValue": "ALARM", "AlarmNamePrefix": "localgov-"}
    aws.cloudwatch.add_response("describe_alarms", {"MetricAlarms": [alarm]}, asked)
    assert module.alarms(aws.account()) == [
        {"name": "localgov-run", "since": "2026-11-26T08:00:00Z", "description": "What to do: ..."}
    ]
