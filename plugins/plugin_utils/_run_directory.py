# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory for what one Ansible run shares between its forks, and which ends with the run.

It lies inside Ansible's own temporary directory of the run, which Ansible removes when it ends in order. A run that is
killed removes nothing, so a small process, this file run as a program, waits for the end of the run and removes the
directory then. Should that process be killed as well, the next run sweeps.

What has to be given back when the run has ended lies in a directory beside it, as Ansible removes its own before that.
A run that comes to its end gives it back itself, as in a container nothing outlives it.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_SIGNAL_WHEN_PARENT_ENDS = 1  # PR_SET_PDEATHSIG, see prctl(2)
_PREFIX = "aws-account-sessions"
_LOCKS = "aws-account-locks"
# Longer than the longest session: what is older holds nothing of use, whatever machine it came from.
_OLDEST_SECONDS = 13 * 3600
_LOCKS_SECONDS = 120


class RunEndedError(Exception):
    """The run of which this process is a fork is gone."""


def run_directory(local_tmp: Path) -> Path:
    """The directory of this run, made by whichever fork comes first.

    `local_tmp` is the run's own temporary directory, the same for all its forks (`DEFAULT_LOCAL_TMP`). Raises
    RunEndedError: a fork that outlives its run for a moment must begin nothing, as nobody would clear up after it.
    """
    pid = controller_pid()
    _end_with(pid)
    started = process_started(pid)
    directory = _directory_of(local_tmp, pid, started)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return directory
    _remove_at_the_end_of(pid, started, directory)
    sweep(directory.parent.parent)
    return directory


def locks_directory(local_tmp: Path) -> Path:
    """Where the run's modules write down which locks they have; see the module `deployment_lock`."""
    directory = _locks_of(run_directory(local_tmp))
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def give_locks_back(local_tmp: Path) -> None:
    """At the end of the run, in its own process: the locks on accounts that it did not come to give back."""
    pid = os.getpid()
    _give_locks_back(_locks_of(_directory_of(local_tmp, pid, process_started(pid))))


def _directory_of(local_tmp: Path, pid: int, started: str) -> Path:
    return local_tmp / f"{_PREFIX}.{os.uname().nodename}.{pid}.{started}"


def _locks_of(directory: Path) -> Path:
    return directory.parent.parent / directory.name.replace(_PREFIX, _LOCKS, 1)


def controller_pid() -> int:
    """The process that is the run: Ansible's workers are forks of it."""
    controller = multiprocessing.parent_process()
    return controller.pid if controller and controller.pid else os.getpid()


def _end_with(pid: int) -> None:
    """Lets this fork end with its run: nobody would read its result, and it would wait for ever for that."""
    if pid == os.getpid():
        return
    if sys.platform == "linux":
        # Ansible's workers take what they have started with them.
        ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_ENDS, signal.SIGTERM)
    # Asked only now, as it may have ended before the kernel was told.
    if os.getppid() != pid:
        raise RunEndedError(f"The run, process {pid}, has ended.")


def process_started(pid: int) -> str:
    """When a process started, which tells it from a later one of the same number; empty when there is none."""
    try:
        # The second field, the command's name, may hold blanks and brackets.
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "-".join(shown.stdout.replace(":", "-").split())


def sweep(parent: Path) -> None:
    """Removes the directories that dead runs of this user left under `parent`."""
    for directory in (*parent.glob(f"ansible-local-*/{_PREFIX}.*"), *parent.glob(f"{_LOCKS}.*")):
        with contextlib.suppress(OSError, ValueError):
            if directory.stat().st_uid == os.getuid() and _is_left_over(directory):
                shutil.rmtree(directory)


def _is_left_over(directory: Path) -> bool:
    name, pid, started = directory.name.rsplit(".", 2)
    if name.partition(".")[2] == os.uname().nodename:
        return process_started(int(pid)) != started
    # Another machine's or container's run, in a home directory that both share: its processes cannot be seen from here.
    return directory.stat().st_mtime < time.time() - _OLDEST_SECONDS


def _remove_at_the_end_of(pid: int, started: str, directory: Path) -> None:
    # A session of its own, or the signal that ends the run would end it too.
    subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(pid), started, str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _wait_for_end(pid: int, started: str) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old kernel, or the process is gone
        while process_started(pid) == started:
            time.sleep(0.5)
        return
    # Only now is it certain that the descriptor is not one of a later process with the same number.
    if process_started(pid) == started:
        select.select([descriptor], [], [])


def _remove(directory: Path) -> None:
    # A fork that outlives its run for a moment may write while the directory is being removed.
    for _attempt in range(50):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)


def _give_locks_back(directory: Path) -> None:
    if any(directory.glob("*.json")):
        program = Path(__file__).with_name("_left_locks.py")
        # Not with -S as this one: it needs botocore.
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-I", program, directory], timeout=_LOCKS_SECONDS, check=False)


if __name__ == "__main__":
    _wait_for_end(int(sys.argv[1]), sys.argv[2])
    _give_locks_back(_locks_of(Path(sys.argv[3])))
    shutil.rmtree(_locks_of(Path(sys.argv[3])), ignore_errors=True)
    _remove(Path(sys.argv[3]))
