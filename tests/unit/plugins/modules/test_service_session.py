# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order AWS is asked, and what is said when it refuses.

Whole sessions: tests/e2e/operators/test_webserver.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
import yaml
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils import _service_session as session
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.modules import service_session
from botocore.stub import Stubber

from tests.unit.plugins.modules.test_access import assert_documented

SERVICE = session.Service("localgov", "dagit")
SWITCH = session.Switch("localgov", "arn:aws:iam::012345670123:role/off", "arn:aws:sqs:eu-west-2:012345670123:failed")
OLD = "session-dagit-20200101T000000Z"


class Aws:
    """Two services of AWS that answer what they were told to, and remember in which order they were asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._stubs = {name: self._stub(name) for name in ("ecs", "scheduler")}
        clients = {
            name: RetryingBotoClientWrapper(stub.client, AWSRetry.jittered_backoff(retries=1))
            for name, stub in self._stubs.items()
        }
        self.account = service_session.Account(clients["ecs"], clients["scheduler"], SERVICE, SWITCH.group)

    def _stub(self, name: str) -> Stubber:
        client = botocore.session.get_session().create_client(
            name, region_name="eu-west-2", aws_access_key_id="x", aws_secret_access_key="x"
        )
        client.meta.events.register(f"before-parameter-build.{name}", lambda model, **_: self.asked.append(model.name))
        stubber = Stubber(client)
        stubber.activate()
        return stubber

    def answers(self, service: str, operation: str, **answer: Any) -> None:  # noqa: ANN401 - whatever AWS may say
        self._stubs[service].add_response(operation, answer)

    def refuses(self, service: str, operation: str, code: str) -> None:
        self._stubs[service].add_client_error(operation, code)

    def has(self, count: int, *schedules: str) -> None:
        self.answers("ecs", "describe_services", services=[{"status": "ACTIVE", "desiredCount": count}])
        entries = [{"Name": name} for name in schedules]
        self.answers("scheduler", "list_schedules", Schedules=entries)
        for name in schedules:
            moment = datetime.strptime(name, "session-dagit-%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            made = session.schedule(SERVICE, SWITCH, moment)
            self.answers("scheduler", "get_schedule", **made, State="ENABLED")

    def opens(self, minutes: int = 60, *, check: bool = False) -> dict[str, Any]:
        return service_session.opened(self.account, SWITCH, timedelta(minutes=minutes), check=check)


@pytest.fixture
def aws() -> Aws:
    return Aws()


def test_what_ends_a_session_is_there_before_it_begins(aws: Aws) -> None:
    aws.has(0)
    aws.answers("scheduler", "create_schedule", ScheduleArn="arn:made")
    aws.answers("ecs", "update_service")
    found = aws.opens()
    assert aws.asked == ["DescribeServices", "ListSchedules", "CreateSchedule", "UpdateService"]
    assert found["changed"]
    assert found["diff"]["after"]["desired_count"] == 1


def test_what_would_end_it_too_early_goes_when_the_new_end_is_sure(aws: Aws) -> None:
    aws.has(1, OLD)
    aws.answers("scheduler", "create_schedule", ScheduleArn="arn:made")
    aws.answers("scheduler", "delete_schedule")
    assert aws.opens()["changed"]
    assert aws.asked[-2:] == ["CreateSchedule", "DeleteSchedule"]


def test_a_schedule_that_is_carried_out_meanwhile_is_no_error(aws: Aws) -> None:
    aws.has(1, OLD)
    aws.answers("scheduler", "create_schedule", ScheduleArn="arn:made")
    aws.refuses("scheduler", "delete_schedule", "ResourceNotFoundException")
    assert aws.opens()["changed"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ResourceNotFoundException", r"no group of schedules localgov .* nothing was switched on"),
        ("AccessDeniedException", r"needs scheduler:CreateSchedule in the group localgov, and iam:PassRole"),
        ("ServiceQuotaExceededException", r"Cannot make a schedule that switches dagit off"),
    ],
)
def test_nothing_is_switched_on_that_nothing_would_switch_off(aws: Aws, code: str, message: str) -> None:
    aws.has(0)
    aws.refuses("scheduler", "create_schedule", code)
    with pytest.raises(RefusedError, match=message):
        aws.opens()
    assert "UpdateService" not in aws.asked


def test_a_rehearsal_changes_nothing(aws: Aws) -> None:
    aws.has(0, OLD)
    assert aws.opens(check=True)["changed"]
    assert aws.asked == ["DescribeServices", "ListSchedules", "GetSchedule"]


def test_a_session_is_ended_before_its_schedule_goes(aws: Aws) -> None:
    aws.has(1, OLD)
    aws.answers("ecs", "update_service")
    aws.answers("scheduler", "delete_schedule")
    assert service_session.closed(aws.account, check=False)["changed"]
    assert aws.asked[-2:] == ["UpdateService", "DeleteSchedule"]


def test_what_is_off_already_is_left_alone(aws: Aws) -> None:
    aws.has(0)
    assert not service_session.closed(aws.account, check=False)["changed"]


def test_a_service_that_is_not_there_is_named_with_what_to_do(aws: Aws) -> None:
    aws.answers("ecs", "describe_services", services=[])
    with pytest.raises(RefusedError, match=r"cluster localgov of this account has no service dagit. Deploy it first"):
        aws.opens()


def test_a_task_that_never_becomes_healthy_is_told_of_with_its_reason(aws: Aws) -> None:
    aws.answers("ecs", "list_tasks", taskArns=[])
    aws.answers("ecs", "list_tasks", taskArns=["arn:stopped"])
    aws.answers("ecs", "describe_tasks", tasks=[{"stoppedReason": "Task failed container health checks"}])
    aws.answers("ecs", "list_tasks", taskArns=[])
    with pytest.raises(
        RefusedError, match=r"dagit is switched on, but no task .*: Task failed container health checks"
    ):
        service_session.ready(aws.account, 0, "2026-11-26T17:30:00Z")


def test_the_time_is_that_of_awss_clock() -> None:
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": "Thu, 26 Nov 2026 15:30:00 GMT"}}}
    assert service_session._clock(answer) == datetime(2026, 11, 26, 15, 30, tzinfo=UTC)


def test_what_is_documented_is_what_it_takes() -> None:
    documented = yaml.safe_load(service_session.DOCUMENTATION)
    assert_documented(documented["options"], service_session.ARGUMENTS)
    for task in yaml.safe_load(service_session.EXAMPLES):
        assert set(task.get("localgov.platform.service_session", {})) <= set(documented["options"])
