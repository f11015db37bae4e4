# SPDX-License-Identifier: GPL-3.0-or-later
"""When a deployment of a service counts as done: at its first creation too, and by the health of its tasks.

As shipped a service's first deployment is complete at once, and a task that survives its first second is healthy
whatever its health check says; so an image that never becomes healthy would be deployed, and the circuit breaker would
never count three failures in a row.
"""

from __future__ import annotations

from typing import Any

from sandbox.runtime import health

NEEDS = (
    "ministack.services.ecs._cluster_name_from_arn",
    "ministack.services.ecs._make_deployment",
    "ministack.services.ecs._record_service_task_healthy",
    "ministack.services.ecs._resolve_td_key",
    "ministack.services.ecs._schedule_service_deployment_completion",
    "ministack.services.ecs._task_defs",
)


def patch() -> None:
    from ministack.services import ecs

    make, record_healthy = ecs._make_deployment, ecs._record_service_task_healthy

    def make_in_progress(task_definition: str, desired_count: int, status: str = "PRIMARY") -> dict[str, Any]:
        deployment: dict[str, Any] = make(task_definition, desired_count, status)
        deployment.update(rolloutState="IN_PROGRESS", rolloutStateReason="ECS deployment in progress.")
        return deployment

    def record_when_healthy(key: str, record: dict[str, Any]) -> None:
        if is_healthy(record):
            record_healthy(key, record)

    ecs._make_deployment = make_in_progress
    ecs._record_service_task_healthy = record_when_healthy


def is_healthy(record: dict[str, Any]) -> bool:
    """Whether every essential container with a health check has passed it."""
    from ministack.services import ecs

    definition = ecs._task_defs.get(ecs._resolve_td_key(record["taskDefinitionArn"])) or {}
    known = {container["name"]: container.get("healthStatus") for container in record.get("containers", [])}
    return all(
        known.get(container["name"]) == health.HEALTHY
        for container in definition.get("containerDefinitions", [])
        if container.get("essential", True) and _has_check(container)
    )


def _has_check(container: dict[str, Any]) -> bool:
    command = (container.get("healthCheck") or {}).get("command") or ["NONE"]
    return bool(command[0] != "NONE")


def became_healthy(record: dict[str, Any], account: str, region: str) -> None:
    """A task of a service passed its check: its deployment may be done now."""
    from ministack.services import ecs

    cluster = ecs._cluster_name_from_arn(record.get("clusterArn", ""))
    key = f"{cluster}/{record['group'].removeprefix('service:')}"
    ecs._schedule_service_deployment_completion(cluster, key, account, region, healthy_task=record)
