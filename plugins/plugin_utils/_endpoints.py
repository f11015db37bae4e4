# SPDX-License-Identifier: GPL-3.0-or-later
"""Which AWS services the declared services call from the Dagster VPC, and so need an interface endpoint for.

S3 is not among them: its gateway endpoint costs nothing and is always there.
"""

from __future__ import annotations

from typing import Any

# What ECS itself calls for every task: its image, then its log. Fargate needs no endpoint of ECS's own.
_OF_EVERY_TASK = ("ecr.api", "ecr.dkr", "logs")
# The frontend lies in a VPC of its own, with an internet gateway.
_ELSEWHERE = "frontend"


def endpoints(services: dict[str, dict[str, Any]]) -> list[str]:
    """Names as in `com.amazonaws.<region>.<name>`, in alphabetical order."""
    inside = [service for service in services.values() if service.get("tier") != _ELSEWHERE]
    needed = set(_OF_EVERY_TASK) if inside else set()
    if any(service.get("secrets") or _steps_with_secrets(service) for service in inside):
        needed.add("secretsmanager")
    if any(service.get("launches") or service.get("follows") for service in inside):
        needed.add("ecs")
    if any(service.get("drains") for service in inside):
        needed.add("sqs")
    if any(service.get("on_demand") for service in inside):
        needed.add("ssmmessages")
    return sorted(needed)


def _steps_with_secrets(service: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers that run before the service and are given secrets."""
    init = service.get("init") or []
    return [step for step in ([init] if isinstance(init, dict) else init) if step.get("secrets")]
