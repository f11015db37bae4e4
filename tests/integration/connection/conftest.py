# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs of ansible-playbook against a real emulator of AWS."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.connection.accounts import AUTHORITIES, ORGANISATION, REGION, ROLE, Operator, make_accounts
from tests.integration.connection.control_node import BIN, ControlNode, wait_for
from tests.integration.connection.gateway import Gateway, gateway_before

ROOT = Path(__file__).resolve().parents[3]
COLLECTIONS = ROOT / "build" / "collections"


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of an emulator of AWS that enforces who may do what."""
    folder = tmp_path_factory.mktemp("emulator")
    port = _free_port()
    settings = {
        "AUTH": "true",
        "MINISTACK_REGION": REGION,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder),
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    endpoint = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([BIN / "ministack"], env=settings, stdout=log, stderr=log, cwd=folder)
    try:
        wait_for(lambda: process.poll() is not None or _is_healthy(endpoint), "the emulator", 60)
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        yield endpoint
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def operator(emulator: str) -> Operator:
    return make_accounts(emulator)


@pytest.fixture
def gateway(emulator: str) -> Iterator[Gateway]:
    with gateway_before(emulator) as gateway:
        yield gateway


@pytest.fixture
def control_node(tmp_path: Path, gateway: Gateway, operator: Operator) -> ControlNode:
    """A control node whose inventory lists all accounts, and whose operator is alice."""
    _link_collection()
    (tmp_path / "operator.ini").write_text(
        f"[default]\naws_access_key_id = {operator.access_key_id}\n"
        f"aws_secret_access_key = {operator.secret_access_key}\n"
        f"[root-of-camden]\naws_access_key_id = {AUTHORITIES['camden']}\naws_secret_access_key = test\n",
        encoding="utf-8",
    )
    # A thousand times a second, as is the default, asks a core away from the run.
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninternal_poll_interval = 0.01\n", encoding="utf-8")
    return ControlNode(
        home=tmp_path,
        environment={
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        hosts={
            name: {"ansible_aws_account_id": account}
            for name, account in {"organisation": ORGANISATION, **AUTHORITIES}.items()
        },
        variables={
            "ansible_connection": "localgov.platform.aws_account",
            "ansible_aws_account_role": ROLE,
            "ansible_aws_account_region": REGION,
            "ansible_aws_account_endpoint_url": gateway.endpoint,
            "ansible_aws_account_shared_credentials_file": str(tmp_path / "operator.ini"),
        },
    )


def _link_collection() -> None:
    """`make install` makes the same link."""
    link = COLLECTIONS / "ansible_collections" / "localgov" / "platform"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _is_healthy(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2) as answer:  # noqa: S310  # loopback
            return bool(answer.status == 200)
    except OSError:
        return False
