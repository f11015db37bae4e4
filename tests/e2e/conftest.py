# SPDX-License-Identifier: GPL-3.0-or-later
"""One organisation, deployed once on a sandbox of its own, for every test of a run.

What those do who run the platform is in `operators`: plan, deploy, prove, share, switch on, tear down. What those do
who use it, and what becomes of their files, is in `people`. `make test` runs both folders side by side, with an
organisation each.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import another
from sandbox.settings import ROOT, Settings, load

SAMPLES = ROOT / "files" / "dagster" / "code_server" / "samples"
Playbook = Callable[..., subprocess.CompletedProcess[str]]
# One figure: `name`, `value`, `unit`, and what else there is to know about it.
Figure = dict[str, Any]
_measured: list[Figure] = []


@contextmanager
def own_folder() -> Iterator[Path]:
    """The first in build/ that no other run of these tests holds, so that several go on side by side."""
    parent = ROOT / "build" / "test"
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        with (parent / f"end-to-end-{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield parent / f"end-to-end-{number}"
            return


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """A running sandbox in build/, apart from the one that a person may have up; gone afterwards."""
    with own_folder() as state, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALGOV_SANDBOX_DIR", str(state))
        _sandbox("reset")
        try:
            _sandbox("start")
            yield load()
        finally:
            _sandbox("reset")


def _sandbox(verb: str) -> None:
    subprocess.run([sys.executable, "-m", "sandbox", verb], cwd=ROOT, check=True, timeout=120)


@pytest.fixture(scope="session")
def playbook(settings: Settings) -> Playbook:
    """Run a playbook against the sandbox, with the inventory that a person uses."""

    ansible_playbook = str(Path(sys.executable).parent / "ansible-playbook")

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ansible_playbook, "-i", "inventories/sandbox", f"playbooks/{name}.yml", *arguments],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=1800,  # a busy machine takes its time
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def deployed(playbook: Playbook) -> subprocess.CompletedProcess[str]:
    """The first deployment, from nothing."""
    run = playbook("site")
    assert run.returncode == 0, failures(run)
    return run


@pytest.fixture(scope="session")
def organisation(settings: Settings, deployed: subprocess.CompletedProcess[str]) -> Organisation:
    return Organisation(settings)


def failures(run: subprocess.CompletedProcess[str]) -> str:
    """The tasks of a playbook's run in which a host failed, whole, the counts of all hosts, and what went to stderr."""
    parts = re.split(r"^(?=PLAY |TASK |RUNNING HANDLER )", run.stdout, flags=re.MULTILINE)
    shown = re.compile(r"^(fatal|failed): |^PLAY RECAP", re.MULTILINE)
    return "".join([*filter(shown.search, parts), run.stderr])


def sample(name: str) -> bytes:
    """A file of its own at each call, with the sample's rows."""
    return another((SAMPLES / name).read_bytes())


def record(name: str, figures: list[Figure]) -> None:
    """Keep what was measured in build/bench/<name>.json, and print it when all tests have ended.

    A limit would judge the machine and not the platform.
    """
    target = ROOT / "build" / "bench" / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")
    _measured.extend(figures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _measured:
        terminalreporter.section("measured")
        for figure in _measured:
            terminalreporter.line(f"{figure['name']}: {figure['value']} {figure['unit']}")
