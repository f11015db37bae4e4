# SPDX-License-Identifier: GPL-3.0-or-later
"""What the readers have in common: a table as it was found in a file, and how many places are named to a person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.declarations import Table
from localgov_pipeline.lib.findings import FileRefusedError, Finding

ROW = "row"
# A file that is wrong throughout would fill memory, and nobody reads the thousandth place.
PLACES_NAMED = 200
SAVE_AS_CSV = "In Excel choose File, Save As, and the type 'CSV UTF-8 (Comma delimited)'."


class ParsedTable(NamedTuple):
    """`rows`: the row's number and every declared column as text, blank is null; scanned from files in the folder that
    was given to `read`. `notices` tell what was read in another way than a person may expect: none is an error."""

    table: Table
    rows: pl.LazyFrame
    notices: tuple[Finding, ...] = ()


class Sheet(NamedTuple):
    """A text file of cells: a CSV file, or one sheet of a workbook, then with its number for findings."""

    path: Path
    number: int | None = None

    def told(self, finding: Finding) -> Finding:
        return finding if self.number is None else finding._replace(reason=f"Sheet {self.number}: {finding.reason}")

    def refused(self, error: FileRefusedError) -> FileRefusedError:
        findings = [self.told(finding) for finding in error.findings]
        return FileRefusedError(findings, error.rows_read, error.table)


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def limited(findings: Sequence[Finding], total: int) -> list[Finding]:
    """The first findings, and how many more there are."""
    shown = list(findings[:PLACES_NAMED])
    if total > len(shown):
        rest = f"And {counted(total - len(shown), 'more row')} like these."
        shown.append(Finding(None, None, shown[-1].rule, rest))
    return shown
