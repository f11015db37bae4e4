# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told to the person who uploaded a file. Never a value of it: findings are shown, stored and logged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Finding(NamedTuple):
    """`row` counts as a spreadsheet does: the header is row 1. `None` where no one row or column is to blame."""

    row: int | None
    column: str | None
    rule: str
    reason: str


class FileRefusedError(Exception):
    """The file cannot be trusted as a whole. `rows_read` is what could be counted before that was known."""

    def __init__(self, findings: Sequence[Finding], rows_read: int = 0, table: str | None = None) -> None:
        super().__init__(f"file refused by {sorted({finding.rule for finding in findings})}")
        self.findings = tuple(findings)
        self.rows_read = rows_read
        self.table = table


def refusal(rule: str, reason: str) -> FileRefusedError:
    return FileRefusedError([Finding(None, None, rule, reason)])
