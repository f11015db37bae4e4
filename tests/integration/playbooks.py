# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks, run as an operator's Ansible runs them, on the hosts of a test's own sandbox."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.sandbox.conftest import CHECKOUT, Sandbox

INVENTORY = CHECKOUT / "inventories" / "sandbox"
_PROGRAM = Path(sys.executable).parent / "ansible-playbook"
_SECONDS = 900  # so long may ten thousand users take
_MODULES = "ansible_collections.localgov.platform.plugins.modules"


def play(
    sandbox: Sandbox, folder: Path, playbook: Path, *arguments: str, inventory: Path = INVENTORY, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A playbook, from a folder of its own; for whoever wants to see what it prints."""
    return subprocess.run(
        command(playbook, *arguments, inventory=inventory),
        cwd=folder,
        env={**operators_environment(sandbox, folder), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def command(playbook: Path, *arguments: str, inventory: Path = INVENTORY) -> list[str]:
    return [str(_PROGRAM), "-i", str(inventory), str(playbook), *arguments]


def operators_environment(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """Of somebody who works on that sandbox, with nothing of one's own settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALGOV_"))}
    own = {
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "LOCALGOV_SANDBOX_DIR": str(sandbox.folder),
    }
    return {**inherited, **own}


def start_module(
    sandbox: Sandbox, folder: Path, name: str, session: dict[str, str], options: dict[str, Any]
) -> subprocess.Popen[str]:
    """A module in a process of its own, as Ansible starts it."""
    path = folder / f"{uuid.uuid4().hex}.json"
    path.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", f"{_MODULES}.{name}", str(path)],
        env={**sandbox.environment_of(session), "PYTHONPATH": str(CHECKOUT / "build" / "collections")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def run_module(
    sandbox: Sandbox, folder: Path, name: str, session: dict[str, str], options: dict[str, Any]
) -> dict[str, Any]:
    """What a module says."""
    output, errors = start_module(sandbox, folder, name, session, options).communicate(timeout=_SECONDS)
    assert output, errors
    said: dict[str, Any] = json.loads(output)
    return said


class Playbook:
    """Runs tasks on a host of the sandbox's inventory, each with the session of that account."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))},
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / "build" / "collections"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "LOCALGOV_SANDBOX_DIR": str(sandbox.folder),
        }

    def run(self, *tasks: dict[str, Any], host: str = "camden") -> list[dict[str, Any]]:
        """The results of *tasks*, each the module with its arguments; `check`, `fails` and `vars` beside it."""
        play = {"hosts": host, "gather_facts": False, "diff": True, "tasks": [_task(task) for task in tasks]}
        path = self._folder / "playbook.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        done = subprocess.run(
            [_PROGRAM, "-i", INVENTORY, path],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [task["hosts"][host] for task in json.loads(done.stdout)["plays"][0]["tasks"]]


def _task(given: dict[str, Any]) -> dict[str, Any]:
    (module,) = [name for name in given if "." in name]
    words = {"check": "check_mode", "fails": "ignore_errors", "vars": "vars"}
    return {"name": module, module: given[module], **{words[name]: given[name] for name in words if name in given}}
