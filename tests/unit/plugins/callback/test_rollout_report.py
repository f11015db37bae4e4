# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report calls done, of real runs in batches that end at different places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
AUTHORITIES = ("barnet", "camden", "croydon", "ealing")
PLAYBOOK = """\
- hosts: organisation:local_authorities
  gather_facts: false
  tasks:
    - ansible.builtin.assert: {that: inventory_is_right | default(true), quiet: true}
      run_once: true
    - localgov.platform.deployment_lock:
      when: false

- hosts: organisation
  gather_facts: false
  tasks:
    - ansible.builtin.assert: {that: inventory_hostname not in failing, quiet: true}

- hosts: "{{ authorities | default('local_authorities') }}"
  gather_facts: false
  serial: [1, 1, "100%"]
  max_fail_percentage: 40
  tasks:
    - ansible.builtin.ping:
      when: inventory_hostname == unreachable
    - ansible.builtin.assert: {that: inventory_hostname not in failing, quiet: true}
    - block:
        - ansible.builtin.assert: {that: inventory_hostname not in rescued, quiet: true}
      rescue:
        - ansible.builtin.debug:

- hosts: organisation
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    nowhere = {
        "ansible_connection": "localgov.platform.aws_account",
        "ansible_aws_account_id": "012345670123",
        "ansible_aws_account_role": "localgov-deploy",
        "ansible_aws_account_endpoint_url": "http://127.0.0.1:9",
        "ansible_python_interpreter": sys.executable,
    }
    inventory = {
        "organisation": {"hosts": {"hub": nowhere}},
        "local_authorities": {"hosts": dict.fromkeys(AUTHORITIES, nowhere)},
    }
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    return tmp_path


def outcomes(folder: Path, *arguments: str, unreachable: str = "", **variables: object) -> dict[str, str]:
    given = {"unreachable": unreachable, "failing": [], "rescued": [], **variables}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALGOV_"))}
    own = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "LOCALGOV_ROLLOUT_REPORT_FOLDER": str(folder),
        "AWS_ACCESS_KEY_ID": "made-up-id",
        "AWS_SECRET_ACCESS_KEY": "made-up-secret",
        "AWS_MAX_ATTEMPTS": "1",
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "-i", "inventory.yml", "site.yml", "-e", json.dumps(given), *arguments],
        cwd=folder,
        env={**inherited, **own},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (folder / "site.json").exists(), done.stdout + done.stderr
    accounts = json.loads((folder / "site.json").read_text())["accounts"]
    return {account["name"]: account["outcome"] for account in accounts}


def test_all_are_done_where_nothing_failed_that_was_not_rescued(folder: Path) -> None:
    assert outcomes(folder, rescued=["camden"]) == dict.fromkeys(("hub", *AUTHORITIES), "done")


def test_behind_a_first_account_that_is_not_reached_nobody_is_done(folder: Path) -> None:
    expected = {"barnet": "unreachable", **dict.fromkeys(("hub", *AUTHORITIES[1:]), "unfinished")}
    assert outcomes(folder, unreachable="barnet") == expected


def test_what_earlier_batches_did_is_done_where_a_later_one_stops_the_rollout(folder: Path) -> None:
    expected = {"barnet": "done", "camden": "done", "croydon": "failed", "ealing": "unfinished", "hub": "unfinished"}
    assert outcomes(folder, failing=["croydon"]) == expected
    assert (folder / "site.retry").read_text().split() == ["croydon", "ealing", "hub"]


def test_accounts_are_told_of_whose_turn_never_came(folder: Path) -> None:
    expected = {"hub": "failed", **dict.fromkeys(AUTHORITIES, "unfinished")}
    assert outcomes(folder, failing=["hub"]) == expected


def test_none_is_told_of_beyond_the_limit_and_the_plays(folder: Path) -> None:
    assert outcomes(folder, "--limit", "local_authorities", authorities="camden") == dict.fromkeys(AUTHORITIES, "done")
