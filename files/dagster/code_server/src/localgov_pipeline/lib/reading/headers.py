# SPDX-License-Identifier: GPL-3.0-or-later
"""Which row names the columns, how its cells are separated, and which declared table that is."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from localgov_pipeline.lib.declarations import Dataset, Table
from localgov_pipeline.lib.findings import FileRefusedError, Finding

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
# Reports put a title and a date above their table.
_ROWS_SEARCHED = 20
_SEPARATOR_HINT = re.compile(r'^"?sep=(.)"?$', re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[\s\-\u200b\ufeff]+")


class NoTableError(FileRefusedError):
    """There is nothing that looks like a table of the dataset: in a workbook, a sheet that may be left out."""


class Header(NamedTuple):
    """`row` is its number, `lines` how many lines of the file it and what stands above take, `names` its cells in the
    form in which columns are declared, without blank ones at the end; `width` counts those too."""

    table: Table
    names: tuple[str, ...]
    separator: str
    row: int
    lines: int
    width: int


class _Candidate(NamedTuple):
    cells: list[str]
    names: list[str]
    separator: str
    row: int
    lines: int


def find_header(path: Path, dataset: Dataset) -> Header:
    """The most likely row among the first; refused unless it has exactly the columns of a table, in any order."""
    candidates = list(_candidates(path))
    best = max(candidates, key=lambda candidate: _likeness(candidate, dataset))
    known = nearest_table(best.names, dataset)
    if len(set(best.names) & set(known.columns)) * 2 < len(known.columns):
        # Too few known names: the row may be data, so none of it is repeated.
        first = next((candidate for candidate in candidates if candidate.names), best)
        raise NoTableError([_no_header(first.row, dataset)])
    if sorted(name for name in best.names if name) != sorted(known.columns):
        raise FileRefusedError([*_wrong_columns(best, known)])
    return Header(known, _unique(best.names), best.separator, best.row, best.lines, len(best.cells))


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """A column without a name is read under its number: it may be there as long as it is blank."""
    return tuple(name or str(position) for position, name in enumerate(names, start=1))


def nearest_table(names: Iterable[str], dataset: Dataset) -> Table:
    present = set(names) - {""}

    def likeness(table: Table) -> tuple[bool, float]:
        shared = present & set(table.columns)
        return present == set(table.columns), len(shared) / len(present | set(table.columns))

    return max(dataset.tables.values(), key=likeness)


def column_name(cell: str) -> str:
    """`Place provider` is how some exports write `PLACE_PROVIDER`."""
    return _NOT_IN_NAMES.sub("_", cell.strip(" \t\n\u00a0\u200b\ufeff")).upper()


def _candidates(path: Path) -> Iterator[_Candidate]:
    for separator in SEPARATORS:
        with path.open(encoding="utf-8", newline="") as file:
            yield from _first_records(file, separator)


def _first_records(file: Iterable[str], separator: str) -> Iterator[_Candidate]:
    lines = iter(file)
    first = next(lines, "")
    hint = _SEPARATOR_HINT.match(first.strip("\n"))
    reader = csv.reader(lines if hint else itertools.chain([first], lines), delimiter=separator)
    try:
        for row, cells in enumerate(itertools.islice(reader, _ROWS_SEARCHED), start=1):
            names = [column_name(cell) for cell in cells]
            while names and not names[-1]:
                names.pop()
            yield _Candidate(cells, names, separator, row, reader.line_num + bool(hint))
    except csv.Error:
        # A quotation mark that swallows the rest. Whatever stands above it has been looked at.
        yield _Candidate([], [], separator, 1, 1)


def _likeness(candidate: _Candidate, dataset: Dataset) -> tuple[bool, float]:
    table = nearest_table(candidate.names, dataset)
    present = set(candidate.names) - {""}
    return present == set(table.columns), len(present & set(table.columns)) / len(present | set(table.columns))


def _no_header(row: int, dataset: Dataset) -> Finding:
    tables = " or ".join(dataset.tables)
    reason = (
        f"These are not the columns of {tables} of {dataset.name} {dataset.year}. Check that it is the right file and "
        "that its first row names the columns."
    )
    return Finding(row, None, "columns", reason)


def _wrong_columns(candidate: _Candidate, table: Table) -> Iterator[Finding]:
    row, names = candidate.row, candidate.names
    for missing in (name for name in table.columns if name not in names):
        yield Finding(row, missing, "columns", f"This column of the table {table.name} is missing. Add it.")
    for position, name in enumerate(names, start=1):
        if name and name not in table.columns:
            cell = candidate.cells[position - 1].strip()
            shown = f"'{cell[:40]}'" if cell.isprintable() else "whose name cannot be printed"
            reason = f"Column {position}, {shown}, is not one of the table {table.name}. Take it out."
            yield Finding(row, None, "columns", reason)
    for name in sorted(set(names) & set(table.columns)):
        if names.count(name) > 1:
            yield Finding(row, name, "columns", "This column is there more than once. Keep one of them.")
