# SPDX-License-Identifier: GPL-3.0-or-later
"""A real S3 for the pipeline tests: the emulator, on loopback, with policies enforced."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import hypothesis
import pytest
from buckets import ACCOUNT, REGION, make_bucket


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the process for port {port} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port} after {seconds} seconds")


# Nothing is left in the project's folder.
hypothesis.settings.register_profile("localgov", database=None)
hypothesis.settings.load_profile("localgov")


@pytest.fixture(scope="session")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, rds = free_port(), free_port()
    folder = tmp_path_factory.mktemp("emulator")
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
    with (folder / "log").open("wb") as log:
        command = [Path(sys.executable).with_name("ministack")]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until_open(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def aws(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of a task: endpoint, region, credentials. A twelve-digit key is that account's root."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_endpoint)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCOUNT)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return aws_endpoint


@pytest.fixture(scope="session")
def _storages() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr(instance.event_log_storage, "_connect", partial(_kept_connection, instance.event_log_storage))
        patch.setattr(instance.run_storage, "connect", partial(_kept_connection, instance.run_storage))
        yield instance


@contextmanager
def _kept_connection(storage: Any) -> Iterator[Any]:  # noqa: ANN401
    """Of a database in memory: Dagster would open another for each event, which is a good part of what a run costs."""
    with storage._held_conn.begin():
        yield storage._held_conn


@pytest.fixture
def memory(_storages: dg.DagsterInstance) -> dg.DagsterInstance:
    """A Dagster instance that holds nothing yet: to empty one takes far less than to make one."""
    _storages.wipe()
    return _storages


@pytest.fixture
def locations(aws: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Three new buckets of a local authority, by what they are for, named in the environment as on ECS."""
    buckets = {name: make_bucket(name) for name in ("data-store", "workspace", "shared")}
    for name, bucket in buckets.items():
        monkeypatch.setenv(f"{name.replace('-', '_').upper()}_LOCATION", f"s3://{bucket}")
    monkeypatch.setenv("ACCOUNT_NAME", "testborough")
    monkeypatch.setenv("PIPELINE", "local_authority")
    monkeypatch.setenv("PSEUDONYM_KEY", "a key that is used by tests, and by nobody else")
    return buckets
