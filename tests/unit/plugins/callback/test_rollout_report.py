# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report calls done, of real runs in batches that end at different places."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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
  serial: "{{ batches | default([1, 1, '100%']) }}"
  max_fail_percentage: 40
  tasks:
    - ansible.builtin.ping:
      when: inventory_hostname == unreachable
    - ansible.builtin.assert: {that: inventory_hostname not in failing, quiet: true}
    - block:
        - ansible.builtin.assert: {that: inventory_hostname not in rescued, quiet: true}
      rescue:
        - ansible.builtin.debug:
    - KEEP
    - when: inventory_hostname not in kept
      block:
        - ansible.builtin.assert:
            that: inventory_hostname not in failing_inside
            fail_msg: It cannot be deployed.
        - localgov.platform.deployment_lock: &unlock {state: released, bucket: none, owner: bob, run: bob}
          check_mode: true
          delegate_to: localhost
      rescue:
        - localgov.platform.deployment_lock: *unlock
          check_mode: true
          delegate_to: localhost
        - ansible.builtin.fail: {msg: "{{ ansible_failed_result.msg }}"}

- hosts: organisation
  gather_facts: false
  tasks:
    - ansible.builtin.debug:

- hosts: organisation:local_authorities
  gather_facts: false
  vars:
    rollout_report: false
  tasks:
    - ansible.builtin.debug:
"""


# What a release does in an account for which nothing is left to do.
(KEEP,) = (
    {**task, "when": "inventory_hostname in kept"}
    for task in yaml.safe_load((ROOT / "playbooks/tasks/release.yml").read_text())
    if task.get("ansible.builtin.set_fact") == {"__release_outcome": "kept"}
)


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
    (tmp_path / "site.yml").write_text(PLAYBOOK.replace("KEEP", json.dumps(KEEP)))
    return tmp_path


def outcomes(folder: Path, *arguments: str, unreachable: str = "", **variables: object) -> dict[str, str]:
    none: dict[str, list[str]] = {"failing": [], "failing_inside": [], "kept": [], "rescued": []}
    given = {"unreachable": unreachable, **none, **variables}
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


def test_failures_of_a_deployment_that_is_unlocked_after_it_count_against_the_tolerance(folder: Path) -> None:
    """And who had come to the end of the batch by then is done."""
    expected = {
        "barnet": "failed",
        "camden": "done",
        "croydon": "unfinished",
        "ealing": "unfinished",
        "hub": "unfinished",
    }
    assert outcomes(folder, failing_inside=["barnet"], batches=[2, "100%"]) == expected
    (barnet,) = (one for one in json.loads((folder / "site.json").read_text())["accounts"] if one["name"] == "barnet")
    assert barnet["failure"] == {"task": "ansible.builtin.assert", "reason": "It cannot be deployed."}


def test_who_has_nothing_to_be_done_is_done_though_others_of_the_batch_fail(folder: Path) -> None:
    """As an account that runs a release's images already, and is not locked."""
    found = outcomes(folder, failing_inside=["barnet"], kept=["camden"], batches=[2, "100%"])
    later = dict.fromkeys(("croydon", "ealing", "hub"), "unfinished")
    assert found == {"barnet": "failed", "camden": "done", **later}


def test_a_rollout_goes_on_within_the_tolerance(folder: Path) -> None:
    expected = {"barnet": "failed", **dict.fromkeys(("hub", *AUTHORITIES[1:]), "done")}
    assert outcomes(folder, failing_inside=["barnet"], batches=["100%"]) == expected


def test_an_account_that_joins_in_the_run_is_unfinished_where_the_organisation_failed(folder: Path) -> None:
    joins = """\
- hosts: organisation
  gather_facts: false
  tasks:
    - ansible.builtin.add_host: {name: barking, groups: local_authorities}
"""
    (folder / "site.yml").write_text(joins + (folder / "site.yml").read_text())
    found = outcomes(folder, failing=["hub"])
    assert found == {"hub": "failed", **dict.fromkeys((*AUTHORITIES, "barking"), "unfinished")}


def test_accounts_are_told_of_whose_turn_never_came(folder: Path) -> None:
    expected = {"hub": "failed", **dict.fromkeys(AUTHORITIES, "unfinished")}
    assert outcomes(folder, failing=["hub"]) == expected


def test_none_is_told_of_beyond_the_limit_and_the_plays(folder: Path) -> None:
    assert outcomes(folder, "--limit", "local_authorities", authorities="camden") == dict.fromkeys(AUTHORITIES, "done")
