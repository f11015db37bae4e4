# SPDX-License-Identifier: GPL-3.0-or-later
"""What workers need is loaded before they are forked: a run of ansible-playbook tells what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact: {joined: "{{ {} | localgov.platform.service_networks_joined }}"}
    - ansible.builtin.set_fact: {endpoints: "{{ {} | localgov.platform.service_endpoints }}"}
"""
INVENTORY = """
all:
  hosts: {camden: {ansible_aws_account_id: "012345670123"}}
  vars: {ansible_connection: localgov.platform.aws_account}
"""


@pytest.mark.parametrize(
    ("settings", "times"),
    [({"ANSIBLE_CALLBACKS_ENABLED": "localgov.platform.loaded_once"}, 1), ({}, 2)],
    ids=["for all workers where it is enabled", "for each worker where it is not"],
)
def test_a_plugin_is_loaded_once(tmp_path: Path, settings: dict[str, str], times: int) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts.yml", "play.yml"],
        cwd=tmp_path,
        env={
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
            "ANSIBLE_DEBUG": "1",
            **settings,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    told = [line for line in done.stdout.splitlines() if "service_endpoints' from" in line]
    assert len([line for line in told if "found_in_cache=True" not in line]) == times
