# SPDX-License-Identifier: GPL-3.0-or-later
"""`python measured.py <report.json> <command>...`: run a command and measure it with all that it has started.

The report has `code` (its exit code), `wall` and `cpu` in seconds, and `peak` in bytes: the most memory that all its
processes had at once, where what they share counts once. CPU is that of every process, also of those that outlive the
one that started them. `cpu_of` has its parts: the command's own process, those that it has waited for, and all others.
`load` is how many processes the machine ran or let wait, on the average of the minute before: what else it does.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_SAMPLED_EVERY = 0.5  # seconds
_KIB = 1024


def main(report: str, *command: str) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot adopt what its children leave")
    load, peak, ended = os.getloadavg()[0], [0], threading.Event()
    sampler = threading.Thread(target=_sample, args=(peak, ended), daemon=True)
    began = time.monotonic()
    process = subprocess.Popen(command)
    sampler.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    own, waited_for = _processor_seconds(process.pid)
    code = process.wait()
    wall = time.monotonic() - began
    ended.set()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    parts = {"own": own, "waited for": waited_for, "others": cpu - own - waited_for}
    figures = {"code": code, "wall": wall, "cpu": cpu, "cpu_of": parts, "peak": peak[0], "load": load}
    Path(report).write_text(json.dumps(figures))
    return code


def _processor_seconds(pid: int) -> tuple[float, float]:
    """Of a process itself and of those that it has waited for; also of one that has ended and is not waited for yet."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    user, system, children_user, children_system = (int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15])
    return user + system, children_user + children_system


def _sample(peak: list[int], ended: threading.Event) -> None:
    own = psutil.Process()
    while not ended.wait(_SAMPLED_EVERY):
        peak[0] = max(peak[0], sum(_share_of_memory(child.pid) for child in own.children(recursive=True)))


def _share_of_memory(pid: int) -> int:
    """Bytes of a process, with its part of what it shares with others; 0 of one that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * _KIB for line in rollup.splitlines() if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
