# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""An authority with an audit, deployed by the role as a person's Ansible does, on a real sandbox."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from sandbox.settings import ROOT
from tests.integration.playbooks import play, run_module
from tests.sandbox.conftest import Sandbox, policy

REGION = {"LocationConstraint": "eu-west-2"}
EVERYTHING = [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]
READER = "localgov-run-task"
TRAIL = "localgov-audit"
_SECONDS = 30

PLAY = """\
- hosts: camden
  gather_facts: false
  roles:
    - role: localgov.platform.access_audit
      access_audit_account_id: "{{ ansible_aws_account_id }}"
      access_audit_region: "{{ platform_region }}"
      access_audit_bucket: "localgov-{{ ansible_aws_account_id }}-shared"
"""


@dataclass
class Authority:
    """Camden, what it shares with the role READER of the organisation, and its audit."""

    sandbox: Sandbox
    folder: Path

    @property
    def shared(self) -> str:
        return f"localgov-{self.sandbox.account('camden')}-shared"

    @property
    def logs(self) -> str:
        return f"localgov-{self.sandbox.account('camden')}-audit"

    @cached_property
    def s3(self) -> Any:
        """As the account's root, whom the emulator holds to no policy."""
        return self.sandbox.client("s3", self.sandbox.root("camden"))

    def client(self, account: str, role: str, permissions: Any = EVERYTHING) -> Any:
        return self.sandbox.client("s3", self.sandbox.role(account, role, permissions))

    def share(self) -> None:
        self.s3.create_bucket(Bucket=self.shared, CreateBucketConfiguration=REGION)
        member = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{self.shared}", f"arn:aws:s3:::{self.shared}/*"],
            "Condition": {
                "StringEquals": {"aws:PrincipalOrgID": self.sandbox.description["organisation_id"]},
                "ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::*:role/{READER}"},
            },
        }
        self.s3.put_bucket_policy(Bucket=self.shared, Policy=policy(member))

    def read(self, key: str, content: bytes = b"a,b\n1,2\n") -> None:
        """The organisation's role reads a file."""
        self.s3.put_object(Bucket=self.shared, Key=key, Body=content)
        self.client("hub", READER).get_object(Bucket=self.shared, Key=key)["Body"].read()

    def play(self, playbook: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return play(self.sandbox, self.folder, playbook, *arguments)

    def ask(self, *, check: bool = False, account: str = "camden", **options: Any) -> dict[str, Any]:
        """What access_log_info says, as the deploy role."""
        given = {"bucket": self.logs, "since": "2026-01-01", **options, "_ansible_check_mode": check}
        return self._module("access_log_info", self.sandbox.deployer(account), given)

    def recording(self, session: Any = None, **options: Any) -> dict[str, Any]:
        """What access_recording_info says of today, as the deploy role unless another session is given."""
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        given = {"trail": TRAIL, "bucket": self.shared, "log_bucket": self.logs, "since": today, **options}
        return self._module("access_recording_info", session or self.sandbox.deployer("camden"), given)

    def _module(self, name: str, session: dict[str, str], options: dict[str, Any]) -> dict[str, Any]:
        return run_module(self.sandbox, self.folder, name, session, options)

    def wait_for(self, key: str) -> dict[str, Any]:
        """What the module says as soon as the log files tell of this file."""
        limit = time.monotonic() + _SECONDS
        while True:
            said = self.ask()
            if any(record["key"] == key for record in said["records"]):
                return said
            assert time.monotonic() < limit, said
            time.sleep(0.2)

    def report(self, *arguments: str) -> Report:
        given = ("--tags", "access", "-l", "camden", "-e", f"report_folder={self.folder}", *arguments)
        done = self.play(ROOT / "playbooks" / "report.yml", *given)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert re.search(r"changed=0 .*skipped=0 ", done.stdout), done.stdout
        return Report(done.stdout, self.folder / "camden-access.csv", self.folder / "camden-access.html")


@dataclass(frozen=True)
class Report:
    terminal: str
    csv_file: Path
    page: Path

    @property
    def rows(self) -> list[dict[str, str]]:
        with self.csv_file.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@dataclass(frozen=True)
class Deployed:
    rehearsed: str  # on an account that has nothing yet
    done: str
    repeated: str


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    link = ROOT / "build" / "collections" / "ansible_collections" / "localgov" / "platform"
    if not link.exists():  # `make install` makes the same link
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT)
    own = Sandbox(tmp_path_factory.mktemp("audit") / "state")
    own.start()
    yield own
    own.run("stop")


@pytest.fixture(scope="session")
def authority(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(sandbox, tmp_path_factory.mktemp("reports"))
    made.share()
    return made


@pytest.fixture(scope="session")
def deployed(authority: Authority) -> Deployed:
    play = authority.folder / "play.yml"
    play.write_text(PLAY, encoding="utf-8")
    runs = [authority.play(play, "--check"), authority.play(play), authority.play(play)]
    for run in runs:
        assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    return Deployed(*(run.stdout for run in runs))


@pytest.fixture
def unique_key() -> Callable[[str], str]:
    return lambda name: f"ssda903/2026/header/{os.urandom(6).hex()}{name}"
