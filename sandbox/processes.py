# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is ours: a pid alone is reused by the system, a pid with its start time is not."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    pid: int
    started: str  # boot id and start time in clock ticks since boot: never the same for two processes


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of the process that has this pid now; None when there is none (a zombie is none)."""
    try:
        # The second field, the command, may contain spaces and brackets: split after its closing one.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, start_time = fields[0], fields[19]
    return None if state in "ZX" else ProcessIdentity(pid, f"{boot}/{start_time}")


def is_alive(identity: ProcessIdentity) -> bool:
    return identify(identity.pid) == identity


def write_pid_file(path: Path, identity: ProcessIdentity) -> None:
    path.write_text(json.dumps(asdict(identity)) + "\n", encoding="utf-8")


def read_pid_file(path: Path) -> ProcessIdentity | None:
    """What the file says, None when there is no such file or it was cut short by a crash."""
    try:
        return ProcessIdentity(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def end(identity: ProcessIdentity, *, seconds: float) -> bool:
    """Ask the process to end, force it after *seconds*. Whether it ended by itself."""
    if not _send(identity, signal.SIGTERM):
        return True
    if wait_for_end(identity, seconds):
        return True
    _send(identity, signal.SIGKILL)
    wait_for_end(identity, 10)
    return False


def wait_for_end(identity: ProcessIdentity, seconds: float) -> bool:
    """Whether the process ended within *seconds*."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return not is_alive(identity)
    try:
        if not is_alive(identity):
            return True
        deadline = time.monotonic() + seconds
        return bool(select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0])
    finally:
        os.close(descriptor)


def resident_memory(pid: int) -> int | None:
    """Resident memory in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), None)


def _send(identity: ProcessIdentity, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone. A pidfd cannot hit a later process of the same number."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True
