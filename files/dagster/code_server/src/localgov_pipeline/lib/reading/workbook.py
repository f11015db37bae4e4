# SPDX-License-Identifier: GPL-3.0-or-later
"""Excel workbooks: each visible sheet becomes a file of cells, which is then read as a CSV file is.

A workbook is a compressed archive that can unfold to anything. So its real sizes are counted before it is opened, and
it is opened by a process of its own that may use only so much memory and time: a single stray cell in the far corner
of a sheet is enough to make a reader ask for all the memory there is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from localgov_pipeline.lib.declarations import Dataset
from localgov_pipeline.lib.findings import FileRefusedError, Finding, refusal
from localgov_pipeline.lib.reading import workbook_cells
from localgov_pipeline.lib.reading.archive import refuse_unless_workbook
from localgov_pipeline.lib.reading.delimited import read_delimited
from localgov_pipeline.lib.reading.headers import NoTableError, find_header
from localgov_pipeline.lib.reading.shapes import SAVE_AS_CSV, ParsedTable, Sheet, limited

# Of the clock: the processor's own limit ends the process long before, unless the machine is very busy.
_SECONDS = 3 * workbook_cells.SECONDS


class _Unfolded(NamedTuple):
    """A sheet as the other process wrote it; no path when it did not. `merged`: first rows of downward merges."""

    number: int
    visible: bool
    path: str | None
    merged: Sequence[int]


def read_workbook(path: Path, dataset: Dataset, folder: Path) -> list[ParsedTable]:
    refuse_unless_workbook(path)
    tables: list[ParsedTable] = []
    left_out: list[Finding] = []
    refused: list[Finding] = []
    for unfolded in _sheets(path, folder):
        try:
            tables.append(_table(unfolded, dataset, folder))
        except NoTableError as error:
            left_out += error.findings
        except FileRefusedError as error:
            refused += error.findings
    refused += _twice(tables)
    if refused or not tables:
        raise FileRefusedError(refused or left_out or [_without_sheets()])
    first, *others = tables
    return [first._replace(notices=(*left_out, *first.notices)), *others]


def _sheets(path: Path, folder: Path) -> Iterator[_Unfolded]:
    # `-P`: the modules beside that program are none of its imports.
    command = [sys.executable, "-P", workbook_cells.__file__, str(path), str(folder)]
    try:
        # What it says on stderr may quote the workbook.
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise _too_large() from None
    # Of an exception that it did not expect, a program of Python dies with 1; of a limit, by a signal.
    if done.returncode in (workbook_cells.DAMAGED, 1):
        reason = "The workbook is damaged. Open it in Excel, let it be repaired, and save it again."
        raise refusal("workbook", f"{reason} Or: {SAVE_AS_CSV}")
    if done.returncode != 0:
        raise _too_large()
    return (_Unfolded(**json.loads(line)) for line in done.stdout.splitlines())


def _too_large() -> FileRefusedError:
    reason = (
        "The workbook needs too much memory or time to be read. Delete cells far below or to the right of the table "
        "(Ctrl+End shows the last that is used), or save each sheet as CSV."
    )
    return refusal("workbook", f"{reason} {SAVE_AS_CSV}")


def _table(unfolded: _Unfolded, dataset: Dataset, folder: Path) -> ParsedTable:
    if unfolded.path is None:
        reason = "It is empty or a chart" if unfolded.visible else "It is hidden: unhide it if it is needed"
        raise NoTableError([Finding(None, None, "sheet", f"Sheet {unfolded.number}: {reason}. It was left out.")])
    sheet = Sheet(Path(unfolded.path), unfolded.number)
    try:
        table = read_delimited(sheet, dataset, folder)
    except NoTableError as error:
        findings = [finding._replace(reason=f"{finding.reason} The sheet was left out.") for finding in error.findings]
        raise NoTableError([sheet.told(finding) for finding in findings]) from None
    except FileRefusedError as error:
        raise sheet.refused(error) from None
    header_row = find_header(sheet.path, dataset).row
    merged = [_merged(row) for row in unfolded.merged if row > header_row]
    told = [sheet.told(finding) for finding in limited(merged, len(merged))]
    return table._replace(notices=(*table.notices, *told))


def _merged(row: int) -> Finding:
    reason = "Cells are merged from this row down. Their value was taken for each of the rows."
    return Finding(row, None, "merged", reason)


def _twice(tables: Sequence[ParsedTable]) -> Iterator[Finding]:
    names = [table.table.name for table in tables]
    for name in sorted({name for name in names if names.count(name) > 1}):
        reason = (
            f"More than one sheet holds the table {name}. Put its rows into one sheet, or upload one file for each."
        )
        yield Finding(None, None, "sheet", reason)


def _without_sheets() -> Finding:
    return Finding(None, None, "sheet", f"The workbook has no sheet with a table. {SAVE_AS_CSV}")
