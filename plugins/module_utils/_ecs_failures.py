# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tasks of an ECS cluster's services failed, as ECS describes them, and what is said of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_SERVICE = "service:"
_FAILED = ("TaskFailedToStart", "EssentialContainerExited")
# Of the reasons for which the scheduler itself stops a task, those that speak against the task.
_UNHEALTHY = re.compile("health check", re.IGNORECASE)
_LONGEST_LINE = 300
_MASK = "********"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&}]+)"
_SECRETS = (
    (re.compile(r"://[^\s/@:]+:[^\s/@]+@"), f"://{_MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), rf"\1 {_MASK}"),
    (re.compile(r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"), rf"\1{_MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), _MASK),
    (
        re.compile(
            r"(?i)([\w-]*(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)[\w-]*"
            rf"[\"']?\s*[:=]\s*){_VALUE}"
        ),
        rf"\1{_MASK}",
    ),
)


@dataclass(frozen=True)
class LogStream:
    group: str
    name: str
    region: str | None


def failed_tasks(tasks: Iterable[dict[str, Any]], services: list[str], since: datetime | None) -> list[dict[str, Any]]:
    """The tasks that failed, the latest first; of the *services*, or of all where none is named."""
    found = [
        task
        for task in tasks
        if _has_failed(task)
        and (not services or service_of(task) in services)
        and (since is None or task.get("stoppedAt") is None or task["stoppedAt"] >= since)
    ]
    return sorted(found, key=lambda task: task["stoppedAt"].timestamp() if task.get("stoppedAt") else 0.0, reverse=True)


def service_of(task: dict[str, Any]) -> str:
    return str(task.get("group", "")).removeprefix(_SERVICE)


def latest(tasks: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """As many of each service's failed tasks, which are in order."""
    kept: list[dict[str, Any]] = []
    for task in tasks:
        if sum(service_of(other) == service_of(task) for other in kept) < number:
            kept.append(task)
    return kept


def log_stream(container: dict[str, Any], task_id: str) -> LogStream | None:
    """Where a container of a task definition writes; None where it is not CloudWatch Logs with a prefix."""
    configuration = container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    prefix, group = options.get("awslogs-stream-prefix"), options.get("awslogs-group")
    if configuration.get("logDriver") != "awslogs" or not prefix or not group:
        return None
    return LogStream(group, f"{prefix}/{container['name']}/{task_id}", options.get("awslogs-region"))


def without_secrets(line: str) -> str:
    """A line of a log without what looks like a secret, and not longer than a person reads."""
    for pattern, instead in _SECRETS:
        line = pattern.sub(instead, line)
    line = line.rstrip()
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def told(task: dict[str, Any], logs: dict[str, list[str]]) -> dict[str, Any]:
    """A failed task, with the last lines of its containers' logs by the container's name."""
    return {
        "service": service_of(task),
        "task": _last(task["taskArn"]),
        "task_definition": _last(task["taskDefinitionArn"]),
        "stopped_at": task["stoppedAt"].isoformat() if task.get("stoppedAt") else None,
        "stop_code": task.get("stopCode"),
        "reason": task.get("stoppedReason") or "ECS gives no reason",
        "containers": [
            {
                "name": container["name"],
                "image_digest": container.get("imageDigest") or _digest(container.get("image", "")),
                "exit_code": container.get("exitCode"),
                "reason": container.get("reason"),
                "log": logs.get(container["name"], []),
            }
            for container in task.get("containers", [])
        ],
    }


def failed_services(services: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The services with a deployment that failed, and what their latest events say."""
    found = []
    for service in services:
        failed = [one for one in service.get("deployments", []) if one.get("rolloutState") == "FAILED"]
        if failed:
            found.append(
                {
                    "name": service["serviceName"],
                    "task_definition": _last(failed[0]["taskDefinition"]),
                    "reason": failed[0].get("rolloutStateReason") or "",
                    "events": [event["message"] for event in service.get("events", [])[:5]],
                }
            )
    return found


def message(tasks: list[dict[str, Any]], failures: dict[str, int], services: list[dict[str, Any]]) -> str:
    """What a person needs to know; *failures* is how many tasks of each service failed. Empty if none did."""
    lines = [line for task in tasks for line in _task_lines(task, failures[task["service"]])]
    of_tasks = {task["service"] for task in tasks}
    for service in services:
        if service["name"] not in of_tasks:
            events = " ".join(service["events"][:2])
            lines.append(
                f"Service {service['name']}, {service['task_definition']}: {service['reason']} {events}".rstrip()
            )
    return "\n".join(lines)


def _task_lines(task: dict[str, Any], failures: int) -> list[str]:
    times = "once" if failures == 1 else f"{failures} times"
    lines = [
        f"Service {task['service']} failed {times}, the last time with task {task['task']} "
        f"of {task['task_definition']}: {task['reason']}"
    ]
    for container in task["containers"]:
        lines.append(f"  container {container['name']}: {_ending(container)}; image {container['image_digest']}")
        lines += [f"    | {line}" for line in container["log"]]
    return lines


def _ending(container: dict[str, Any]) -> str:
    code = container["exit_code"]
    ended = "no exit code" if code is None else f"exit code {code}"
    return f"{ended}, {container['reason']}" if container["reason"] else ended


def _has_failed(task: dict[str, Any]) -> bool:
    if task.get("lastStatus") != "STOPPED" or not str(task.get("group", "")).startswith(_SERVICE):
        return False
    return task.get("stopCode") in _FAILED or bool(_UNHEALTHY.search(task.get("stoppedReason") or ""))


def _last(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _digest(image: str) -> str:
    """The digest that an image is named by; the name itself where it has none."""
    return image.rpartition("@")[2]
