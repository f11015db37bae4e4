# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A sandbox that runs tasks as processes, and an account of it to run them in."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
import yaml
from botocore.config import Config

from sandbox import sessions
from sandbox.processes import identify
from tests.sandbox.conftest import Sandbox

Value = TypeVar("Value")

# An image without a project: Python with the task's command as its script. The interpreter is the sandbox's own.
IMAGES = {"test/python": {"entrypoint": ["python", "-c"]}}

LISTENER = """
    import os, socket, sys
    server = socket.create_server((os.environ["BIND_ADDRESS"], 8080))
    print("listening on", server.getsockname()[0], flush=True)
    while True:
        connection, _ = server.accept()
        connection.sendall(b"hello from " + os.environ.get("NAME", "nobody").encode())
        connection.close()
"""


def eventually(condition: Callable[[], Value | Literal[False] | None], what: str, seconds: float = 30.0) -> Value:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds} seconds; at the end it was {value!r}")
        time.sleep(0.1)


@dataclass
class Account:
    """One account of a running sandbox, and the cluster of one test in it."""

    sandbox: Sandbox
    name: str
    cluster: str

    @property
    def id(self) -> str:
        return self.sandbox.account(self.name)

    def client(self, service: str) -> Any:
        described = self.sandbox.description
        return sessions.client(
            sessions.of_keys(described["region"], **self.sandbox.root(self.name)),
            service,
            endpoint_url=described["endpoint_url"],
            verify=described["ca_bundle"],
            # Without the prefix that Cloud Map and Step Functions put before their host name: this host is an address.
            config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
        )

    @property
    def ecs(self) -> Any:
        return self.client("ecs")

    def role(self, name: str, *allowed: dict[str, Any], trusts: str = "ecs-tasks.amazonaws.com") -> str:
        iam = self.client("iam")
        trust = {"Effect": "Allow", "Principal": {"Service": trusts}, "Action": "sts:AssumeRole"}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
        if allowed:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=_policy(*allowed))
        return str(arn)

    def define(self, script: str, *, image: str = "test/python", family: str | None = None, **more: Any) -> str:
        """Register a task definition of one container that runs the script. Keys of *more*: see ECS."""
        container_keys = {key: more.pop(key) for key in list(more) if key in CONTAINER_KEYS}
        container = {"name": "main", "image": image, "command": [textwrap.dedent(script)], **container_keys}
        answer = self.ecs.register_task_definition(
            family=family or self.cluster, networkMode="awsvpc", containerDefinitions=[container], **more
        )
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def run(self, definition: str, **more: Any) -> str:
        answer = self.ecs.run_task(cluster=self.cluster, taskDefinition=definition, **more)
        assert not answer["failures"]
        return str(answer["tasks"][0]["taskArn"])

    def task(self, arn: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ecs.describe_tasks(cluster=self.cluster, tasks=[arn])["tasks"][0]
        return found

    def ended(self, arn: str, seconds: float = 30.0) -> dict[str, Any]:
        return eventually(
            lambda: (task := self.task(arn))["lastStatus"] == "STOPPED" and task, f"the end of {arn}", seconds
        )

    def running(self, arn: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            task = self.task(arn)
            assert task["lastStatus"] != "STOPPED", task
            return task if task["lastStatus"] == "RUNNING" else None

        return eventually(look, f"the start of {arn}")

    def serve(self, definition: str, name: str = "service", **more: Any) -> None:
        self.ecs.create_service(
            cluster=self.cluster, serviceName=name, taskDefinition=definition, **{"desiredCount": 1, **more}
        )

    def service(self, name: str = "service") -> dict[str, Any]:
        found: dict[str, Any] = self.ecs.describe_services(cluster=self.cluster, services=[name])["services"][0]
        return found

    def service_task(self, name: str = "service", other_than: str | None = None) -> dict[str, Any]:
        """The running task of a service of one."""

        def look() -> dict[str, Any] | None:
            arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=name)["taskArns"]
            tasks = [self.task(arn) for arn in arns if arn != other_than]
            return next((task for task in tasks if task["lastStatus"] == "RUNNING"), None)

        return eventually(look, f"a running task of the service {name}")

    def log_of(self, arn: str, container: str = "main") -> str:
        """What the task wrote, from its file: CloudWatch is tested on its own."""
        found = list(self.sandbox.folder.glob(f"tasks/{self.id}/*-{arn.rsplit('/', 1)[-1]}/{container}.log"))
        return found[0].read_text(encoding="utf-8") if found else ""


CONTAINER_KEYS = {
    "environment",
    "mountPoints",
    "secrets",
    "logConfiguration",
    "stopTimeout",
    "healthCheck",
    "entryPoint",
}


def address_of(task: dict[str, Any]) -> str:
    details = task["attachments"][0]["details"]
    return str(next(detail["value"] for detail in details if detail["name"] == "privateIPv4Address"))


def marked_processes(folder: Path) -> list[int]:
    """Every process that a sandbox in this folder has started, by the mark in its environment."""
    wanted = f"LOCALGOV_SANDBOX_PROCESS={folder}:".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and b"\0" + wanted in b"\0" + (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def kill_emulator(sandbox: Sandbox) -> None:
    pid = sandbox.pid
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: identify(pid) is None, "the end of the emulator")


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def start(sandbox: Sandbox) -> Sandbox:
    sandbox.folder.mkdir(parents=True, exist_ok=True)
    sandbox.start()
    (sandbox.folder / "images.yml").write_text(yaml.safe_dump(IMAGES), encoding="utf-8")
    return sandbox


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox with processes for all tests that only add to it."""
    shared = Sandbox(tmp_path_factory.mktemp("machine") / "state", {"LOCALGOV_SANDBOX_RUNTIME": "processes"})
    try:
        yield start(shared)
    finally:
        shared.run("reset")


@pytest.fixture
def own_machine(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of one test's own, which may kill or restart it."""
    own = Sandbox(tmp_path / "state", {"LOCALGOV_SANDBOX_RUNTIME": "processes"})
    try:
        yield start(own)
    finally:
        own.run("reset")


def account(sandbox: Sandbox, name: str = "camden") -> Account:
    made = Account(sandbox, name, f"test-{uuid.uuid4().hex[:8]}")
    made.ecs.create_cluster(clusterName=made.cluster)
    return made


@pytest.fixture
def camden(machine: Sandbox) -> Account:
    return account(machine)
