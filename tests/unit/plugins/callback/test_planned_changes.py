# SPDX-License-Identifier: GPL-3.0-or-later
"""What tasks foresee reaches the tasks after them: a run of ansible-playbook tells what it has kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
PLAY = """
- hosts: all
  gather_facts: false
  connection: local
  tasks:
    - name: Write a file
      ansible.builtin.copy: {content: "new\\n", dest: "{{ playbook_dir }}/{{ item }}", mode: "0600"}
      loop: [first, second]
    - name: Write what is there
      ansible.builtin.copy: {src: "{{ playbook_dir }}/play.yml", dest: "{{ playbook_dir }}/play.yml"}
- hosts: camden
  gather_facts: false
  connection: local
  tasks:
    - ansible.builtin.copy:
        content: "{{ lookup('localgov.platform.planned_changes') | to_json }}"
        dest: "{{ playbook_dir }}/kept.json"
        mode: "0600"
      check_mode: false
"""


def run(folder: Path, *arguments: str, callback: str = "localgov.platform.planned_changes") -> str:
    (folder / "play.yml").write_text(PLAY)
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "camden,croydon,", "play.yml", *arguments],
        cwd=folder,
        env={
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "build" / "collections"),
            "ANSIBLE_CALLBACKS_ENABLED": callback,
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_rehearsal_keeps_each_change_of_each_host_and_no_task_that_changes_nothing(tmp_path: Path) -> None:
    said = run(tmp_path, "--check", "--diff")
    kept = json.loads((tmp_path / "kept.json").read_text())
    found = sorted((change["account"], change["name"]) for change in kept["changes"])
    assert found == [(host, "Write a file") for host in ("camden", "camden", "croydon", "croydon")], said
    assert all("+new" in change["diff"] for change in kept["changes"])
    assert not (tmp_path / "first").exists()


def test_where_nobody_listens_that_is_an_error_and_not_an_empty_plan(tmp_path: Path) -> None:
    for said in (run(tmp_path), run(tmp_path, "--check", callback="localgov.platform.loaded_once")):
        assert "Run it with --check, and name localgov.platform.planned_changes" in " ".join(said.split())
    assert not (tmp_path / "kept.json").exists()
