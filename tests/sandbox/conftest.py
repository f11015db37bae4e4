# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""Real sandboxes in folders of their own, and sessions in their accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from sandbox import sessions

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass
class Sandbox:
    """A sandbox in *folder*, driven by its command line as a person drives it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LOCALGOV_", "AWS_"))}
        own = {"LOCALGOV_SANDBOX_DIR": str(self.folder), "LOCALGOV_SANDBOX_RUNTIME": "off"}
        return subprocess.run(
            [sys.executable, "-m", "sandbox", *arguments],
            cwd=CHECKOUT,
            env={**inherited, **own, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self) -> str:
        done = self.run("start")
        assert done.returncode == 0, done.stderr + self.log()
        return done.stdout

    @property
    def description(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.folder / "sandbox.json").read_text(encoding="utf-8"))
        return described

    @property
    def pid(self) -> int:
        return int(json.loads((self.folder / "emulator.pid").read_text(encoding="utf-8"))["pid"])

    def log(self) -> str:
        path = self.folder / "logs" / "emulator.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def account(self, name: str) -> str:
        return str(self.description["accounts"][name]["id"])

    # --- Sessions ---

    def client(self, service: str, credentials: dict[str, str], *, endpoint: str | None = None, **more: Any) -> Any:
        described = self.description
        return sessions.client(
            sessions.of_keys(described["region"], **credentials),
            service,
            endpoint_url=endpoint or described["endpoint_url"],
            verify=described["ca_bundle"],
            config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4" if service == "s3" else None),
            **more,
        )

    def root(self, name: str) -> dict[str, str]:
        return {"aws_access_key_id": self.account(name), "aws_secret_access_key": "test"}

    def operator(self) -> dict[str, str]:
        lines = (self.folder / "aws" / "credentials").read_text(encoding="utf-8").splitlines()[1:]
        return dict(line.split(" = ") for line in lines)

    def deployer(self, name: str) -> dict[str, str]:
        """The operator as the deploy role of an account."""
        return self.assume(self.operator(), name, "localgov-deploy")

    def role(self, name: str, role: str, allowed: Any) -> dict[str, str]:
        """A session of a role, made here, of an account; *allowed* are the statements of its own policy."""
        iam = self.client("iam", self.root(name))
        trust = {"Effect": "Allow", "Principal": {"AWS": self.account(name)}, "Action": "sts:AssumeRole"}
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(trust))
        iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=policy(*allowed))
        return self.assume(self.root(name), name, role)

    def environment_of(self, credentials: dict[str, str]) -> dict[str, str]:
        """The environment of a program that acts here with this session, and nowhere with another."""
        described = self.description
        return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {
            **{name.upper(): value for name, value in credentials.items()},
            "AWS_REGION": described["region"],
            "AWS_ENDPOINT_URL": described["endpoint_url"],
            "AWS_CA_BUNDLE": described["ca_bundle"],
        }

    def assume(self, credentials: dict[str, str], name: str, role: str) -> dict[str, str]:
        arn = f"arn:aws:iam::{self.account(name)}:role/{role}"
        assumed = self.client("sts", credentials).assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return {
            "aws_access_key_id": assumed["AccessKeyId"],
            "aws_secret_access_key": assumed["SecretAccessKey"],
            "aws_session_token": assumed["SessionToken"],
        }


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all tests that only add to it."""
    shared = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    shared.start()
    yield shared
    shared.run("stop")


@pytest.fixture
def new_sandbox(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """A maker of sandboxes of one test's own."""
    made: list[Sandbox] = []

    def make(**environment: str) -> Sandbox:
        made.append(Sandbox(tmp_path / f"sandbox-{len(made)}", environment))
        return made[-1]

    yield make
    for one in made:
        one.run("stop")


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"localgov-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def as_policy() -> Callable[..., str]:
    return policy
