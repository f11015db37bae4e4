# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify.yml says in the end, and by what it compares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[3]
TRYING, SAYING = yaml.safe_load((ROOT / "playbooks/verify.yml").read_text())
STATEMENT = {
    "account": "hub",
    "role": "policy",
    "owner": "hub",
    "resource": "arn:aws:s3:::localgov-200000000001-workspace",
    "action": "trust",
    "prefix": "",
    "expected": "as declared",
    "outcome": "as declared",
    "because": "these statements and no others",
    "rights": "own",
    "reason": "",
}
REFUSED = {
    **STATEMENT,
    "role": "deployer",
    "action": "get",
    "expected": "refused",
    "outcome": "refused",
    "reason": "AccessDenied: no",
}


def said(folder: Path, statements: list[dict[str, str]], trials: list[dict[str, str]]) -> tuple[int, str]:
    """How the second play ends, when this is what came of the first."""
    facts = {"__verify_statements": statements, "__verify_tried": {"trials": trials}}
    inventory = {"local_authorities": {}, "organisation": {"hosts": {"hub": facts}}, "outsiders": {}}
    (folder / "inventory.json").write_text(json.dumps(inventory))
    (folder / "verify.json").write_text(json.dumps([SAYING]))
    (folder / "templates").symlink_to(ROOT / "playbooks/templates")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "inventory.json", "verify.json"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build/collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
    }
    arguments = [*command, "-e", f"report_folder={folder / 'reports'}"]
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_where_nothing_was_tried_nothing_is_called_sound(tmp_path: Path) -> None:
    ended, told = said(tmp_path, [STATEMENT], [])
    assert ended != 0
    assert "Nothing was tried, so nothing is proved: no role of hub" in told
    assert "no surprise" not in told


def test_where_all_that_was_tried_ended_as_expected_there_is_no_surprise(tmp_path: Path) -> None:
    ended, told = said(tmp_path, [STATEMENT], [REFUSED])
    assert ended == 0, told
    assert "2 trials, no surprise" in told


@pytest.mark.parametrize(
    ("inventory", "tag", "counts"),
    [
        ("granted", "", "granted"),
        ("granted", "granted", "granted"),
        ("granted", "revoked", "revoked"),
        ("revoked", "granted", "revoked"),
        ("revoked", "revoked", "revoked"),
    ],
)
def test_an_authoritys_statements_are_compared_with_what_it_has_decided(inventory: str, tag: str, counts: str) -> None:
    tasks: list[dict[str, Any]] = TRYING["tasks"]
    roles = {
        task["ansible.builtin.include_role"]["tasks_from"]: number
        for number, task in enumerate(tasks)
        if task.get("ansible.builtin.include_role", {}).get("name") == "localgov.platform.shared_bucket"
    }
    assert roles["decision"] < roles["compare"], "it must be known by then"
    trusted = {name: trust_as_template(text) for name, text in TRYING["vars"].items() if isinstance(text, str)}
    facts = {"__platform_share": inventory, "shared_bucket_decided": {"share": tag} if tag else {}}
    templar = Templar(loader=DataLoader(), variables={**trusted, **facts})
    compared = tasks[roles["compare"]]["vars"]["shared_bucket_share"]
    assert templar.template(trust_as_template(compared)) == counts
