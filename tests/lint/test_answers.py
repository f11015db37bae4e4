# SPDX-License-Identifier: GPL-3.0-or-later
"""Each answer of docs/answers.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [row for row in (ROOT / "docs" / "answers.md").read_text().splitlines() if row.startswith("| ")]
FAULTS = [row for row in ROWS if not row.startswith("| known fault")]


def test_each_fault_has_an_answer_that_a_test_shows() -> None:
    assert FAULTS
    for row in FAULTS:
        _, fault, answer, shown, _ = row.split("|")
        assert fault.strip()
        assert answer.strip()
        assert re.fullmatch(r" `[^`]+\.py(::\w+)?`(, `[^`]+\.py(::\w+)?`)* ", shown), row


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([^`]+\.py(?:::\w+)?)`", "\n".join(FAULTS)))))
def test_a_named_test_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    functions = re.findall(r"^def (test_\w+)\(", (ROOT / path).read_text(), flags=re.MULTILINE)
    assert name in functions if name else functions
