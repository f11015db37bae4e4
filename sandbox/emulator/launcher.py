# SPDX-License-Identifier: GPL-3.0-or-later
"""Start ministack in this process, with the changes of this package, and serve it until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, TextIO

from sandbox import runtime
from sandbox.emulator import (
    audit_history,
    audit_trails,
    buckets,
    call_log,
    calls,
    functions,
    gateway,
    mails,
    managed_passwords,
    network_types,
    new_accounts,
    object_events,
    object_keys,
    organisation,
    queues,
    repositories,
    restorable_times,
    schedules,
    seed,
    self_test,
    sessions,
    sign_in_types,
    stack_parameters,
    stack_permissions,
    stack_tokens,
    task_definitions,
    task_permissions,
    used_permissions,
    user_addresses,
    watching_types,
)
from sandbox.emulator.internals import EmulatorError, find, require
from sandbox.settings import Settings, SettingsError, claim_task_network, load

CHANGES = (
    # After organisation, which lets nobody but the management account make accounts.
    organisation,
    new_accounts,
    buckets,
    object_keys,
    repositories,
    network_types,
    sign_in_types,
    user_addresses,
    watching_types,
    managed_passwords,
    restorable_times,
    stack_parameters,
    stack_tokens,
    task_definitions,
    task_permissions,
    functions,
    object_events,
    queues,
    audit_trails,
    audit_history,
    schedules,
)
# These wrap what the changes and the task runtime have put in place.
LAST_CHANGES = (stack_permissions, used_permissions, call_log)
_NEEDS = (
    "ministack.app.app",
    "ministack.app._load_persisted_state",
    "ministack.core.tls.resolve_tls_material",
)
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "TZ", "USER")
_LOG_LEVEL = "LOCALGOV_SANDBOX_LOG_LEVEL"
# The descriptor on which the launcher says, in one line of JSON, that it is ready or why not.
REPORT = "LOCALGOV_SANDBOX_REPORT"


def environment(settings: Settings) -> dict[str, str]:
    """The emulator's environment. Nothing of the person's own is passed on: no AWS credentials, no proxies."""
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {name: value for name, value in os.environ.items() if name.startswith("LOCALGOV_SANDBOX_")}
    no_engine = settings.state / "no-container-engine"
    return {
        **passed_on,
        **own,
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        # Never a container engine that happens to run on this machine, unless asked for.
        **(_container_engine() if settings.runtime == "docker" else {"DOCKER_HOST": f"unix://{no_engine}"}),
        "GATEWAY_PORT": str(settings.port),
        "IOT_MTLS_ENABLED": "0",
        "LOCALGOV_SANDBOX_DIR": str(settings.state),
        "LOG_LEVEL": os.environ.get(_LOG_LEVEL, "INFO"),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": settings.region,
        "MINISTACK_SSL_CERT": str(settings.server_certificate),
        "MINISTACK_SSL_KEY": str(settings.server_key),
        "PERSIST_STATE": "1",
        "PYTHONPATH": str(settings.root),
        "RDS_BASE_PORT": str(settings.database_port_base),
        "S3_DATA_DIR": str(settings.objects),
        "S3_PERSIST": "1",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(settings.saved),
        "TMPDIR": str(settings.state / "tmp"),
        "USE_SSL": "1",
    }


def _container_engine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}


def main() -> None:
    os.umask(0o077)
    descriptor = os.environ.pop(REPORT, "")
    report = os.fdopen(int(descriptor), "w") if descriptor else sys.stdout
    try:
        settings = load()
        sockets = _bind(settings)
        claim = claim_task_network(settings)
        application = extended(settings)
        asyncio.run(_serve(settings, application, sockets, report))
        claim.close()
    except (SettingsError, EmulatorError, seed.SeedError) as reason:
        _say(report, error=str(reason))
        sys.exit(1)


def extended(settings: Settings) -> gateway.Application:
    """ministack with every change in place, once it is sure that it is the ministack we know."""
    runtime.install(settings)
    require(needs())
    for change in CHANGES:
        change.install(settings)
    runtime.patch(settings)
    for change in LAST_CHANGES:
        change.install(settings)
    application: gateway.Application = find("ministack.app.app")
    return sessions.serve(gateway.guard(application), settings)


def needs() -> list[str]:
    """Every ministack name that the sandbox uses or replaces."""
    modules: list[Any] = [*CHANGES, *LAST_CHANGES, calls, mails, self_test, runtime]
    return sorted({*_NEEDS, *(name for module in modules for name in module.NEEDS)})


def _bind(settings: Settings) -> dict[str, socket.socket]:
    """Take the two ports before the slow part, so that a port in use is the first thing a person hears of."""
    bound = {}
    for purpose, port, variable in (
        ("programs", settings.port, "LOCALGOV_SANDBOX_PORT"),
        ("browsers", settings.browser_port, "LOCALGOV_SANDBOX_BROWSER_PORT"),
    ):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(128)
        except OSError as reason:
            raise SettingsError(
                f"Port {port} of 127.0.0.1, which this sandbox uses for {purpose}, is taken by another program. "
                f"End that program, or set {variable} to a free port."
            ) from reason
        bound[purpose] = listener
    return bound


async def _serve(
    settings: Settings, application: gateway.Application, sockets: dict[str, socket.socket], report: TextIO
) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{sockets['programs'].detach()}"]
    config.insecure_bind = [f"fd://{sockets['browsers'].detach()}"]
    config.certfile, config.keyfile = str(settings.server_certificate), str(settings.server_key)
    config.alpn_protocols = ["http/1.1"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 2
    config.loglevel = os.environ.get("LOG_LEVEL", "INFO")
    # A client that keeps a connection open would hold up the end by the 30 seconds that TLS gives it to say goodbye.
    asyncio.constants.SSL_SHUTDOWN_TIMEOUT = 1.0  # type: ignore[attr-defined]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    problem: list[str] = []

    async def prepare() -> None:
        seeded = await _prepare(settings)
        _say(report, **asdict(seeded))

    try:
        # hypercorn's own types are narrower than ASGI's plain mappings.
        server: Any = _prepared(application, prepare, problem)
        await serve(server, config, shutdown_trigger=stop.wait)
    except Exception:
        if problem:
            raise EmulatorError(problem[0]) from None
        raise
    _leave(settings)


async def _prepare(settings: Settings) -> seed.Seeded:
    seeded = await seed.plant(settings)
    await self_test.run(settings, seeded.organisation_id, seeded.organisational_unit_path)
    return seeded


def _prepared(
    application: gateway.Application, prepare: Callable[[], Awaitable[None]], problem: list[str]
) -> gateway.Application:
    """*application*, prepared after it has loaded its state and before it answers anybody."""

    async def prepared(scope: gateway.Message, receive: gateway.Receive, send: gateway.Send) -> None:
        async def send_when_prepared(message: gateway.Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    await prepare()
                except Exception as reason:
                    logging.getLogger("sandbox").exception("start failed")
                    problem.append(str(reason) or type(reason).__name__)
                    message = {"type": "lifespan.startup.failed", "message": problem[0]}
            await send(message)

        await application(scope, receive, send_when_prepared if scope["type"] == "lifespan" else send)

    return prepared


def _leave(settings: Settings) -> None:
    """End now: the state is written, and a thread that still waits for a Lambda function must not hold us up."""
    runtime.stop_all(settings)
    settings.pid_file.unlink(missing_ok=True)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)


def _say(report: TextIO, **what: object) -> None:
    try:
        report.write(json.dumps(what) + "\n")
        report.flush()
    except BrokenPipeError:
        pass  # Whoever started us has gone; we serve all the same.
