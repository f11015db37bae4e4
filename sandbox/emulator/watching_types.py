# SPDX-License-Identifier: GPL-3.0-or-later
"""What CloudFormation lacks of watching an account: saved queries of logs, and alarms on an expression of metrics.

Both are records. No alarm goes off by itself here, and no query is run.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_HANDLERS = "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS"
_REPLACING = "ministack.services.cloudformation.provisioners._REPLACING_PROPERTIES"
_RECORD = "ministack.services.cloudformation.provisioners._cw_metric_alarm_record"

NEEDS = (_HANDLERS, _REPLACING, _RECORD)

Properties = dict[str, Any]


def install(settings: Settings) -> None:
    del settings
    find(_HANDLERS)["AWS::Logs::QueryDefinition"] = {"create": _create, "update": _update, "delete": _delete}
    find(_REPLACING)["AWS::Logs::QueryDefinition"] = ()
    provisioners, _, name = _RECORD.rpartition(".")
    module = find(provisioners)
    setattr(module, name, by_expression(find(_RECORD)))


def by_expression(shipped: Callable[[str, Properties], Properties]) -> Callable[[str, Properties], Properties]:
    """The record of an alarm on `Metrics` names its expression instead of a metric."""

    def record(name: str, properties: Properties) -> Properties:
        metrics = properties.get("Metrics") or []
        (told,) = [one for one in metrics if one.get("ReturnData", True)] if metrics else [None]
        if told is None:
            return shipped(name, properties)
        named = {"Namespace": "Expression", "MetricName": told.get("Label") or told["Id"]}
        return shipped(name, {**{key: value for key, value in properties.items() if key != "Metrics"}, **named})

    return record


def _create(logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
    del logical_id, stack
    if missing := {"Name", "QueryString"} - properties.keys():
        raise ValueError(f"AWS::Logs::QueryDefinition needs {', '.join(sorted(missing))}")
    identifier = str(uuid.uuid4())
    return identifier, {"QueryDefinitionId": identifier}


def _update(physical_id: str, old: Properties, new: Properties, stack: str) -> tuple[str, dict[str, str]]:
    del old, new, stack
    return physical_id, {"QueryDefinitionId": physical_id}


def _delete(physical_id: str, properties: Properties) -> None:
    del physical_id, properties
