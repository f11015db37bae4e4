# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a session lasts, and which schedules see to its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _service_session as session
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from hypothesis import given
from hypothesis import strategies as some

NOW = datetime(2026, 11, 26, 15, 30, tzinfo=UTC)
LONGEST = timedelta(hours=12)
DAGIT = session.Service("localgov", "dagit")
SWITCH = session.Switch("localgov", "arn:role", "arn:queue")


def existing(minutes: float, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - anything that AWS may answer
    return {**session.schedule(DAGIT, SWITCH, NOW + timedelta(minutes=minutes)), "State": "ENABLED", **given}


@pytest.mark.parametrize(("text", "minutes"), [("2h", 120), ("90m", 90), ("1h30m", 90), ("30s", 0.5), ("12h", 720)])
def test_a_length_is_written_in_hours_and_minutes(text: str, minutes: float) -> None:
    assert session.length(text, LONGEST) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "2d", "1h1h", "2H", "1.5h", "9999999h", "٢h"])
def test_what_is_no_length_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RefusedError, match=r"Write .* as in"):
        session.length(text, LONGEST)


@pytest.mark.parametrize("text", ["0h", "29s", "12h1s", "999999h"])
def test_a_length_has_limits(text: str) -> None:
    with pytest.raises(RefusedError, match="switched on for 30s to 12h, not for"):
        session.length(text, LONGEST)


@given(some.integers(30, 12 * 3600))
def test_a_length_is_read_as_it_is_written(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert session.length(session.written(span), LONGEST) == span


def test_a_session_lasts_at_least_as_long_as_was_asked_for() -> None:
    plan = session.plan([], timedelta(hours=2), NOW.replace(microsecond=1))
    assert plan.off_at - NOW >= timedelta(hours=2)
    assert plan.off_at.microsecond == 0
    assert (plan.make, plan.remove) == (True, [])


def test_asked_for_longer_a_new_schedule_takes_the_place_of_those_that_are_earlier() -> None:
    before = [existing(5), existing(-3)]
    plan = session.plan(before, timedelta(hours=2), NOW)
    assert plan.make
    assert plan.remove == sorted(one["Name"] for one in before)


def test_asked_for_shorter_the_latest_schedule_stays_alone() -> None:
    plan = session.plan([existing(60), existing(90), existing(5)], timedelta(minutes=10), NOW)
    assert plan.off_at == NOW + timedelta(minutes=90)
    assert not plan.make
    assert existing(90)["Name"] not in plan.remove
    assert len(plan.remove) == 2


@pytest.mark.parametrize(
    "changed",
    [{"State": "DISABLED"}, {"ScheduleExpression": "cron(0 8 ? * * *)"}, {"ScheduleExpressionTimezone": "Asia/Tokyo"}],
)
def test_a_schedule_that_somebody_changed_is_not_relied_on(changed: dict[str, str]) -> None:
    plan = session.plan([existing(90, **changed)], timedelta(minutes=10), NOW)
    assert plan.make
    assert len(plan.remove) == 1


def test_a_schedule_sets_the_count_to_zero_once_and_deletes_itself() -> None:
    made = existing(60)
    assert made["ScheduleExpression"] == "at(2026-11-26T16:30:00)"
    assert made["ScheduleExpressionTimezone"] == "UTC"
    assert made["ActionAfterCompletion"] == "DELETE"
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert json.loads(made["Target"]["Input"]) == {"Cluster": "localgov", "Service": "dagit", "DesiredCount": 0}
    assert made["Target"]["DeadLetterConfig"] == {"Arn": "arn:queue"}
    assert len(made["Name"]) <= 64


TASK: dict[str, Any] = {
    "taskArn": "arn:aws:ecs:eu-west-2:012345670123:task/localgov/9f1c",
    "lastStatus": "RUNNING",
    "healthStatus": "HEALTHY",
    "attachments": [{"details": [{"name": "privateIPv4Address", "value": "10.0.18.7"}]}],
    "containers": [{"name": "dagit", "runtimeId": "9f1c-12", "managedAgents": [{"lastStatus": "RUNNING"}]}],
}


def test_session_manager_knows_a_task_by_cluster_id_and_container() -> None:
    found = session.way_in(TASK, DAGIT)
    assert found["session_manager_target"] == "ecs:localgov_9f1c_9f1c-12"
    assert found["address"] == "10.0.18.7"


@pytest.mark.parametrize(
    ("changed", "ready"),
    [
        ({}, True),
        ({"containers": [{"name": "dagit"}]}, True),
        ({"healthStatus": "UNKNOWN"}, False),
        ({"lastStatus": "DEPROVISIONING"}, False),
        ({"containers": [{"name": "dagit", "managedAgents": [{"lastStatus": "PENDING"}]}]}, False),
    ],
)
def test_a_task_is_ready_when_it_is_healthy_and_can_be_reached(changed: dict[str, Any], ready: bool) -> None:
    assert session.is_ready({**TASK, **changed}) is ready
