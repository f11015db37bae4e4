# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that takes a service's place once: its definition, where it runs, and what is said of its end."""

from __future__ import annotations

from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

# What of a definition is taken over as it is.
_KEPT = (
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "volumes",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "runtimePlatform",
    "ephemeralStorage",
)
# A task that ends has no use for the first three, and what it depended on stays behind.
_LEFT_OUT = ("healthCheck", "portMappings", "restartPolicy", "dependsOn")


def main_container(definition: dict[str, Any]) -> dict[str, Any]:
    """The container that the service is about, and not one that runs before it."""
    container: dict[str, Any] = next(one for one in definition["containerDefinitions"] if one.get("essential", True))
    return container


def once(definition: dict[str, Any], command: list[str], digest: str | None) -> dict[str, Any]:
    """What RegisterTaskDefinition is asked for: the service's main container alone, with this command and digest."""
    container = {key: value for key, value in main_container(definition).items() if key not in _LEFT_OUT}
    image = with_digest(container["image"], digest) if digest else container["image"]
    return {
        "family": f"{definition['family']}-once",
        **{key: definition[key] for key in _KEPT if definition.get(key)},
        "containerDefinitions": [{**container, "image": image, "command": command, "essential": True}],
    }


def with_digest(image: str, digest: str) -> str:
    """Another image of the same repository."""
    repository = image.partition("@")[0]
    name = repository.rpartition("/")[2]
    return f"{repository.removesuffix(':' + name.partition(':')[2]) if ':' in name else repository}@{digest}"


def place(service: dict[str, Any], cluster: str, task_definition: str, name: str) -> dict[str, Any]:
    """What RunTask is asked for: in the service's own network. RefusedError where it has none."""
    network = service.get("networkConfiguration")
    if not network:
        raise RefusedError(
            f"The service {service.get('serviceName')} of the cluster {cluster} has no network configuration, in which "
            "a task could take its place. Name a service of the network mode awsvpc."
        )
    return {
        "cluster": cluster,
        "taskDefinition": task_definition,
        "launchType": "FARGATE",
        "networkConfiguration": network,
        "startedBy": name,
        "propagateTags": "TASK_DEFINITION",
    }


def ended(task: dict[str, Any], container: str) -> tuple[int | None, str]:
    """The exit code of a task that has stopped, None where its container never ran, and ECS's reason."""
    found: dict[str, Any] = next((one for one in task.get("containers", []) if one.get("name") == container), {})
    reason = found.get("reason") or task.get("stoppedReason") or "ECS gives no reason"
    return found.get("exitCode"), str(reason)


def failure(task: str, image: str, code: int | None, reason: str, log: list[str]) -> str:
    """What a person is told of a task that did not end well."""
    how = "did not run" if code is None else f"ended with exit code {code}"
    lines = "".join(f"\n  | {line}" for line in log)
    return f"The task {task} of {image} {how}: {reason}{lines}"
