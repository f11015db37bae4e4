# SPDX-License-Identifier: GPL-3.0-or-later
"""Each variable that the playbooks read is known to the check of inventories, which calls all others misspelt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._inventory_faults import KNOWN

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
FILES = [file for file in sorted(PLAYBOOKS.rglob("*")) if file.suffix in (".yml", ".j2")]
READ = re.compile(r"(?<!\w)platform_[a-z]\w*")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PLAYBOOKS)))
def test_what_a_playbook_reads_is_known_to_the_check(file: Path) -> None:
    assert set(READ.findall(file.read_text(encoding="utf-8"))) - KNOWN == set()


def test_what_the_check_knows_is_read_somewhere() -> None:
    read = {name for file in FILES for name in READ.findall(file.read_text(encoding="utf-8"))}
    assert KNOWN - read == set()
