# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml deploys in one pass, says nothing twice, and its rehearsal is true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures

ACCOUNTS = {"hub", "camden", "croydon", "sutton"}


def recap(run: subprocess.CompletedProcess[str]) -> dict[str, dict[str, int]]:
    """Host to the counts of Ansible's recap."""
    found = {}
    for host, counts in re.findall(r"^(\S+)\s+: (ok=.*)$", run.stdout, flags=re.MULTILINE):
        found[host] = {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", counts)}
    return found


def held(settings: Settings) -> dict[str, tuple[int, int]]:
    """Account to how many stacks and buckets it holds."""
    found = {}
    for account in sorted(ACCOUNTS):
        stacks = client_of_root(settings, account, "cloudformation").describe_stacks()["Stacks"]
        found[account] = (len(stacks), len(client_of_root(settings, account, "s3").list_buckets()["Buckets"]))
    return found


def test_a_rehearsal_on_empty_accounts_foresees_changes_and_makes_none(settings: Settings, playbook: Playbook) -> None:
    """The first test of the folder: nothing has asked for the deployment yet."""
    assert held(settings) == dict.fromkeys(ACCOUNTS, (0, 0))
    rehearsal = playbook("site", "--check", "--diff")
    assert rehearsal.returncode == 0, failures(rehearsal)
    assert all(counts["changed"] > 0 for counts in recap(rehearsal).values())
    assert held(settings) == dict.fromkeys(ACCOUNTS, (0, 0))


def test_one_pass_deploys_every_account(deployed: subprocess.CompletedProcess[str]) -> None:
    assert recap(deployed).keys() == ACCOUNTS
    assert all(counts["failed"] == counts["unreachable"] == 0 for counts in recap(deployed).values())


def test_a_second_pass_changes_nothing_on_any_account(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook
) -> None:
    again = playbook("site")
    assert again.returncode == 0, failures(again)
    assert {host: counts["changed"] for host, counts in recap(again).items()} == dict.fromkeys(ACCOUNTS, 0)


def test_a_rehearsal_on_deployed_accounts_foresees_no_change(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook
) -> None:
    rehearsal = playbook("site", "--check", "--diff")
    assert rehearsal.returncode == 0, failures(rehearsal)
    assert {host: counts["changed"] for host, counts in recap(rehearsal).items()} == dict.fromkeys(ACCOUNTS, 0)


def test_a_rehearsal_shows_a_share_that_the_inventory_revokes_for_everybody(
    deployed: subprocess.CompletedProcess[str], playbook: Playbook, tmp_path: Path
) -> None:
    everybody = tmp_path / "hosts.yml"
    everybody.write_text("all: {vars: {platform_share: revoked}}\n")
    rehearsal = playbook("site", "--check", "-i", str(everybody), "--limit", "hub,croydon")
    assert rehearsal.returncode == 0, failures(rehearsal)
    assert {host: counts["changed"] > 0 for host, counts in recap(rehearsal).items()} == {"hub": False, "croydon": True}


def test_a_teardown_without_a_limit_is_refused(deployed: subprocess.CompletedProcess[str], playbook: Playbook) -> None:
    refused = playbook("teardown")
    assert refused.returncode != 0
    assert "Name the accounts to tear down, as in --limit camden" in refused.stdout
