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
    """`path`: one parquet file, in the folder that was given to `read`, with the row's number and every declared column
    as text, blank is null. `notices` tell what was read in another way than a person may expect: none is an error."""

    table: Table
    path: Path
    notices: tuple[Finding, ...] = ()

    @property
    def rows(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.path, glob=False)


class Sheet(NamedTuple):
    """A text file of cells: a CSV file, or one sheet of a workbook, then with its number for findings."""

    path: Path
    number: int | None = None

    def told(self, finding: Finding) -> Finding:
        return finding if self.number is None else finding._replace(reason=f"Sheet {self.number}: {finding.reason}")

    def refused(self, error: FileRefusedError) -> FileRefusedError:
        findings = [self.told(finding) for finding in error.findings]
        return FileRefusedError(findings, error.rows_read, error.table)


def write_rows(rows: pl.LazyFrame, path: Path) -> Path:
    """For the next stage, which reads all of it: quick to write, without what helps to find single rows."""
    rows.sink_parquet(path, compression="lz4", statistics=False, engine="streaming")
    return path


def in_one_file(parts: list[Path], path: Path) -> Path:
    """The only part as it is."""
    return parts[0] if len(parts) == 1 else write_rows(pl.scan_parquet(parts, glob=False), path)


def counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def limited(findings: Sequence[Finding], total: int) -> list[Finding]:
    """The first findings, and how many more there are."""
    shown = list(findings[:PLACES_NAMED])
    if total > len(shown):
        rest = f"And {counted(total - len(shown), 'more row')} like these."
        shown.append(Finding(None, None, shown[-1].rule, rest))
    return shown
