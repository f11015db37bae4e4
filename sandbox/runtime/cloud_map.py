# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers the tasks of services in Cloud Map, which the emulator leaves undone.

All functions run within the account and region of their task (the emulator's ``request_scope``).
"""

from __future__ import annotations

from typing import Any

from sandbox.runtime.tasks import Task

NEEDS = (
    "ministack.services.servicediscovery._deregister_instance",
    "ministack.services.servicediscovery._instances",
    "ministack.services.servicediscovery._namespaces",
    "ministack.services.servicediscovery._register_instance",
    "ministack.services.servicediscovery._services",
    "ministack.services.servicediscovery.load_persisted_state",
)


def namespaces() -> list[str]:
    """The names of the account's namespaces."""
    from ministack.services import servicediscovery

    return [str(namespace["Name"]) for namespace in list(servicediscovery._namespaces.values())]


def registered_name(service: dict[str, Any] | None) -> str | None:
    """The name under which the tasks of an ECS service are found, such as ``code-server.localgov.internal``."""
    from ministack.services import servicediscovery

    for registry in (service or {}).get("serviceRegistries") or []:
        found = servicediscovery._services.get(_identifier(registry))
        namespace = servicediscovery._namespaces.get((found or {}).get("NamespaceId", ""))
        if found and namespace:
            return f"{found['Name']}.{namespace['Name']}"
    return None


def register(task: Task, service: dict[str, Any] | None, address: str) -> None:
    from ministack.services import servicediscovery

    for registry in (service or {}).get("serviceRegistries") or []:
        attributes = {
            "AWS_INSTANCE_IPV4": address,
            "AVAILABILITY_ZONE": str(task.record.get("availabilityZone", "")),
            "REGION": task.region,
            "ECS_CLUSTER_NAME": task.cluster,
            "ECS_SERVICE_NAME": task.service or "",
            "ECS_TASK_DEFINITION_FAMILY": str(task.definition.get("family", "")),
        }
        port = registry.get("port") or registry.get("containerPort")
        if port:
            attributes["AWS_INSTANCE_PORT"] = str(port)
        servicediscovery._register_instance(
            {"ServiceId": _identifier(registry), "InstanceId": task.identifier, "Attributes": attributes}
        )


def deregister(task_id: str, service: dict[str, Any] | None) -> None:
    from ministack.services import servicediscovery

    for registry in (service or {}).get("serviceRegistries") or []:
        identifier = _identifier(registry)
        if task_id in (servicediscovery._instances.get(identifier) or {}):
            servicediscovery._deregister_instance({"ServiceId": identifier, "InstanceId": task_id})


def forget_ended_tasks() -> None:
    """After a restart no task of the time before runs: drop what they registered."""
    from ministack.services import servicediscovery

    for instances in list(servicediscovery._instances._data.values()):
        for identifier, instance in list(instances.items()):
            if (instance.get("Attributes") or {}).get("ECS_SERVICE_NAME"):
                del instances[identifier]


def patch() -> None:
    from ministack.services import servicediscovery

    load = servicediscovery.load_persisted_state

    def load_and_forget(data: object) -> None:
        load(data)
        forget_ended_tasks()

    servicediscovery.load_persisted_state = load_and_forget


def _identifier(registry: dict[str, Any]) -> str:
    return str(registry.get("registryArn", "")).rsplit("/", 1)[-1]
