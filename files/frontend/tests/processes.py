# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback: started, waited for, ended."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError(f"Waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.05)


@contextmanager
def server(command: list[str], environment: dict[str, str], folder: Path, log: Path, health: str) -> Iterator[int]:
    """Run a server until the block ends, with its process id; it is up when `health` answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT)

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command} ended with {process.returncode}:\n{log.read_text()}")
        try:
            return httpx.get(health).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, f"{health} answers")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
