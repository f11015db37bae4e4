# SPDX-License-Identifier: GPL-3.0-or-later
"""EventBridge Scheduler: time zones, calls of AWS by universal targets with the schedule's role, dead letters.

As shipped every expression is read in UTC, a universal target does nothing, nobody asks the role, what fails is only
logged, and a stack's schedule loses its time zone. Here a call goes through the emulator's front door with a session
of the role. What fails goes to the dead-letter queue at once: nothing is tried again, as AWS would what may pass.
"""

from __future__ import annotations

import functools
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sandbox.emulator import cron
from sandbox.emulator.internals import find
from sandbox.runtime import roles
from sandbox.settings import Settings

_SCHEDULER = "ministack.services.scheduler"
_PROVISIONERS = "ministack.services.cloudformation.provisioners"
_ACTIONS = "ministack.core.iam_actions"

NEEDS = (
    f"{_ACTIONS}.extract_resource_arn",
    f"{_PROVISIONERS}._REPLACING_PROPERTIES",
    f"{_PROVISIONERS}._RESOURCE_HANDLERS",
    f"{_PROVISIONERS}._physical_name",
    f"{_SCHEDULER}._SCHEDULE_TICK_INTERVAL",
    f"{_SCHEDULER}._create_schedule",
    f"{_SCHEDULER}._delete_schedule",
    f"{_SCHEDULER}._error",
    f"{_SCHEDULER}._list_schedules",
    f"{_SCHEDULER}._schedule_last_fired",
    f"{_SCHEDULER}._schedules",
    f"{_SCHEDULER}._tick_schedules",
    f"{_SCHEDULER}._to_epoch",
    f"{_SCHEDULER}._update_schedule",
    "ministack.core.responses.request_scope",
    "ministack.services.eventbridge._invoke_target",
    "ministack.services.eventbridge._parse_rate_seconds",
)

_KIND = "AWS::Scheduler::Schedule"
_SERVICE = "scheduler.amazonaws.com"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
# AWS is exact to the minute; nobody learns anything from waiting for it here.
_SECONDS = 1.0
_EARLIER = timedelta(minutes=5)  # how far back a StartDate may lie

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]  # physical id, attributes
Answer = tuple[int, dict[str, str], bytes]
Key = tuple[str, str, str]  # account, region, group/name

_logger = logging.getLogger("sandbox")


def install(settings: Settings) -> None:
    scheduler = find(_SCHEDULER)
    scheduler._create_schedule = _checking(scheduler._create_schedule)
    scheduler._update_schedule = _checking(scheduler._update_schedule)
    scheduler._SCHEDULE_TICK_INTERVAL = _SECONDS
    scheduler._tick_schedules = Ticker(settings).tick
    find(f"{_PROVISIONERS}._RESOURCE_HANDLERS")[_KIND] = {"create": _create, "update": _update, "delete": _delete}
    find(f"{_PROVISIONERS}._REPLACING_PROPERTIES")[_KIND] = ("GroupName", "Name")
    actions = find(_ACTIONS)
    actions.extract_resource_arn = _in_its_group(actions.extract_resource_arn)


def _in_its_group(shipped: Callable[..., str]) -> Callable[..., str]:
    """As shipped a policy is asked about every schedule as if it were in the group `default`."""

    @functools.wraps(shipped)
    def extract_resource_arn(
        service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], *rest: str
    ) -> str:
        arn = shipped(service, method, path, headers, body, query, *rest)
        if service != "scheduler" or ":schedule/default/" not in arn:
            return arn
        asked = query.get("groupName") or [json.loads(body or b"{}").get("GroupName") or "default"]
        return arn.replace(":schedule/default/", f":schedule/{asked[0] if isinstance(asked, list) else asked}/")

    return extract_resource_arn


# --- What is taken ------------------------------------------------------------------------------------------------


def _checking(shipped: Callable[[str, Properties], Answer]) -> Callable[[str, Properties], Answer]:
    @functools.wraps(shipped)
    def checked(name: str, body: Properties) -> Answer:
        reason = _wrong(body)
        if reason:
            refused: Answer = find(f"{_SCHEDULER}._error")(HTTPStatus.BAD_REQUEST, "ValidationException", reason)
            return refused
        return shipped(name, body)

    return checked


def _wrong(body: Properties) -> str:
    """Why AWS would not take the schedule; empty if it would."""
    expression = body.get("ScheduleExpression", "")
    try:
        zone = ZoneInfo(body.get("ScheduleExpressionTimezone") or "UTC")
        if cron.at(expression, zone) is None and not find("ministack.services.eventbridge._parse_rate_seconds")(
            expression
        ):
            cron.parse(expression)
    except (ZoneInfoNotFoundError, ValueError) as reason:
        what = "Time Zone" if isinstance(reason, ZoneInfoNotFoundError) else "Schedule Expression"
        return f"Invalid {what} {body.get('ScheduleExpressionTimezone') if 'Zone' in what else expression}."
    start = find(f"{_SCHEDULER}._to_epoch")(body.get("StartDate"))
    if start is not None and start < (datetime.now(UTC) - _EARLIER).timestamp():
        return "The StartDate you specify cannot be earlier than 5 minutes ago."
    return ""


# --- What is due --------------------------------------------------------------------------------------------------


class Ticker:
    """Looks at each schedule once a second; remembers up to which minute it has looked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._looked: dict[Key, datetime] = {}

    def tick(self) -> None:
        now = datetime.now(UTC)
        schedules = find(f"{_SCHEDULER}._schedules")._data
        for key, schedule in list(schedules.items()):
            if not self._is_due(key, schedule, now):
                continue
            # First of all, so that nothing fires twice; a schedule is deleted some time after it completes.
            find(f"{_SCHEDULER}._schedule_last_fired")[key] = now.timestamp()
            try:
                self._fire(key, schedule)
            except Exception:  # What goes wrong with one schedule must not stop the others.
                _logger.exception("the schedule %s could not be carried out", schedule["Arn"])
            if schedule["ScheduleExpression"].startswith("at(") and schedule["ActionAfterCompletion"] == "DELETE":
                schedules.pop(key, None)

    def _is_due(self, key: Key, schedule: dict[str, Any], now: datetime) -> bool:
        since = self._looked.get(key, now)
        self._looked[key] = now
        if schedule.get("State") != "ENABLED" or not _within(schedule, now):
            return False
        zone, expression = ZoneInfo(schedule["ScheduleExpressionTimezone"]), schedule["ScheduleExpression"]
        moment, fired = cron.at(expression, zone), find(f"{_SCHEDULER}._schedule_last_fired").get(key)
        if moment is not None:
            return moment <= now and fired is None
        seconds = find("ministack.services.eventbridge._parse_rate_seconds")(expression)
        if seconds:
            return bool(now.timestamp() - (fired or schedule["CreationDate"]) >= seconds)
        return any(cron.parse(expression).fires(minute, zone) for minute in _minutes(since, now))

    def _fire(self, key: Key, schedule: dict[str, Any]) -> None:
        account, region, _ = key
        target = schedule["Target"]
        if target["Arn"].startswith(_UNIVERSAL):
            self._call(region, schedule, target)
            return
        event = {"EventId": "", "Source": "aws.scheduler", "DetailType": "Scheduled Event", "Detail": "{}"}
        about = {"Time": time.time(), "Resources": [schedule["Arn"]], "Account": account, "Region": region}
        with find("ministack.core.responses.request_scope")(account, region):
            find("ministack.services.eventbridge._invoke_target")(target, {**event, **about}, schedule)

    def _call(self, region: str, schedule: dict[str, Any], target: dict[str, Any]) -> None:
        """A universal target: the call that it names, as its role."""
        from botocore.exceptions import BotoCoreError, ClientError

        session = None
        try:
            session = roles.assume(target["RoleArn"], _group_arn(schedule), _SERVICE)
            service, action = target["Arn"].removeprefix(_UNIVERSAL).split(":")
            _ask(roles.client(self._settings, session, service, region), action, json.loads(target.get("Input", "{}")))
        except (roles.RoleError, ClientError, BotoCoreError, ValueError) as reason:
            _logger.warning("the schedule %s failed: %s", schedule["Arn"], reason)
            queue = (target.get("DeadLetterConfig") or {}).get("Arn")
            if queue and session is not None:
                self._bury(region, session, queue, target, reason)

    def _bury(self, region: str, session: roles.Session, queue: str, target: dict[str, Any], reason: Exception) -> None:
        *_, account, name = queue.split(":")
        code = getattr(reason, "response", {}).get("Error", {}).get("Code", type(reason).__name__)
        attributes = {"ERROR_CODE": code, "ERROR_MESSAGE": str(reason), "TARGET_ARN": target["Arn"]}
        roles.client(self._settings, session, "sqs", region).send_message(
            QueueUrl=f"{self._settings.endpoint_url}/{account}/{name}",
            MessageBody=target.get("Input") or "{}",
            MessageAttributes={key: {"DataType": "String", "StringValue": text} for key, text in attributes.items()},
        )


def _within(schedule: dict[str, Any], now: datetime) -> bool:
    epoch = find(f"{_SCHEDULER}._to_epoch")
    start, end = epoch(schedule.get("StartDate")), epoch(schedule.get("EndDate"))
    return (start is None or start <= now.timestamp()) and (end is None or now.timestamp() <= end)


def _minutes(since: datetime, now: datetime) -> list[datetime]:
    """The minutes that began after *since*, up to *now*."""
    first = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
    count = int((now - first) / timedelta(minutes=1)) + 1 if now >= first else 0
    return [first + timedelta(minutes=number) for number in range(count)]


def _group_arn(schedule: dict[str, Any]) -> str:
    """What AWS gives as aws:SourceArn: the group, not the schedule."""
    arn: str = schedule["Arn"]
    return arn.replace(":schedule/", ":schedule-group/").rpartition("/")[0]


def _ask(client: Any, action: str, given: dict[str, Any]) -> None:  # noqa: ANN401 - boto3 has no static types
    """Call AWS with a target's input, whose names begin with a capital whatever the service's own do."""
    from botocore import xform_name

    operation = client.meta.service_model.operation_model(action[0].upper() + action[1:])
    own = {name[0].upper() + name[1:]: name for name in operation.input_shape.members}
    unknown = sorted(given.keys() - own.keys())
    if unknown:
        raise ValueError(f"{action} takes no {', '.join(unknown)}; it takes {', '.join(sorted(own))}")
    getattr(client, xform_name(operation.name))(**{own[name]: value for name, value in given.items()})


# --- Schedules of stacks ------------------------------------------------------------------------------------------


def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("Name") or find(f"{_PROVISIONERS}._physical_name")(stack, logical_id, max_len=64)
    return _settled("_create_schedule", name, properties)


def _update(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
    del before, stack
    return _settled("_update_schedule", physical_id, properties)


def _settled(operation: str, name: str, properties: Properties) -> Created:
    status, _, body = find(f"{_SCHEDULER}.{operation}")(name, properties)
    answer = json.loads(body)
    if status >= HTTPStatus.BAD_REQUEST:
        raise ValueError(f"{_KIND}: {answer.get('Message')}")
    return name, {"Arn": answer["ScheduleArn"]}


def _delete(physical_id: str, properties: Properties) -> None:
    find(f"{_SCHEDULER}._delete_schedule")(physical_id, {"groupName": properties.get("GroupName", "default")})
