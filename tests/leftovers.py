# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which processes of this checkout still run; a sandbox that a person has up is theirs and not counted."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from sandbox.processes import is_alive, read_pid_file

ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 15


def left() -> list[str]:
    """Programs that this checkout's environments started, apart from our own family and the person's sandbox."""
    family = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    theirs = _sandbox_of_the_person()
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "environ"]):
        command = process.info["cmdline"] or []
        if process.pid in family or process.pid in theirs or not command:
            continue
        if any(str(ROOT / folder) in part for part in command for folder in (".venv", "build", "files")):
            found.append(_told(process, command))
    return found


def _told(process: psutil.Process, command: list[str]) -> str:
    """A process as a line from which can be seen whose it is and what it waits for."""
    with suppress(FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        waits = Path(f"/proc/{process.pid}/wchan").read_text(encoding="utf-8")
        begun = time.strftime("%H:%M:%S", time.localtime(process.create_time()))
        return f"{process.pid} of {process.ppid()}, {process.status()} in {waits} since {begun}: {' '.join(command)}"
    return f"{process.pid}, which has just ended: {' '.join(command)}"


def _sandbox_of_the_person() -> set[int]:
    """Pids of the sandbox in .sandbox, its tasks and databases."""
    state = ROOT / ".sandbox"
    files = [state / "emulator.pid", *state.glob("processes/**/*")]
    recorded = [read_pid_file(path) for path in files if path.is_file()]
    theirs = set()
    for identity in recorded:
        with suppress(psutil.NoSuchProcess):
            if identity and is_alive(identity):
                process = psutil.Process(identity.pid)
                theirs |= {process.pid, *(child.pid for child in process.children(recursive=True))}
    return theirs


def main() -> int:
    limit = time.monotonic() + _SECONDS
    while (found := left()) and time.monotonic() < limit:
        time.sleep(0.5)
    for process in found:
        sys.stdout.write(f"still running: {process}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
