# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a service of the instance, once what it needs answers: `python -m localgov_dagster_instance daemon`."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg2

from localgov_dagster_instance import database, liveness

# `dagster.yaml` and `workspace.yaml`; nothing is written here.
HOME = Path(__file__).parent / "home"
WEBSERVER_PORT = "3000"
DATABASE_SECONDS = 300
CODE_SERVER_SECONDS = 120
_PAUSE_SECONDS = 1.0
_WORKSPACE = ["--workspace", str(HOME / "workspace.yaml")]
# What needs the database and nothing else, and ends.
_OF_THE_SCHEMA = ("migrate", "tell-versions")
# Where the locations that the account hosts beside its own are written down; the only place that can be written to.
HOSTED_WORKSPACE = Path(tempfile.gettempdir()) / "hosted-workspace.yaml"


def command(service: str, environment: Mapping[str, str]) -> list[str]:
    """The arguments of the Python interpreter."""
    # In a container, its own network is all there is; a sandbox names another address.
    address = environment.get("BIND_ADDRESS", "0.0.0.0")  # noqa: S104
    hosted = ["--workspace", str(HOSTED_WORKSPACE)] if hosted_locations(environment) else []
    commands = {
        "webserver": ["-m", "dagster_webserver", *_WORKSPACE, *hosted, "--host", address, "--port", WEBSERVER_PORT],
        "daemon": ["-m", "localgov_dagster_instance.daemon", *_WORKSPACE, *hosted],
        **{task: ["-m", "localgov_dagster_instance.schema", task] for task in _OF_THE_SCHEMA},
    }
    if service not in commands:
        raise SystemExit(f"No service {service!r}: name one of {', '.join(commands)}, check-daemon, prepare-database.")
    return commands[service]


def hosted_locations(environment: Mapping[str, str]) -> list[str]:
    """The names of the code locations that the account hosts beside the platform's own."""
    return [name for name in environment.get("HOSTED_CODE_LOCATIONS", "").split(",") if name]


def hosted_workspace(environment: Mapping[str, str]) -> dict[str, Any]:
    """The workspace of the hosted code locations, each found by the service that serves it."""
    servers = []
    for name in hosted_locations(environment):
        variable = f"{name.upper()}_CODE"
        host, port = ({"env": f"{variable}_{part}"} for part in ("HOST", "PORT"))
        servers.append({"grpc_server": {"host": host, "port": port, "location_name": name}})
    return {"load_from": servers}


def wait_for(what: str, answers: Callable[[], str | None], seconds: float) -> str | None:
    """Ask until `answers` gives no reason why not, or the time is over: then give the last reason."""
    deadline = time.monotonic() + seconds
    while (reason := answers()) is not None and time.monotonic() < deadline:
        sys.stderr.write(f"Waiting for {what}: {reason}\n")
        time.sleep(_PAUSE_SECONDS)
    return reason


def database_answers(environment: Mapping[str, str]) -> str | None:
    """Why the database cannot be used yet. TLS is as PGSSLMODE says, here and in Dagster."""
    try:
        database.connect(environment, database.APPLICATION).close()
    except psycopg2.OperationalError as error:
        return str(error).strip().splitlines()[-1]
    return None


def code_server_answers(environment: Mapping[str, str]) -> str | None:
    address = (environment["CODE_SERVER_HOST"], int(environment["CODE_SERVER_PORT"]))
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError as error:
        return f"{address[0]}:{address[1]}: {error}"
    return None


def wait_for_database(environment: Mapping[str, str]) -> None:
    if reason := wait_for("the database", lambda: database_answers(environment), DATABASE_SECONDS):
        raise SystemExit(f"The database does not answer after {DATABASE_SECONDS} seconds: {reason}")


def wait_for_neighbours(environment: Mapping[str, str]) -> None:
    wait_for_database(environment)
    # Dagster can start without it, but would look again after a minute only.
    if reason := wait_for("the code server", lambda: code_server_answers(environment), CODE_SERVER_SECONDS):
        sys.stderr.write(f"Starting without the code server: {reason}\n")


def main(service: str) -> None:
    if service == "check-daemon":
        sys.exit(not liveness.told())
    if service == "prepare-database":
        prepare_database(os.environ)
        return
    arguments = command(service, os.environ)
    if service in _OF_THE_SCHEMA:
        wait_for_database(os.environ)
    else:
        # YAML takes JSON.
        HOSTED_WORKSPACE.write_text(json.dumps(hosted_workspace(os.environ)))
        wait_for_neighbours(os.environ)
    # Dagster's own process takes this one's place: it must get the stop signal of the container.
    os.execve(sys.executable, [sys.executable, *arguments], {**os.environ, **settings(os.environ)})  # noqa: S606


def prepare_database(environment: Mapping[str, str]) -> None:
    """Runs before the daemon, in a container of its own that alone has the administrator's login."""

    def prepared() -> str | None:
        try:
            database.prepare(environment)
        except psycopg2.OperationalError as error:  # not up yet, or the password has just been rotated
            return str(error).strip().splitlines()[-1]
        return None

    if reason := wait_for("the database", prepared, DATABASE_SECONDS):
        raise SystemExit(f"The database cannot be prepared after {DATABASE_SECONDS} seconds: {reason}")


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """What Dagster itself reads from its environment, for both services. What is set already stays."""
    ours = {
        "DAGSTER_HOME": str(HOME),
        # `telemetry: {enabled: false}` sends nothing, but the webserver would still make folders in DAGSTER_HOME.
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # A daemon without a heartbeat for five minutes is dead; Dagster would wait for half an hour.
        "DAGSTER_DAEMON_HEARTBEAT_TOLERANCE": "300",
        # How soon a failed run is retried; each look costs the database queries.
        "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "15",
        # How many runs the account has at the same time.
        "RUNS_AT_ONCE": "5",
        # ECS names the region in AWS_REGION, which boto3 does not read.
        "AWS_DEFAULT_REGION": environment.get("AWS_REGION", ""),
    }
    return {name: environment.get(name, value) for name, value in ours.items()}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        services = "webserver|daemon|check-daemon|prepare-database|migrate|tell-versions"
        raise SystemExit(f"Usage: python -m localgov_dagster_instance {services}")
    main(sys.argv[1])
