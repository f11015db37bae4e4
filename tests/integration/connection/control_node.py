# SPDX-License-Identifier: GPL-3.0-or-later
"""A control node of its own for each test: a home directory, an inventory and runs of ansible-playbook."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

BIN = Path(sys.executable).parent

_Value = TypeVar("_Value")


@dataclass
class Run:
    """A run of ansible-playbook that has ended."""

    returncode: int
    output: str
    argv: set[str] = field(default_factory=set)
    """Every command line that a process had which began meanwhile, whosever it was."""

    def line(self, *parts: str) -> str:
        """The first line of the output that holds all the parts."""
        found = [line for line in self.output.splitlines() if all(part in line for part in parts)]
        assert found, f"no line holds {parts}:\n{self.output}"
        return found[0]

    def recap(self, host: str) -> dict[str, int]:
        """How a host fared: ok, changed, unreachable, failed."""
        counts = self.line(f"{host} ", "unreachable=").partition(":")[2].split()
        return {name: int(count) for name, _, count in (pair.partition("=") for pair in counts)}


@dataclass
class ControlNode:
    home: Path
    environment: dict[str, str]
    hosts: dict[str, dict[str, Any]]
    variables: dict[str, Any]

    def start(self, tasks: str, *arguments: str, **play: object) -> subprocess.Popen[str]:
        """Starts a playbook of one play with those tasks (YAML)."""
        playbook = [{"hosts": "accounts", "gather_facts": False, **play, "tasks": yaml.safe_load(tasks)}]
        inventory = {"accounts": {"hosts": self.hosts, "vars": self.variables}}
        for name, content in (("playbook.yml", playbook), ("inventory.yml", inventory)):
            (self.home / name).write_text(yaml.safe_dump(content), encoding="utf-8")
        return subprocess.Popen(
            [BIN / "ansible-playbook", "-i", "inventory.yml", "-f", "10", "-v", "playbook.yml", *arguments],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, tasks: str, *arguments: str, watched: bool = False, **play: object) -> Run:
        """Runs a playbook of one play with those tasks (YAML) to its end."""
        before = _all_processes()
        process = self.start(tasks, *arguments, **play)
        argv: set[str] = set()
        watcher = threading.Thread(target=_watch_argv, args=(process if watched else None, before, argv))
        watcher.start()
        output, _ = process.communicate(timeout=240)
        watcher.join()
        return Run(process.returncode, output, argv)

    def session_directories(self) -> list[Path]:
        return list((self.home / ".ansible").glob("tmp/*/aws-account-sessions.*"))

    def processes(self) -> list[Path]:
        """All processes that work in this control node's folder, as runs and their modules do."""
        found = []
        for process in _all_processes():
            with contextlib.suppress(OSError):  # it ended in between
                if (process / "cwd").samefile(self.home):
                    found.append(process)
        return found

    def written(self) -> dict[Path, str]:
        """All files of this control node that came into being after its start, with their content."""
        given = {self.home / "operator.ini", self.home / "inventory.yml"}
        files = (path for path in self.home.rglob("*") if path.is_file() and path not in given)
        return {path: path.read_text(encoding="utf-8", errors="replace") for path in files}


def wait_for(condition: Callable[[], _Value], what: str, seconds: float = 30) -> _Value:
    """The condition's first true value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} seconds for {what}"
        time.sleep(0.05)
    return value


def _all_processes() -> set[Path]:
    return set(Path("/proc").glob("[0-9]*"))


def _watch_argv(process: subprocess.Popen[str] | None, before: set[Path], argv: set[str]) -> None:
    while process and process.poll() is None:
        # What was there before is left out: to look at all of it takes a core away from the run.
        for entry in _all_processes() - before:
            with contextlib.suppress(OSError):  # it ended in between
                argv.add((entry / "cmdline").read_text(errors="replace").replace("\0", " "))
        time.sleep(0.01)
