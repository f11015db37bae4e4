# SPDX-License-Identifier: GPL-3.0-or-later
"""ECS tasks as local processes and RDS as real PostgreSQL servers, under the emulator and without a container engine.

The emulator believes that it talks to Docker: ``install`` puts a stand-in for the ``docker`` package in its process,
before the emulator is imported, and ``patch`` afterwards completes what the emulator does about tasks and databases.

    runtime.sweep(settings)      # what a killed sandbox left behind
    runtime.install(settings)
    import ministack.app
    runtime.patch(settings)
    ...                          # serve
    runtime.stop_all(settings)

``settings.runtime`` chooses: ``processes`` is all of this; ``off`` starts nothing, tasks and databases are records of
the emulator alone; ``docker`` leaves containers to a real engine.

How a task finds its address, its peers and its files is told in ``sandbox.runtime.tasks``.
"""

from __future__ import annotations

import importlib.util
import os
import sys

from sandbox.runtime import (
    balancers,
    cloud_map,
    containers,
    databases,
    lifecycle,
    rollouts,
    services,
    steady_services,
    step_functions,
)
from sandbox.runtime.state import Runtime
from sandbox.settings import Settings, SettingsError

# Names of the emulator that this package wraps or calls: the sandbox's start-up test looks whether they are there.
_CHANGES = (balancers, cloud_map, databases, lifecycle, rollouts, services, steady_services, step_functions)
NEEDS = tuple(sorted({name for change in _CHANGES for name in change.NEEDS}))

_SWEEP_SECONDS = 10.0
# For tasks, and again for databases: less than whoever stops the emulator waits for its end.
_STOP_SECONDS = 20.0

_installed: dict[str, Runtime] = {}


def install(settings: Settings) -> None:
    """Before the emulator is imported: decide what its ``import docker`` finds."""
    if settings.runtime == "off":
        # An import fails then, as it does without the package.
        sys.modules["docker"] = None  # type: ignore[assignment]
        return
    if settings.runtime == "docker":
        if importlib.util.find_spec("docker") is None:
            raise SettingsError(
                "LOCALGOV_SANDBOX_RUNTIME=docker needs the Python package docker: "
                f"`{sys.executable} -m pip install docker`."
            )
        return
    from sandbox.runtime import engine

    # The emulator looks for this socket before it sweeps containers of a daemon that has nothing to do with us.
    os.environ["DOCKER_HOST"] = f"unix://{settings.state / 'no-container-engine'}"
    os.environ["RDS_BASE_PORT"] = str(settings.database_port_base)
    _installed["runtime"] = Runtime.of(settings)
    engine.install({})


def patch(settings: Settings) -> None:
    """After the emulator is imported, before it loads its state and serves."""
    if settings.runtime == "off":
        return
    step_functions.patch()
    if settings.runtime == "docker":
        return
    from sandbox.runtime import engine

    if _installed.get("patched"):
        return
    runtime = _installed["runtime"]
    _installed["patched"] = runtime
    tasks = lifecycle.Lifecycle(runtime)
    tasks.patch()
    services.Scheduler(runtime, tasks).patch()
    rollouts.patch()
    steady_services.SteadyServices(runtime).patch()
    servers = databases.Databases(runtime)
    servers.patch()
    cloud_map.patch()
    balancers.Balancers(runtime).patch()
    engine.install({"ecs": tasks.run, "rds": servers.run})


def stop_all(settings: Settings) -> None:
    """End every process and wait. From the emulator's process at its end, or from any other when it has gone."""
    if "runtime" in _installed:
        _installed["runtime"].closing = True
    containers.end_recorded(settings.state, seconds=_STOP_SECONDS)


def sweep(settings: Settings) -> list[str]:
    """End what a killed sandbox left running. What it was."""
    databases.remove_ownerless()
    return [
        f"Ended {what}, which a killed run left."
        for what in containers.end_recorded(settings.state, seconds=_SWEEP_SECONDS)
    ]


def remove_data(settings: Settings) -> None:
    """Delete the databases of a stopped sandbox, which are not always below its state folder."""
    databases.remove_all(settings)
