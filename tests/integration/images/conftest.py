# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""The module and the playbook as a person's Ansible runs them, against a real sandbox, as the deploy role."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.settings import ROOT
from tests.integration.playbooks import INVENTORY, play, run_module, start_module
from tests.sandbox.conftest import Sandbox

IMAGES = ("frontend", "dagit", "daemon", "code-server")


@dataclass
class Registry:
    """The organisation account's ECR, and pushes to one repository of it."""

    sandbox: Sandbox
    repository: str
    temporary: Path

    @property
    def ecr(self) -> Any:
        return self.sandbox.client("ecr", self.sandbox.deployer("hub"))

    def start_push(self, layout: Path, **options: Any) -> subprocess.Popen[str]:
        return start_module(self.sandbox, self.temporary, "ecr_image", *self._given(layout, **options))

    def push(self, layout: Path, **options: Any) -> dict[str, Any]:
        """What the module says."""
        return run_module(self.sandbox, self.temporary, "ecr_image", *self._given(layout, **options))

    def _given(self, layout: Path, *, check: bool = False, **options: Any) -> tuple[dict[str, str], dict[str, Any]]:
        given = {"layout": str(layout), "repository": self.repository, "_ansible_check_mode": check, **options}
        return self.sandbox.deployer("hub"), given

    def layers(self) -> set[str]:
        """The digests of the layers that the repository holds, from the sandbox's own folder."""
        stored = self.sandbox.folder.glob(f"layers/*/*/{self.repository.replace('/', '%2F')}/*")
        return {f"sha256:{path.name}" for path in stored}

    def uploads(self) -> list[Path]:
        """The uploads that are under way."""
        return list(self.sandbox.folder.glob("layers/uploads/*"))


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    _link_collection()
    shared = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    shared.start()
    yield shared
    shared.run("stop")


@pytest.fixture
def registry(sandbox: Sandbox, tmp_path: Path, unique: str) -> Registry:
    made = Registry(sandbox, f"localgov/{unique}", tmp_path)
    made.ecr.create_repository(repositoryName=made.repository, imageTagMutability="IMMUTABLE")
    return made


@pytest.fixture
def playbook(sandbox: Sandbox, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run playbooks/images.yml with the sandbox's inventory, then write each account's digests into a folder."""
    (tmp_path / "play.yml").write_text(
        PLAY.format(playbook=ROOT / "playbooks" / "images.yml", folder=tmp_path), encoding="utf-8"
    )

    def run(*arguments: str, inventory: Path = INVENTORY, **environment: str) -> subprocess.CompletedProcess[str]:
        for path in tmp_path.glob("*.digests"):
            path.unlink()
        return play(sandbox, tmp_path, tmp_path / "play.yml", *arguments, inventory=inventory, **environment)

    return run


PLAY = """\
- ansible.builtin.import_playbook: {playbook}
- hosts: local_authorities:organisation
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ platform_image_digests | to_json }}}}"
        dest: "{folder}/{{{{ inventory_hostname }}}}.digests"
        mode: "0644"
      delegate_to: localhost
      check_mode: false
      changed_when: false
      vars:
        ansible_connection: local
"""


def _link_collection() -> None:
    """`make install` makes the same link."""
    link = ROOT / "build" / "collections" / "ansible_collections" / "localgov" / "platform"
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(ROOT)


@pytest.fixture
def unique() -> str:
    return os.urandom(6).hex()
