# SPDX-License-Identifier: GPL-3.0-or-later
"""The web interface is on for a stated time, for nobody but operators, and off again whatever becomes of their machine.

One account's session is killed at its beginning and left to AWS; another one's is followed to its end meanwhile.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
import requests
from ansible_collections.localgov.platform.plugins.plugin_utils import _calendar_schedules as calendars
from ansible_collections.localgov.platform.plugins.plugin_utils import _working_hours as hours

from sandbox.journey.person import wait_for
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures
from tests.e2e.operators.test_deployment import recap
from tests.e2e.operators.test_verify import kill_with_workers, started
from tests.unit.plugins.plugin_utils.test_calendar_schedules import fired

KILLED, FOLLOWED = "camden", "croydon"
CLUSTER = SCHEDULES = "localgov"
PORT = 3000
# A machine whose clock shows another day than AWS's.
ELSEWHERE = "Pacific/Kiritimati"


@dataclass(frozen=True)
class Interface:
    """The web interface of one account."""

    settings: Settings
    account: str

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        return client_of_root(self.settings, self.account, service)

    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client("ecs").describe_services(cluster=CLUSTER, services=["dagit"])["services"][0]
        return found

    def count(self) -> int:
        return int(self.service()["desiredCount"])

    def task(self) -> dict[str, Any]:
        ecs = self.client("ecs")
        (arn,) = ecs.list_tasks(cluster=CLUSTER, serviceName="dagit")["taskArns"]
        found: dict[str, Any] = ecs.describe_tasks(cluster=CLUSTER, tasks=[arn])["tasks"][0]
        return found

    def schedules(self) -> dict[str, dict[str, Any]]:
        """Those that switch it off, by their expressions."""
        scheduler = self.client("scheduler")
        listed = scheduler.list_schedules(GroupName=SCHEDULES, NamePrefix="session-dagit-")["Schedules"]
        found = [scheduler.get_schedule(Name=entry["Name"], GroupName=SCHEDULES) for entry in listed]
        return {schedule["ScheduleExpression"]: schedule for schedule in found}

    def calendar(self) -> list[dict[str, Any]]:
        """The schedules that keep working hours."""
        scheduler = self.client("scheduler")
        listed = scheduler.list_schedules(GroupName=SCHEDULES, NamePrefix="calendar-")["Schedules"]
        return [scheduler.get_schedule(Name=entry["Name"], GroupName=SCHEDULES) for entry in listed]

    def count_of(self, service: str) -> int:
        (found,) = self.client("ecs").describe_services(cluster=CLUSTER, services=[service])["services"]
        return int(found["desiredCount"])

    def bring_forward(self, edge: str, **other: str) -> None:
        """An edge of the calendar, now: as the deployed schedule has it, but for when, and for *other* of its input."""
        found = next(one for one in self.calendar() if one["Name"].startswith(f"calendar-{edge}-"))
        call = {**json.loads(found["Target"]["Input"]), **other}
        self.client("scheduler").create_schedule(
            Name=f"brought-forward-{edge}",
            GroupName=SCHEDULES,
            ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
            FlexibleTimeWindow=found["FlexibleTimeWindow"],
            ActionAfterCompletion="DELETE",
            Target={**found["Target"], "Input": json.dumps(call)},
        )

    def not_switched(self) -> int:
        sqs = self.client("sqs")
        queue = sqs.get_queue_url(QueueName="localgov-hours")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
        return int(attributes["Attributes"]["ApproximateNumberOfMessages"])


@dataclass(frozen=True)
class Killed:
    interface: Interface
    schedules: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def killed(settings: Settings, deployed: subprocess.CompletedProcess[str]) -> Killed:
    """The run is killed as soon as the service is switched on; what there was of schedules at that moment."""
    interface = Interface(settings, KILLED)
    run = started("webserver", "--limit", KILLED, "-e", "state=on", "-e", "for=30s")
    try:
        wait_for(lambda: interface.count() == 1, "the web interface to be switched on", 60)
    finally:
        kill_with_workers(run)
    return Killed(interface, interface.schedules())


@pytest.fixture(scope="module")
def interface(settings: Settings, killed: Killed) -> Interface:
    """Begun when the other one has been killed, which AWS switches off meanwhile."""
    return Interface(settings, FOLLOWED)


@pytest.fixture(scope="module")
def session(interface: Interface, playbook: Playbook) -> tuple[subprocess.CompletedProcess[str], datetime]:
    """A run that switches it on, from a machine in another time zone, and when it began."""
    began = datetime.now(UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", ELSEWHERE)
        run = playbook("webserver", "--limit", FOLLOWED, "-e", "state=on", "-e", "for=20m")
    assert run.returncode == 0, failures(run)
    return run, began


@pytest.fixture(scope="module")
def url(session: tuple[subprocess.CompletedProcess[str], datetime]) -> str:
    """Where it says that the interface is."""
    found = re.search(rf"http://\S+:{PORT}", session[0].stdout)
    assert found, session[0].stdout
    return found[0]


def test_a_run_asks_for_what_it_needs_and_switches_nothing(
    settings: Settings, deployed: subprocess.CompletedProcess[str], playbook: Playbook
) -> None:
    for arguments, message in [
        (["-e", "state=on", "-e", "for=2h"], "Name the accounts, as in --limit camden"),
        (["--limit", FOLLOWED, "-e", "state=up"], "Say what to do, as in -e state=on -e for=2h"),
        (["--limit", FOLLOWED, "-e", "state=on", "-e", "for=13h"], "for 30s to 12h, not for 13h"),
    ]:
        refused = playbook("webserver", *arguments)
        assert refused.returncode != 0
        assert message in " ".join(refused.stdout.split())
        assert all(counts["changed"] == 0 for counts in recap(refused).values())
    assert Interface(settings, FOLLOWED).count() == 0


def test_what_switches_it_off_is_there_when_it_is_switched_on(killed: Killed) -> None:
    ((expression, schedule),) = killed.schedules.items()
    assert datetime.fromisoformat(expression[3:-1]).replace(tzinfo=UTC) < datetime.now(UTC) + timedelta(seconds=32)
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(":localgov-hours")


def test_the_way_in_that_is_printed_leads_there(url: str) -> None:
    assert "webserver" in requests.get(f"{url}/server_info", timeout=30).text


def test_it_is_on_for_as_long_as_was_said_whatever_the_machines_time_zone(
    interface: Interface, session: tuple[subprocess.CompletedProcess[str], datetime]
) -> None:
    run, began = session
    (expression,) = interface.schedules()
    off_at = datetime.fromisoformat(expression[3:-1]).replace(tzinfo=UTC)
    assert timedelta(0) <= off_at - began - timedelta(minutes=20) < timedelta(minutes=1)
    assert f"is on until {off_at.strftime('%Y-%m-%dT%H:%M:%SZ')} (UTC)" in run.stdout


def test_nothing_of_it_is_public_while_it_is_on(interface: Interface, url: str) -> None:
    ec2, service = interface.client("ec2"), interface.service()
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    assert network["assignPublicIp"] == "DISABLED"
    assert service["loadBalancers"] == []
    (group,) = ec2.describe_security_groups(GroupIds=network["securityGroups"])["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert len(network["subnets"]) > 1
    for subnet in ec2.describe_subnets(SubnetIds=network["subnets"])["Subnets"]:
        assert subnet["MapPublicIpOnLaunch"] is False
        of_subnet = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
        (table,) = ec2.describe_route_tables(Filters=of_subnet)["RouteTables"]
        assert [route for route in table["Routes"] if route.get("DestinationCidrBlock") == "0.0.0.0/0"] == []
    details = [detail["name"] for part in interface.task()["attachments"] for detail in part["details"]]
    assert [name for name in details if "ublic" in name] == []


def test_nobody_gets_in_from_another_machine(url: str) -> None:
    connections = psutil.net_connections("tcp")
    listeners = [entry.laddr for entry in connections if entry.status == psutil.CONN_LISTEN and entry.laddr]
    listening = {address.ip for address in listeners if address.port == PORT}
    assert listening
    assert {address for address in listening if not address.startswith("127.")} == set()
    outside = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET and not entry.address.startswith("127.")
    ]
    for address in outside:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{address}:{PORT}/server_info", timeout=5)


@pytest.fixture(scope="module")
def working_hours() -> dict[str, Any]:
    """Edges that are hours away from now, for whatever is deployed; a holiday on what would be a working day."""
    now = datetime.now(ZoneInfo("Europe/London"))
    edges = [(now + timedelta(hours=away)).strftime("%H:00") for away in (6, 9)]
    days = {day: edges for day in hours.DAYS[:5]}
    holiday = now + timedelta(days=14 - now.weekday())
    services = ["frontend", "daemon", "code_server"]
    return {"time_zone": "Europe/London", "days": days, "holidays": [f"{holiday:%Y-%m-%d}"], "services": services}


@dataclass(frozen=True)
class Deployment:
    """One that changes every service, as from then on a calendar switches them; and what there was before it."""

    run: subprocess.CompletedProcess[str]
    task: str
    schedules: set[str]


@pytest.fixture(scope="module")
def with_calendar(interface: Interface, url: str, playbook: Playbook, working_hours: dict[str, Any]) -> Deployment:
    """While a session is on, and the daemon was switched off by hand."""
    interface.client("ecs").update_service(cluster=CLUSTER, service="daemon", desiredCount=0)
    task, schedules = interface.task()["taskArn"], set(interface.schedules())
    run = playbook("site", "--limit", FOLLOWED, "-e", json.dumps({"platform_hours": working_hours}))
    assert run.returncode == 0, failures(run)
    return Deployment(run, task, schedules)


def test_a_deployment_does_not_disturb_a_session(interface: Interface, with_calendar: Deployment) -> None:
    assert recap(with_calendar.run)[FOLLOWED]["changed"] > 0
    assert "List later ones in time and run this again" in " ".join(with_calendar.run.stdout.split())
    assert interface.task()["taskArn"] == with_calendar.task
    assert interface.schedules().keys() == with_calendar.schedules


def test_what_a_hand_has_switched_stays_so_until_the_next_edge(interface: Interface, with_calendar: Deployment) -> None:
    assert interface.count_of("daemon") == 0
    interface.bring_forward("daemon-on")
    wait_for(lambda: interface.count_of("daemon") == 1, "the calendar to switch the daemon on", 30)
    interface.bring_forward("daemon-off")
    wait_for(lambda: interface.count_of("daemon") == 0, "the calendar to switch the daemon off", 30)


def test_a_schedule_that_fails_switches_nothing_and_its_queue_is_watched_by_an_alarm(
    interface: Interface, with_calendar: Deployment
) -> None:
    """As one does that would switch the web interface, which no calendar may."""
    (queue,) = {one["Target"]["DeadLetterConfig"]["Arn"].rpartition(":")[2] for one in interface.calendar()}
    (alarm,) = interface.client("cloudwatch").describe_alarms(AlarmNames=["localgov-hours"])["MetricAlarms"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": queue}]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    interface.bring_forward("frontend-off", Service="dagit")
    wait_for(lambda: interface.not_switched() == 1, "what failed to come to the queue", 30)
    assert (interface.count(), interface.count_of("frontend")) == (1, 1)


def test_the_deployed_schedules_keep_the_working_hours_over_clock_changes_and_holidays(
    interface: Interface, with_calendar: Deployment, working_hours: dict[str, Any]
) -> None:
    calendar = hours.calendar(working_hours)
    now = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    until = hours.moment(calendars.renew_by(calendar, now), calendar.zone)
    wanted = sorted((switch.at, switch.on) for switch in hours.switches(calendar, now, until))
    deployed: dict[str, list[calendars.Schedule]] = {}
    for schedule in interface.calendar():
        target = json.loads(schedule["Target"]["Input"])
        assert (target["Cluster"], target["DesiredCount"] in (0, 1)) == (CLUSTER, True)
        assert schedule["ScheduleExpressionTimezone"] == "Europe/London"
        found = calendars.Schedule(schedule["Name"], schedule["ScheduleExpression"], target["DesiredCount"] == 1)
        deployed.setdefault(target["Service"], []).append(found)
    assert deployed.keys() == {"frontend", "daemon", "code-server"}
    for schedules in deployed.values():
        assert sorted(fired(calendar, schedules, now, until)) == wanted


def test_asked_again_it_stays_on_longer_never_shorter(interface: Interface, url: str, playbook: Playbook) -> None:
    (first,) = interface.schedules()
    shorter = playbook("webserver", "--limit", FOLLOWED, "-e", "state=on", "-e", "for=5m")
    assert recap(shorter)[FOLLOWED]["changed"] == 0
    assert first[3:-1] in shorter.stdout
    on_aws = ["-e", "platform_way_in=session_manager"]
    longer = playbook("webserver", "--limit", FOLLOWED, "-e", "state=on", "-e", "for=2h", *on_aws)
    assert recap(longer)[FOLLOWED]["changed"] == 1
    said = " ".join(longer.stdout.split())
    task = interface.task()
    target = f"ecs:localgov_{task['taskArn'].rpartition('/')[2]}_{task['containers'][0]['runtimeId']}"
    assert f"aws ssm start-session --region {interface.settings.region} --target {target}" in said
    assert '{"portNumber":["3000"],"localPortNumber":["3000"]}' in said
    (second,) = interface.schedules()
    assert second > first
    assert interface.count() == 1


def test_it_is_switched_off_when_asked_and_nothing_is_left_to_do_so(
    interface: Interface, url: str, playbook: Playbook
) -> None:
    foreseen = playbook("webserver", "--limit", FOLLOWED, "-e", "state=off", "--check")
    assert recap(foreseen)[FOLLOWED]["changed"] == 1
    assert interface.count() == 1
    run = playbook("webserver", "--limit", FOLLOWED, "-e", "state=off")
    assert recap(run)[FOLLOWED]["changed"] == 1
    assert interface.count() == 0
    assert interface.schedules() == {}
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/server_info", timeout=5)


def test_it_switches_itself_off_after_the_controller_was_killed(killed: Killed) -> None:
    interface = killed.interface
    wait_for(lambda: interface.count() == 0, "the web interface to be switched off by AWS", 60)
    wait_for(lambda: interface.schedules() == {}, "the schedule to delete itself", 10)
    wait_for(lambda: interface.service()["runningCount"] == 0, "its task to end", 60)
    assert interface.not_switched() == 0
