# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories of this repository have no faults, so that whoever copies one begins without."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.rollout.conftest import Operator
from tests.sandbox.conftest import CHECKOUT, Sandbox

PLAY = """\
- hosts: organisation:local_authorities
  gather_facts: false
  tasks:
    - name: Look at all accounts
      ansible.builtin.assert:
        that: ansible_play_hosts_all | localgov.platform.inventory_faults(hostvars) == []
        fail_msg: "{{ ansible_play_hosts_all | localgov.platform.inventory_faults(hostvars) }}"
      run_once: true
"""


@pytest.mark.parametrize("name", sorted(path.name for path in (CHECKOUT / "inventories").iterdir()))
def test_a_shipped_inventory_has_no_faults(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    playbook = tmp_path / "look.yml"
    playbook.write_text(PLAY)
    run = Operator(sandbox, tmp_path).runs(playbook, inventory=CHECKOUT / "inventories" / name)
    assert run.returncode == 0, run.stdout[-3000:]
