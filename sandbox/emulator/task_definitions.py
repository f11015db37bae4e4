# SPDX-License-Identifier: GPL-3.0-or-later
"""Task definitions: a family stands for its latest active revision, and a stack's are in the words of the ECS API.

As shipped a family stands for the revision that was registered last. After a rollback that is the one that was taken
back, which runs would then be of. And only some nested properties of a stack's are translated: ``Secrets``,
``HealthCheck`` and others keep CloudFormation's capitals, and the task fails to start.
"""

from __future__ import annotations

from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_PROVISIONERS = "ministack.services.cloudformation.provisioners"
# Mappings whose keys are the person's own.
_FREE_FORM = {"dockerLabels", "options"}

_ECS = "ministack.services.ecs"

NEEDS = (
    f"{_PROVISIONERS}._normalize_container_defs",
    f"{_PROVISIONERS}._ecs_task_def_create",
    f"{_ECS}._resolve_td_key",
    f"{_ECS}._task_defs",
)


def install(settings: Settings) -> None:
    provisioners, ecs = find(_PROVISIONERS), find(_ECS)
    provisioners._normalize_container_defs = as_ecs_says
    resolved = ecs._resolve_td_key

    def resolve_active(reference: str) -> str | None:
        """``family:revision``; of a family without an active one only its name, by which none is found."""
        named: str | None = resolved(reference)
        family, _, revision = str(reference).rpartition("/")[2].partition(":")
        if revision or not named:
            return named
        active = [
            definition["revision"]
            for definition in ecs._task_defs.values()
            if definition["family"] == family and definition["status"] == "ACTIVE"
        ]
        return f"{family}:{max(active)}" if active else family

    ecs._resolve_td_key = resolve_active


def as_ecs_says(properties: Any) -> Any:  # noqa: ANN401 - as nested as a template
    """``[{"Secrets": [{"ValueFrom": ..}]}]`` as ``[{"secrets": [{"valueFrom": ..}]}]``."""
    if isinstance(properties, list):
        return [as_ecs_says(entry) for entry in properties]
    if not isinstance(properties, dict):
        return properties
    translated = {}
    for name, value in properties.items():
        camel = name[:1].lower() + name[1:]
        translated[camel] = value if camel in _FREE_FORM else as_ecs_says(value)
    return translated
