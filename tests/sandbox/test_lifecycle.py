# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, stop, status, reset, and what happens after a kill."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from asyncio.constants import SSL_SHUTDOWN_TIMEOUT
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import processes
from tests.sandbox.conftest import Sandbox

Make = Callable[..., Sandbox]


def wait_for_end(pid: int) -> bool:
    identity = processes.identify(pid)
    return identity is None or processes.wait_for_end(identity, 60)


def listeners() -> set[tuple[str, int]]:
    """(address, port) of every TCP listener of this machine."""
    found = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        if state == "0A":
            address, port = local.split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def test_status_says_up_with_0_and_down_with_3(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    assert sandbox.run("status").returncode == 3
    sandbox.start()
    up = sandbox.run("status")
    assert up.returncode == 0
    assert str(sandbox.pid) in up.stdout
    assert "MiB" in up.stdout
    assert sandbox.description["endpoint_url"] in up.stdout
    assert "camden 012345670123" in up.stdout
    sandbox.run("stop")
    assert sandbox.run("status").returncode == 3


def test_a_second_start_changes_nothing(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    pid, key = sandbox.pid, sandbox.operator()
    assert "already running" in sandbox.start()
    assert (sandbox.pid, sandbox.operator()) == (pid, key)


def test_stop_leaves_no_process_and_the_next_start_finds_the_state(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    pid, described, key = sandbox.pid, sandbox.description, sandbox.operator()
    s3 = sandbox.client("s3", sandbox.root("camden"))
    s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    s3.put_object(Bucket="kept", Key="file", Body=b"content")
    sandbox.role("camden", "kept-role", [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}])
    assert sandbox.run("stop").returncode == 0
    assert processes.identify(pid) is None
    assert not (sandbox.folder / "emulator.pid").exists()

    assert "lost" not in sandbox.start().lower()
    assert sandbox.description == described
    assert sandbox.operator() == key
    again = sandbox.client("s3", sandbox.assume(sandbox.root("camden"), "camden", "kept-role"))
    assert again.get_object(Bucket="kept", Key="file")["Body"].read() == b"content"


def test_stopping_what_does_not_run_is_no_error(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    assert sandbox.run("stop").returncode == 0
    assert not sandbox.folder.exists()


def test_after_a_kill_the_next_start_says_what_was_lost(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    region = {"LocationConstraint": "eu-west-2"}
    sandbox.client("s3", sandbox.root("camden")).create_bucket(Bucket="saved", CreateBucketConfiguration=region)
    sandbox.run("stop")
    sandbox.start()
    s3 = sandbox.client("s3", sandbox.root("camden"))
    s3.create_bucket(Bucket="made-since", CreateBucketConfiguration=region)
    s3.put_object(Bucket="made-since", Key="file", Body=b"content")
    pid = sandbox.pid
    os.kill(pid, signal.SIGKILL)
    assert wait_for_end(pid)
    assert sandbox.run("status").returncode == 3

    said = sandbox.start()
    assert "was killed before it could save" in said
    assert "bucket made-since" in said
    names = [bucket["Name"] for bucket in sandbox.client("s3", sandbox.root("camden")).list_buckets()["Buckets"]]
    assert names == ["saved"]
    assert "killed" not in sandbox.start()


def test_a_pid_file_that_names_somebody_elses_process_harms_nobody(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    sandbox.run("stop")
    own = processes.identify(os.getpid())
    assert own is not None
    reused = processes.ProcessIdentity(own.pid, "another-boot/1")
    processes.write_pid_file(sandbox.folder / "emulator.pid", reused)
    assert sandbox.run("status").returncode == 3
    assert sandbox.run("stop").returncode == 0
    sandbox.start()
    assert sandbox.pid != os.getpid()


def test_reset_forgets_everything(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    pid, organisation, key = sandbox.pid, sandbox.description["organisation_id"], sandbox.operator()
    sandbox.client("s3", sandbox.root("camden")).create_bucket(
        Bucket="forgotten", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"}
    )
    assert sandbox.run("reset").returncode == 0
    assert processes.identify(pid) is None
    assert [entry.name for entry in sandbox.folder.iterdir()] == ["lock"]
    sandbox.start()
    assert sandbox.client("s3", sandbox.root("camden")).list_buckets()["Buckets"] == []
    assert sandbox.description["organisation_id"] != organisation
    assert sandbox.operator() != key


def test_reset_refuses_a_folder_that_is_no_sandbox(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.folder.mkdir()
    precious = sandbox.folder / "thesis.txt"
    precious.write_text("years of work", encoding="utf-8")
    refused = sandbox.run("reset")
    assert refused.returncode == 1
    assert "does not look like a sandbox" in refused.stderr
    assert precious.exists()


def test_two_sandboxes_run_side_by_side(new_sandbox: Make) -> None:
    one, other = new_sandbox(), new_sandbox()
    one.start()
    other.start()
    for name in ("endpoint_url", "browser_endpoint_url", "task_network", "organisation_id"):
        assert one.description[name] != other.description[name]
    for sandbox in (one, other):
        sandbox.client("s3", sandbox.root("camden")).create_bucket(
            Bucket="same-name", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"}
        )
    one.run("stop")
    assert other.run("status").returncode == 0


def test_all_listeners_are_on_loopback(new_sandbox: Make) -> None:
    before = listeners()
    sandbox = new_sandbox()
    sandbox.start()
    opened = listeners() - before
    ports = {int(sandbox.description[name].rsplit(":")[-1]) for name in ("endpoint_url", "browser_endpoint_url")}
    assert ports <= {port for _, port in opened}
    mine = {address for address, port in opened if port in {*ports, 20999, 443}}
    assert all(address.startswith("127.") for address in mine)


def test_nobody_else_on_the_machine_can_read_the_state(new_sandbox: Make) -> None:
    sandbox = new_sandbox()
    sandbox.start()
    sandbox.run("stop")
    assert stat.S_IMODE(sandbox.folder.stat().st_mode) == 0o700
    for path in (sandbox.folder / "aws" / "credentials", sandbox.folder / "certificates" / "server-key.pem"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in (sandbox.folder / "state").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_ports_can_be_chosen(new_sandbox: Make) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    sandbox = new_sandbox(LOCALGOV_SANDBOX_PORT=str(free), LOCALGOV_SANDBOX_TASK_NETWORK="127.251")
    sandbox.start()
    assert sandbox.description["endpoint_url"] == f"https://127.0.0.1:{free}"
    assert sandbox.description["task_network"] == "127.251.0.0/16"


def test_a_port_in_use_is_named_with_the_way_out(new_sandbox: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sandbox = new_sandbox(LOCALGOV_SANDBOX_PORT=str(port))
        refused = sandbox.run("start")
    assert refused.returncode == 1
    assert f"Port {port} of 127.0.0.1" in refused.stderr
    assert "LOCALGOV_SANDBOX_PORT" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert sandbox.run("status").returncode == 3


def test_a_task_network_in_use_is_named_with_the_way_out(new_sandbox: Make) -> None:
    one = new_sandbox()
    one.start()
    network = one.description["task_network"].removesuffix(".0.0/16")
    refused = new_sandbox(LOCALGOV_SANDBOX_TASK_NETWORK=network).run("start")
    assert refused.returncode == 1
    assert "LOCALGOV_SANDBOX_TASK_NETWORK" in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LOCALGOV_SANDBOX_PORT", "http"),
        ("LOCALGOV_SANDBOX_BROWSER_PORT", "80"),
        ("LOCALGOV_SANDBOX_TASK_NETWORK", "127.0"),
        ("LOCALGOV_SANDBOX_RUNTIME", "podman"),
        ("LOCALGOV_SANDBOX_ORGANISATION", "/nowhere/organisation.yml"),
    ],
)
def test_a_wrong_setting_is_named(new_sandbox: Make, variable: str, value: str) -> None:
    refused = new_sandbox(**{variable: value}).run("start")
    assert refused.returncode == 1
    assert value in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_client_that_keeps_its_connection_does_not_hold_up_the_stop(new_sandbox: Make) -> None:
    """For all that TLS gives it to say goodbye; how long a stop takes otherwise, the same machine says."""
    sandbox = new_sandbox()
    sandbox.start()
    alone = seconds_to_stop(sandbox)
    sandbox.start()
    client = sandbox.client("s3", sandbox.root("camden"))
    client.list_buckets()
    kept = seconds_to_stop(sandbox)
    client.close()
    assert kept - alone < SSL_SHUTDOWN_TIMEOUT / 2


def seconds_to_stop(sandbox: Sandbox) -> float:
    began = time.monotonic()
    assert sandbox.run("stop").returncode == 0
    return time.monotonic() - began
