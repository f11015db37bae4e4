# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys of shared buckets the platform's roles are allowed to use, by what an inventory says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = """\
- hosts: hub
  gather_facts: false
  connection: local
  tasks:
    - ansible.builtin.copy:
        content: "{{ __platform_shared_keys | to_json }}"
        dest: "{{ playbook_dir }}/keys.json"
        mode: "0600"
"""


def keys(folder: Path, *, croydon: dict[str, Any]) -> dict[str, str]:
    members = {
        "camden": {"ansible_aws_account_id": "012345670123", "platform_shared_encryption": "aws:kms"},
        "croydon": {"ansible_aws_account_id": "300000000002", "platform_region": "eu-west-1", **croydon},
        "sutton": {"ansible_aws_account_id": "400000000003"},
    }
    inventory = {
        "all": {"vars": {"platform_region": "eu-west-2", "ansible_python_interpreter": sys.executable}},
        "organisation": {"hosts": {"hub": {"ansible_aws_account_id": "200000000001"}}},
        "local_authorities": {"hosts": members},
    }
    (folder / "group_vars").mkdir(exist_ok=True)
    shutil.copy(ROOT / "playbooks" / "group_vars" / "all.yml", folder / "group_vars" / "all.yml")
    (folder / "inventory.yml").write_text(json.dumps(inventory))
    (folder / "playbook.yml").write_text(PLAYBOOK)
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "inventory.yml", "playbook.yml"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, str] = json.loads((folder / "keys.json").read_text())
    return found


def test_a_key_is_known_of_each_authority_whose_inventory_says_so_in_its_own_region(tmp_path: Path) -> None:
    camden = {"localgov-012345670123-shared": "arn:aws:kms:eu-west-2:012345670123:key/*"}
    croydon = {"localgov-300000000002-shared": "arn:aws:kms:eu-west-1:300000000002:key/*"}
    assert keys(tmp_path, croydon={"platform_shared_encryption": "AES256"}) == camden
    assert keys(tmp_path, croydon={"platform_shared_encryption": "aws:kms"}) == {**camden, **croydon}
