# SPDX-License-Identifier: GPL-3.0-or-later
"""Dagster code locations that an account hosts beside the platform's own, as services of its declaration.

Each becomes two: `<name>_code` serves the location to the web interface and the daemon, `<name>_run` is what the daemon
launches for a run of it. What the location's own data say (image, environment, what it reads and writes) goes to both
or to the runs alone; everything else is the same for all.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import (
    Declaration,
    DeclarationError,
    Service,
)

_PORT = 4000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,20}")
_ARROWS = ("lists", "versions", "reads", "writes", "deletes")
_LOOKS = ("lists", "versions", "reads", "drains")
_KEYS = frozenset(
    {
        *("image", "environment", "locations", "markers", "sensors"),
        *("cpu", "memory", "run_cpu", "run_memory", "secrets", "user", *_ARROWS),
    }
)
# As `dagster api grpc-health-check`, with packages that Dagster requires, and without loading Dagster each time.
_ASKS = (
    "import sys, grpc; from grpc_health.v1 import health_pb2 as h, health_pb2_grpc as g; "
    f"c = g.HealthStub(grpc.insecure_channel('localhost:{_PORT}')).Check("
    "h.HealthCheckRequest(service='DagsterApi'), timeout=10); sys.exit(c.status != 1)"
)
_CHECK = ["CMD", "python", "-c", _ASKS]
# As long as a Spot task is given to end.
_STOP_SECONDS = 120


def hosted(services: Declaration, locations: dict[str, Service], prefix: str) -> Declaration:
    """The declaration with the services of its code locations, and with the arrows to them."""
    if not locations:
        return services
    found: Declaration = {name: {key: service[key] for key in service} for name, service in services.items()}
    for name, location in locations.items():
        _check(name, location, found)
        code, run = f"{name}_code", f"{name}_run"
        found[code] = _code_server(name, location, prefix)
        found[run] = _run(location)
        for service, arrow, target in (
            ("daemon", "connects_to", code),
            ("daemon", "launches", run),
            ("dagit", "connects_to", code),
            ("dagit", "follows", run),
        ):
            found[service][arrow] = [*(found[service].get(arrow) or []), target]
    for service in ("daemon", "dagit"):
        environment = found[service].get("environment") or {}
        found[service]["environment"] = {**environment, "HOSTED_CODE_LOCATIONS": ",".join(locations)}
    return found


def _check(name: str, location: Service, services: Declaration) -> None:
    where = f"code location '{name}'"
    if not _NAME.fullmatch(name):
        raise DeclarationError(f"{where}: use a name of at most 21 small letters, digits and underscores")
    if not location.get("image"):
        raise DeclarationError(f"{where}: name its image, a repository of the organisation's registry")
    if unknown := sorted(location.keys() - _KEYS):
        raise DeclarationError(f"{where}: '{unknown[0]}' means nothing; known are {', '.join(sorted(_KEYS))}")
    if beyond := sorted((location.get("sensors") or {}).keys() - set(_LOOKS)):
        raise DeclarationError(
            f"{where}: sensors only look, so they have no '{beyond[0]}'; they have {', '.join(_LOOKS)}"
        )
    if unplaced := sorted(set(location.get("markers") or []) - (location.get("locations") or {}).keys()):
        raise DeclarationError(f"{where}: its marker {unplaced[0]} is none of its locations; name one of these")
    if taken := [entry for entry in (f"{name}_code", f"{name}_run") if entry in services]:
        raise DeclarationError(f"{where}: there is a service '{taken[0]}' already; choose another name")


def _common(location: Service) -> Service:
    common: Service = {
        "image": location["image"],
        "tier": "private",
        "roots": dict(location.get("locations") or {}),
    }
    return {**common, "user": location["user"]} if "user" in location else common


def _code_server(name: str, location: Service, prefix: str) -> Service:
    """It is told where everything lies, and may look at what its sensors need to see: runs do the work."""
    run = f"{name}_run".replace("_", "-")
    context = {"ecs": {"task_definition_arn": f"{prefix}-{run}", "container_name": run}}
    return {
        **_common(location),
        "port": _PORT,
        "desired_count": 1,
        "alone": True,
        "cpu": location.get("cpu", 256),
        "memory": location.get("memory", 1024),
        "health_check": {"command": list(_CHECK), "interval": 60},
        "knows": sorted({arrow.partition("/")[0] for key in _ARROWS for arrow in location.get(key) or []}),
        **{key: list(arrows) for key, arrows in (location.get("sensors") or {}).items()},
        "environment": {
            **(location.get("environment") or {}),
            # Dagster's own way to say, for each location, which task a run of it is.
            "DAGSTER_CONTAINER_CONTEXT": json.dumps(context, sort_keys=True),
        },
    }


def _run(location: Service) -> Service:
    arrows: dict[str, Any] = {key: list(location[key]) for key in _ARROWS if location.get(key)}
    return {
        **_common(location),
        **arrows,
        "cpu": location.get("run_cpu", 1024),
        "memory": location.get("run_memory", 4096),
        "capacity_provider": "FARGATE",
        "stop_timeout": _STOP_SECONDS,
        "connects_to": ["database"],
        "secrets": {
            "DAGSTER_PG_USERNAME": "database:username",
            "DAGSTER_PG_PASSWORD": "database:password",
            **(location.get("secrets") or {}),
        },
        # It loads the instance's settings, where this stands; only the daemon goes by it.
        "environment": {"RUNS_AT_ONCE": "5", **(location.get("environment") or {})},
    }
