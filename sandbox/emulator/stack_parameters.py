# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters that a template does not have: CloudFormation refuses them, as shipped they are passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_CALLERS = ("handlers", "changesets")
_NAMES = [f"ministack.services.cloudformation.{module}._resolve_parameters" for module in _CALLERS]

NEEDS = tuple(_NAMES)


def install(settings: Settings) -> None:
    for name in _NAMES:
        module, _, function = name.rpartition(".")
        setattr(find(module), function, refusing(find(name)))


def refusing(resolve: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def resolved(template: dict[str, Any], provided: list[dict[str, Any]], *more: Any) -> dict[str, Any]:  # noqa: ANN401
        known = template.get("Parameters") or {}
        unknown = [entry["Key"] for entry in provided if entry.get("Key") not in known]
        if unknown:
            raise ValueError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        return resolve(template, provided, *more)

    return resolved
