# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of its own: `workbook_cells.py WORKBOOK FOLDER` writes each sheet as a CSV file, within limits.

For each sheet it prints a line of JSON: its number, whether it can be seen, its file and the rows of downward merges.
It imports nothing of the pipeline, so that the limits of the process are spent on the workbook alone.
"""

from __future__ import annotations

import csv
import datetime
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

# Enough for some seven hundred thousand rows of episodes.
MEMORY = 2 << 30
SECONDS = 240
FILE_BYTES = 2 << 30
DAMAGED, TOO_LARGE = 3, 4
_MERGES_TOLD = 200
_DATE = "%d/%m/%Y"


def main(workbook: str, folder: str) -> int:
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    import python_calamine

    try:
        opened = python_calamine.CalamineWorkbook.from_path(workbook)
        for number, sheet in enumerate(opened.sheets_metadata, start=1):
            visible = sheet.visible == python_calamine.SheetVisibleEnum.Visible
            told: dict[str, object] = {"number": number, "visible": visible, "path": None, "merged": []}
            if visible and sheet.typ == python_calamine.SheetTypeEnum.WorkSheet:
                cells = opened.get_sheet_by_index(number - 1)
                if cells.start is not None:
                    target = Path(folder) / f"sheet{number}.csv"
                    told |= {"path": str(target), "merged": _write(cells, target)}
            sys.stdout.write(json.dumps(told) + "\n")
    except (MemoryError, OSError):
        return TOO_LARGE
    except python_calamine.CalamineError:
        return DAMAGED
    return 0


def _write(sheet: CalamineSheet, target: Path) -> list[int]:
    """Every row of the sheet, so that a row's number is its record's. The first rows of downward merges."""
    merges = _downward_merges(sheet)
    rows = ([_text(cell) for cell in row] for row in sheet.iter_rows())
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(_filled(rows, merges))
    return [first + 1 for first in sorted(merges)][:_MERGES_TOLD]


def _downward_merges(sheet: CalamineSheet) -> dict[int, list[tuple[int, int]]]:
    """By first row: column and last row. The rows that are read begin with the first row of the sheet, but with the
    first column that is used."""
    left = sheet.start[1] if sheet.start else 0
    merges: dict[int, list[tuple[int, int]]] = {}
    for (first, column), (last, _) in sheet.merged_cell_ranges or []:
        if last > first and column >= left:
            merges.setdefault(first, []).append((column - left, last))
    return merges


def _filled(rows: Iterator[list[str]], merges: dict[int, list[tuple[int, int]]]) -> Iterator[list[str]]:
    """A cell that is merged downwards holds its value for every row that it covers."""
    open_merges: dict[int, tuple[int, str]] = {}
    for number, row in enumerate(rows):
        for column, (last, value) in list(open_merges.items()):
            if number > last:
                del open_merges[column]
            elif column < len(row):
                row[column] = value
        for column, last in merges.get(number, []):
            if column < len(row):
                open_merges[column] = (last, row[column])
        yield row


def _text(value: object) -> str:
    """The cell as a person writes it in a CSV file. Excel keeps whole numbers and dates as fractions."""
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.strftime(_DATE if midnight else f"{_DATE} %H:%M:%S")
    return value.strftime(_DATE) if isinstance(value, datetime.date) else str(value)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
