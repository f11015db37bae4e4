# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ansible-galaxy collection build` makes of this checkout can be installed and used."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    run("ansible-galaxy", "collection", "build", "--output-path", str(folder), cwd=ROOT)
    (built,) = folder.glob("localgov-platform-*.tar.gz")
    return built


def test_the_artefact_holds_the_collection_and_nothing_that_was_made_here(artefact: Path) -> None:
    with tarfile.open(artefact) as archive:
        names = archive.getnames()
    for needed in ("plugins/connection/aws_account.py", "roles/la_services/tasks/main.yml", "playbooks/site.yml"):
        assert needed in names
    made_here = {".venv", "build", "node_modules", ".sandbox", "__pycache__", ".hypothesis", ".git"}
    assert not [name for name in names if made_here & set(Path(name).parts)]
    assert artefact.stat().st_size < 5_000_000


def test_the_installed_artefact_is_found_by_ansible(artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").touch()  # not the checkout's, where the collection is installed already
    path = {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    run(
        "ansible-galaxy", "collection", "install", "--no-deps", "-p", str(tmp_path), str(artefact), cwd=tmp_path, **path
    )
    shown = run("ansible-doc", "-t", "connection", "localgov.platform.aws_account", cwd=tmp_path, **path)
    assert "Makes an AWS account an Ansible host" in shown
    roles = run("ansible-doc", "-t", "role", "-l", "localgov.platform", cwd=tmp_path, **path)
    for role in ("org_ecr", "la_network", "la_services", "shared_bucket"):
        assert f"localgov.platform.{role}" in roles
