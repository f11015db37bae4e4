# SPDX-License-Identifier: GPL-3.0-or-later
"""Container definitions of a stack, in the words of the ECS API: all of them.

As shipped only some nested properties are translated; ``Secrets``, ``HealthCheck`` and others keep CloudFormation's
capitals, and the task fails to start.
"""

from __future__ import annotations

from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_PROVISIONERS = "ministack.services.cloudformation.provisioners"
# Mappings whose keys are the person's own.
_FREE_FORM = {"dockerLabels", "options"}

NEEDS = (f"{_PROVISIONERS}._normalize_container_defs", f"{_PROVISIONERS}._ecs_task_def_create")


def install(settings: Settings) -> None:
    provisioners = find(_PROVISIONERS)
    provisioners._normalize_container_defs = as_ecs_says


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
