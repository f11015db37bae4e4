# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ansible-galaxy collection build` makes of this checkout, and commands as a person gives them elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.conftest import CHECKOUT, Sandbox

BIN = Path(sys.executable).parent


def run(*command: str, cwd: Path, **environment: str) -> str:
    """What a command prints that ends well."""
    foreign = ("ANSIBLE_", "AWS_", "LOCALGOV_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={**inherited, "ANSIBLE_NOCOLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=900,  # a busy machine takes its time
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    run("ansible-galaxy", "collection", "build", "--output-path", str(folder), cwd=CHECKOUT)
    (built,) = folder.glob("localgov-platform-*.tar.gz")
    return built


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that knows nothing of the checkout, where the collection is installed already."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "ansible.cfg").write_text(f"[defaults]\ncollections_path = {folder}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    own = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    own.start()
    yield own
    own.run("stop")
