# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""EventBridge Scheduler carries out what AWS would, as the schedule's role, and keeps what fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError

from sandbox.emulator import cron
from tests.sandbox.conftest import policy

LONDON = ZoneInfo("Europe/London")
GROUP = "localgov"


@pytest.fixture(scope="module")
def account(sandbox: Any) -> Any:
    """Clients of camden, which has a service, a group of schedules and a queue for what fails."""

    class Account:
        def client(self, service: str) -> Any:
            return sandbox.client(service, sandbox.root("camden"))

        def arn(self, service: str, resource: str, region: str = sandbox.description["region"]) -> str:
            return f"arn:aws:{service}:{region}:{sandbox.account('camden')}:{resource}"

    found = Account()
    found.client("scheduler").create_schedule_group(Name=GROUP)
    found.client("sqs").create_queue(QueueName="localgov-scheduled-failed")
    ecs = found.client("ecs")
    ecs.create_cluster(clusterName="scheduled")
    container = {"name": "web", "image": "web", "memory": 128}
    ecs.register_task_definition(family="scheduled-web", containerDefinitions=[container])
    for name in ("web", "other"):
        ecs.create_service(cluster="scheduled", serviceName=name, taskDefinition="scheduled-web", desiredCount=0)
    return found


@pytest.fixture
def role(account: Any, unique: str) -> Callable[..., str]:
    """Makes a role that may set the count of the service `web`, and send to the queue."""

    def make(trusted: str = "scheduler.amazonaws.com", group: str = GROUP) -> str:
        iam = account.client("iam")
        source = {"aws:SourceArn": account.arn("scheduler", f"schedule-group/{group}")}
        trust = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
        made = iam.create_role(
            RoleName=unique, AssumeRolePolicyDocument=policy({**trust, "Condition": {"StringEquals": source}})
        )
        allowed = [("ecs:UpdateService", account.arn("ecs", "service/scheduled/web"))]
        allowed.append(("sqs:SendMessage", account.arn("sqs", "localgov-scheduled-failed")))
        statements = [{"Effect": "Allow", "Action": action, "Resource": arn} for action, arn in allowed]
        iam.put_role_policy(RoleName=unique, PolicyName="own", PolicyDocument=policy(*statements))
        return str(made["Role"]["Arn"])

    return make


def in_a_moment() -> str:
    return f"at({(datetime.now(UTC) + timedelta(seconds=1)).strftime('%Y-%m-%dT%H:%M:%S')})"


def scheduled(account: Any, name: str, role: str, expression: str = "", **given: Any) -> None:
    asked = {"Cluster": "scheduled", "Service": "web", "DesiredCount": 3, **given}
    account.client("scheduler").create_schedule(
        Name=name,
        GroupName=GROUP,
        ScheduleExpression=expression or in_a_moment(),
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:ecs:updateService",
            "RoleArn": role,
            "Input": json.dumps({key: value for key, value in asked.items() if value is not None}),
            "DeadLetterConfig": {"Arn": account.arn("sqs", "localgov-scheduled-failed")},
        },
    )


def names(account: Any) -> list[str]:
    return [entry["Name"] for entry in account.client("scheduler").list_schedules(GroupName=GROUP)["Schedules"]]


def done(account: Any, name: str) -> None:
    deadline = time.monotonic() + 20
    while name in names(account):
        assert time.monotonic() < deadline, f"{name} was not carried out"
        time.sleep(0.2)


def count(account: Any, service: str) -> int:
    (found,) = account.client("ecs").describe_services(cluster="scheduled", services=[service])["services"]
    return int(found["desiredCount"])


def dead_letter(account: Any) -> dict[str, Any]:
    sqs = account.client("sqs")
    url = sqs.get_queue_url(QueueName="localgov-scheduled-failed")["QueueUrl"]
    deadline = time.monotonic() + 10
    while True:
        found = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"], WaitTimeSeconds=1).get("Messages", [])
        if found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=found[0]["ReceiptHandle"])
            return {key: value["StringValue"] for key, value in found[0]["MessageAttributes"].items()}
        assert time.monotonic() < deadline, "nothing came to the queue"


def test_a_schedule_calls_ecs_once_as_its_role_and_is_gone(account: Any, role: Any, unique: str) -> None:
    scheduled(account, unique, role())
    done(account, unique)
    assert count(account, "web") == 3


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"Service": "other"}, "AccessDeniedException"),
        ({"Service": None, "service": "web"}, "ValueError"),
    ],
    ids=["what-the-role-may-not", "names-that-aws-does-not-take"],
)
def test_what_fails_changes_nothing_and_is_kept_in_the_queue(
    account: Any, role: Any, unique: str, given: dict[str, Any], code: str
) -> None:
    scheduled(account, unique, role(), **given)
    done(account, unique)
    assert dead_letter(account)["ERROR_CODE"] == code
    assert count(account, "other") == 0


def test_a_role_that_trusts_other_schedules_only_is_not_assumed(account: Any, role: Any, unique: str) -> None:
    scheduled(account, unique, role(group="another"), DesiredCount=7)
    done(account, unique)
    assert count(account, "web") != 7


@pytest.mark.parametrize(
    "expression", ["cron(0 8 * * MON-FRI *)", "cron(61 8 ? * MON-FRI *)", "at(2026-13-01)", "soon"]
)
def test_an_expression_that_aws_would_not_take_is_refused(account: Any, unique: str, expression: str) -> None:
    with pytest.raises(ClientError, match="Invalid Schedule Expression"):
        scheduled(account, unique, account.arn("iam", "role/none", ""), expression)


def test_a_deployer_is_held_to_its_own_group(sandbox: Any, account: Any, unique: str) -> None:
    scheduler = sandbox.client("scheduler", sandbox.deployer("camden"))
    with pytest.raises(ClientError, match="AccessDenied"):
        scheduler.get_schedule(Name=unique, GroupName="another")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        scheduler.get_schedule(Name=unique, GroupName=GROUP)


def fires(expression: str, *moment: int) -> bool:
    return cron.parse(expression).fires(datetime(*moment, tzinfo=UTC), LONDON)  # type: ignore[misc,arg-type]


def test_an_expression_is_read_by_the_clock_of_its_time_zone() -> None:
    eight = "cron(0 8 ? 6,12 MON-FRI 2026-2199)"
    assert fires(eight, 2026, 6, 1, 7, 0)
    assert fires(eight, 2026, 12, 1, 8, 0)
    assert not fires(eight, 2026, 12, 5, 8, 0)  # a Saturday
    assert not fires(eight, 2025, 12, 1, 8, 0)


def test_a_time_that_the_clock_skips_never_comes_and_one_that_it_shows_twice_counts_once() -> None:
    half_past_one = "cron(30 1 29,25 3,10 ? 2026)"
    assert [hour for hour in range(4) if fires(half_past_one, 2026, 3, 29, hour, 30)] == []
    assert [hour for hour in range(4) if fires(half_past_one, 2026, 10, 25, hour, 30)] == [0]


def test_the_moment_of_a_one_time_expression_is_in_its_time_zone_too() -> None:
    assert cron.at("at(2026-06-01T08:00:00)", LONDON) == datetime(2026, 6, 1, 7, tzinfo=UTC)
    assert cron.at("cron(0 8 ? * * *)", LONDON) is None
