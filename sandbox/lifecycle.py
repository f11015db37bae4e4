# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop and forget the sandbox of this checkout."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox import certificates, people, processes, runtime
from sandbox.emulator import gateway, launcher
from sandbox.settings import Settings, SettingsError, remember

_START_SECONDS = 60
_STOP_SECONDS = 60
_LOCK_SECONDS = 120


class SandboxError(Exception):
    """What went wrong and what to do, for a person to read."""


@dataclass(frozen=True)
class Started:
    was_running: bool
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)  # what a run that was killed has left behind or lost


@dataclass(frozen=True)
class Status:
    pid: int | None
    memory: int | None  # bytes, of the emulator
    healthy: bool


def start(settings: Settings) -> Started:
    """Start the sandbox; nothing happens when it runs already."""
    began = time.monotonic()
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.state.chmod(0o700)
    with _lock(settings):
        if running(settings):
            return Started(was_running=True)
        lost = _recover(settings)
        for folder in (settings.saved, settings.objects, settings.log.parent, settings.state / "tmp"):
            folder.mkdir(mode=0o700, exist_ok=True)
        certificates.ensure(settings)
        remember(settings)
        people.make(settings)
        seeded = _launch(settings)
        _describe(settings, seeded)
    return Started(was_running=False, seconds=time.monotonic() - began, lost=lost)


def stop(settings: Settings) -> bool:
    """Stop the sandbox and keep its state. Whether it was running."""
    if not settings.state.is_dir():
        return False
    with _lock(settings):
        identity = running(settings)
        if identity is None:
            # What a killed run has left is told by the next start; its processes end now.
            runtime.stop_all(settings)
            return False
        saved = processes.end(identity, seconds=_STOP_SECONDS)
        runtime.stop_all(settings)
    if not saved:
        raise SandboxError(
            f"The emulator did not end within {_STOP_SECONDS} seconds and was killed: "
            f"what changed since its start is lost. See {settings.log}."
        )
    return True


def reset(settings: Settings) -> None:
    """Stop the sandbox and forget everything that it holds, its ports and certificates included."""
    if not settings.state.is_dir():
        return
    if not _looks_like_a_sandbox(settings.state):
        raise SandboxError(f"{settings.state} does not look like a sandbox's folder, so it is not emptied.")
    stop(settings)
    with _lock(settings):
        runtime.remove_data(settings)
        for entry in settings.state.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != _lock_file(settings):
                entry.unlink()


def status(settings: Settings) -> Status:
    identity = running(settings)
    if identity is None:
        return Status(None, None, False)
    return Status(identity.pid, processes.resident_memory(identity.pid), _answers(settings, seconds=5))


def running(settings: Settings) -> processes.ProcessIdentity | None:
    identity = processes.read_pid_file(settings.pid_file)
    return identity if identity and processes.is_alive(identity) else None


def _looks_like_a_sandbox(state: Path) -> bool:
    known = {"ports.json", "lock"}
    names = {entry.name for entry in state.iterdir()}
    return not names or bool(names & known)


# --- Starting -----------------------------------------------------------------------------------------------------


def _launch(settings: Settings) -> dict[str, Any]:
    """Start the emulator's process and wait for what it reports."""
    reading, writing = os.pipe()
    _keep_previous_log(settings.log)
    with settings.log.open("w", encoding="utf-8") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "sandbox.emulator"],
            cwd=settings.root,
            env={**launcher.environment(settings), launcher.REPORT: str(writing)},
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    os.close(writing)
    identity = processes.identify(child.pid)
    if identity is not None:
        processes.write_pid_file(settings.pid_file, identity)
    try:
        report = _read_report(reading, _START_SECONDS)
        if report is None or "error" in report or not _answers(settings, seconds=10):
            raise SandboxError((report or {}).get("error") or f"The emulator did not start. See {settings.log}.")
    except BaseException:
        if identity is not None:
            processes.end(identity, seconds=5)
        child.wait()
        settings.pid_file.unlink(missing_ok=True)
        runtime.stop_all(settings)
        raise
    finally:
        os.close(reading)
    return report


def _read_report(descriptor: int, seconds: float) -> dict[str, Any] | None:
    """The launcher's line; None when it ended without one or takes too long."""
    deadline, received = time.monotonic() + seconds, b""
    while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        part = os.read(descriptor, 65536)
        if not part:
            return None
        received += part
    report: dict[str, Any] = json.loads(received)
    return report


def _answers(settings: Settings, *, seconds: float) -> bool:
    """Whether the emulator answers over TLS that its own authority vouches for."""
    context = ssl.create_default_context(cafile=settings.ca_bundle)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(settings.endpoint_url + gateway.HEALTH, timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _keep_previous_log(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))


def _describe(settings: Settings, seeded: dict[str, Any]) -> None:
    description = {
        "endpoint_url": settings.endpoint_url,
        "browser_endpoint_url": settings.browser_endpoint_url,
        "ca_bundle": str(settings.ca_bundle),
        "region": settings.region,
        "shared_credentials_file": str(settings.shared_credentials_file),
        "profile": "operator",
        "organisation_id": seeded["organisation_id"],
        "organisational_unit_path": seeded["organisational_unit_path"],
        "accounts": {account.name: {"id": account.id, "unit": account.unit} for account in settings.accounts.values()},
        "task_network": f"{settings.task_network}.0.0/16",
    }
    # Whole or not at all: inventories read this file at any time.
    temporary = settings.description.with_suffix(".new")
    temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    temporary.replace(settings.description)


# --- After a run that was killed ----------------------------------------------------------------------------------


def _recover(settings: Settings) -> list[str]:
    """End what a killed run has left, drop what only it knew, and say so."""
    left = runtime.sweep(settings)
    if not settings.pid_file.exists():
        return left
    started = datetime.fromtimestamp(settings.pid_file.stat().st_mtime).strftime("%d %B %Y, %H:%M:%S")
    settings.pid_file.unlink()
    lost = [f"The last run, started {started}, was killed before it could save: what it changed is lost."]
    buckets = _drop_unknown_buckets(settings)
    if buckets:
        lost.append(f"Lost with it, made in that run: {', '.join(f'bucket {name}' for name in buckets)}.")
    return [*lost, *left]


def _drop_unknown_buckets(settings: Settings) -> list[str]:
    """Remove contents of buckets that the saved state does not know.

    The emulator writes objects at once but all else when it stops. Without this it would bring such buckets back
    without their policies, encryption and blocks of public access.
    """
    known = _saved_buckets(settings.saved / "s3.json")
    dropped = []
    for account in sorted(settings.objects.glob("[0-9]" * 12)):
        for bucket in sorted(account.iterdir()):
            if (account.name, bucket.name) not in known:
                shutil.rmtree(bucket)
                dropped.append(bucket.name)
    return dropped


def _saved_buckets(path: Path) -> set[tuple[str, str]]:
    """(account id, bucket name) of every bucket in the emulator's saved state."""
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))["payload"]["buckets_meta"]["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    pairs = (key.split("\x00", 1) for key in saved)
    return {(account, name.strip("'\"")) for account, name in pairs}


# --- One command at a time ----------------------------------------------------------------------------------------


def _lock_file(settings: Settings) -> Path:
    return settings.state / "lock"


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Keep two commands on the same sandbox from meeting."""
    with _lock_file(settings).open("w", encoding="utf-8") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise SettingsError("Another command has been working on this sandbox for two minutes.") from None
                time.sleep(0.1)
        yield
