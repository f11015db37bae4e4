# SPDX-License-Identifier: GPL-3.0-or-later
"""A service that is switched on for a stated time: how long, until when, and which schedules see to its end.

Each schedule has a name of its own with its moment in it. One that is carried out deletes itself some time later, so a
schedule that is put off could be deleted by its own past; a new one cannot.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

SHORTEST = timedelta(seconds=30)
# Scheduler tries again what may pass; then it is in the queue, and an alarm is raised.
_TRIED_FOR = timedelta(hours=6)
_UNITS = {"h": "hours", "m": "minutes", "s": "seconds"}
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Service:
    cluster: str
    name: str

    @property
    def schedules(self) -> str:
        """What the names of its schedules begin with, and no others: a calendar's are in the same group."""
        return f"session-{self.name}-"


@dataclass(frozen=True)
class Switch:
    """How a schedule reaches ECS."""

    group: str
    role_arn: str
    dead_letter_queue_arn: str


@dataclass(frozen=True)
class Plan:
    """Until when the service is on; the schedule to make, if none sees to that; those that are in the way."""

    off_at: datetime
    make: bool
    remove: list[str]


def length(text: str, longest: timedelta) -> timedelta:
    """How long `2h`, `90m` or `1h30m` is."""
    parts = re.findall(r"([0-9]+)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise RefusedError(f"'{text}' is no length of time. Write hours and minutes, as in 2h, 90m or 1h30m.")
    if len({unit for _number, unit in parts}) < len(parts) or any(len(number) > 6 for number, _unit in parts):
        raise RefusedError(f"'{text}' is no length of time. Write each unit once, as in 1h30m.")
    asked = timedelta(**{_UNITS[unit]: int(number) for number, unit in parts})
    if not SHORTEST <= asked <= longest:
        raise RefusedError(
            f"A service is switched on for {written(SHORTEST)} to {written(longest)}, not for {text}. Ask for less and "
            "for more again before it ends, or let a calendar of working hours switch it on."
        )
    return asked


def written(span: timedelta) -> str:
    """A length of time as a person writes it: `1h30m`."""
    seconds = int(span.total_seconds())
    amounts = {"h": seconds // 3600, "m": seconds % 3600 // 60, "s": seconds % 60}
    return "".join(f"{amount}{unit}" for unit, amount in amounts.items() if amount) or "0s"


def moment_of(schedule: dict[str, Any]) -> datetime | None:
    """When a schedule switches its service off, or None if it does not, or no more than once."""
    match = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", schedule.get("ScheduleExpression", ""))
    in_utc = schedule.get("ScheduleExpressionTimezone", "UTC") == "UTC"
    if match is None or not in_utc or schedule.get("State") != "ENABLED":
        return None
    return datetime.fromisoformat(match[1]).replace(tzinfo=UTC)


def plan(existing: list[dict[str, Any]], asked: timedelta, now: datetime) -> Plan:
    """A session that is on already is made longer, never shorter: somebody else may have asked for it."""
    # A whole second, and not before what was asked for.
    wanted = (now + asked + timedelta(seconds=1)).replace(microsecond=0)
    moments = {schedule["Name"]: moment_of(schedule) for schedule in existing}
    later = {name: moment for name, moment in moments.items() if moment is not None and moment >= wanted}
    kept = max(later, key=lambda name: later[name], default=None)
    removed = sorted(name for name in moments if name != kept)
    return Plan(later[kept] if kept else wanted, kept is None, removed)


def schedule(service: Service, switch: Switch, moment: datetime) -> dict[str, Any]:
    """What CreateSchedule is told. Names in a universal target's input begin with a capital."""
    return {
        "Name": f"{service.schedules}{moment.strftime(_STAMP)}",
        "GroupName": switch.group,
        "Description": f"Switches {service.name} off again",
        "ScheduleExpression": f"at({moment.strftime('%Y-%m-%dT%H:%M:%S')})",
        "ScheduleExpressionTimezone": "UTC",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ActionAfterCompletion": "DELETE",
        "Target": {
            "Arn": "arn:aws:scheduler:::aws-sdk:ecs:updateService",
            "RoleArn": switch.role_arn,
            "Input": json.dumps({"Cluster": service.cluster, "Service": service.name, "DesiredCount": 0}),
            "DeadLetterConfig": {"Arn": switch.dead_letter_queue_arn},
            "RetryPolicy": {"MaximumEventAgeInSeconds": int(_TRIED_FOR.total_seconds())},
        },
    }


def way_in(task: dict[str, Any], service: Service) -> dict[str, Any]:
    """What a person needs to reach a task: its address inside, and how Session Manager knows its container."""
    details = [detail for part in task.get("attachments", []) for detail in part.get("details", [])]
    (container,) = [one for one in task["containers"] if one["name"] == service.name]
    task_id = task["taskArn"].rpartition("/")[2]
    return {
        "arn": task["taskArn"],
        "address": next((one["value"] for one in details if one["name"] == "privateIPv4Address"), ""),
        "session_manager_target": f"ecs:{service.cluster}_{task_id}_{container.get('runtimeId') or ''}",
    }


def is_ready(task: dict[str, Any]) -> bool:
    """Healthy, and with the agent running through which a port is forwarded, where ECS tells of one."""
    agents = [agent for container in task.get("containers", []) for agent in container.get("managedAgents", [])]
    return (
        task.get("lastStatus") == "RUNNING"
        and task.get("healthStatus") == "HEALTHY"
        and all(agent.get("lastStatus") == "RUNNING" for agent in agents)
    )


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
