# SPDX-License-Identifier: GPL-3.0-or-later
"""Records in which elements repeat, as flat tables: one row for each of the elements that a table declares.

Where a value stands is the declaration's `reading`. A path leads from the record downwards; as far as it goes the same
way as the path of the row, it means the same elements, and from there on the first of each name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from localgov_pipeline.lib.declarations import Dataset, Table
from localgov_pipeline.lib.findings import Finding
from localgov_pipeline.lib.reading.shapes import ROW, ParsedTable, counted, in_one_file, write_rows
from localgov_pipeline.lib.reading.xml_records import Element, Expected, Layout, records

_CHUNK_ROWS = 50_000
# What databases write where a date is wanted.
_MIDNIGHT = r"^(\d{4}-\d{2}-\d{2})(?:T00:00:00(?:\.0+)?)?(?:Z|[+-]\d{2}:\d{2})?$"


def read_nested(path: Path, dataset: Dataset, folder: Path) -> list[ParsedTable]:
    """Every table of the dataset, also one without a row: that it has none is what the file says."""
    tables = [_TableReading(table, folder) for table in dataset.tables.values()]
    known = {step for table in tables for kind in table.kinds for step in kind.steps()}
    strangers = _Strangers(known)
    for number, record in enumerate(records(path, _layout(dataset)), start=1):
        strangers.look_for(record, number)
        for table in tables:
            table.add(number, record)
    notices = strangers.notices()
    return [
        ParsedTable(table.table, table.written(), notices if not index else ()) for index, table in enumerate(tables)
    ]


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.lower().split("/"))


def _layout(dataset: Dataset) -> Layout:
    reading = dataset.reading
    expected = [
        Expected(_steps(entry["element"]), entry["value"].format(year=dataset.year), entry["rule"])
        for entry in reading.get("expected", [])
    ]
    return Layout(_steps(reading["record"]), str(dataset.called), expected)


class _Cell(NamedTuple):
    """Where a value stands: `level` counts the elements that the row's path has in common with the column's."""

    level: int
    rest: tuple[str, ...]


class _Kind(NamedTuple):
    """One sort of rows: there is one for each element at `each` in which one of `needed` has a value, if any is named.
    `cells`, `numbers` and `fixed` are by the column's place in the table."""

    name: str | None
    each: tuple[str, ...]
    needed: Sequence[tuple[str, ...]]
    cells: Mapping[int, _Cell]
    numbers: Mapping[int, int]
    fixed: Mapping[int, str]

    def steps(self) -> set[str]:
        needed = {step for path in self.needed for step in path}
        return {*self.each, *needed, *(step for cell in self.cells.values() for step in cell.rest)}


class _TableReading:
    """Rows are written away in chunks."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table = table
        self.folder = folder
        self.names = list(table.columns)
        self.kinds = [*_kinds(table)]
        self.rows: list[tuple[int | str | None, ...]] = []
        self.parts: list[Path] = []

    def add(self, number: int, record: Element) -> None:
        for kind in self.kinds:
            for chain, ordinals in _chains(record, kind.each):
                if not kind.needed or any(_first(chain[-1], path) for path in kind.needed):
                    self.rows.append((number, *self.cells(kind, chain, ordinals)))
        if len(self.rows) >= _CHUNK_ROWS:
            self.write()

    def cells(self, kind: _Kind, chain: Sequence[Element], ordinals: Sequence[int]) -> list[str | None]:
        values: list[str | None] = [None] * len(self.names)
        for index, cell in kind.cells.items():
            values[index] = _first(chain[cell.level], cell.rest)
        for index, level in kind.numbers.items():
            values[index] = str(ordinals[level])
        for index, value in kind.fixed.items():
            values[index] = value
        return values

    def write(self) -> None:
        columns = list(zip(*self.rows, strict=True)) or [()] * (len(self.names) + 1)
        texts = [pl.Series(name, column, dtype=pl.String) for name, column in zip(self.names, columns[1:], strict=True)]
        frame = pl.DataFrame([pl.Series(ROW, columns[0], dtype=pl.UInt32), *texts])
        dates = [name for name, column in self.table.columns.items() if column.type == "date"]
        part = self.folder / f"{self.table.name}-{len(self.parts)}.parquet"
        self.parts.append(write_rows(frame.lazy().with_columns(pl.col(dates).str.replace(_MIDNIGHT, "$1")), part))
        self.rows = []

    def written(self) -> Path:
        if self.rows or not self.parts:
            self.write()
        return in_one_file(self.parts, self.folder / f"{self.table.name}.parquet")


def _kinds(table: Table) -> Iterator[_Kind]:
    reading = table.reading
    rows: Mapping[str | None, Mapping[str, Any]] = reading.get("rows") or {None: {"each": reading["each"]}}
    for name, row in rows.items():
        each, date = _steps(row["each"]), _steps(row["date"]) if "date" in row else ()
        needed = [_steps(path) for path in row.get("when", [])] or ([date] if date else [])
        yield _Kind(name, each, [] if row.get("always") else needed, *_places(table, name, each, date))


def _places(
    table: Table, kind: str | None, each: tuple[str, ...], date: tuple[str, ...]
) -> tuple[dict[int, _Cell], dict[int, int], dict[int, str]]:
    cells: dict[int, _Cell] = {}
    numbers: dict[int, int] = {}
    fixed: dict[int, str] = {}
    for index, (name, column) in enumerate(table.columns.items()):
        reading = column.reading
        if name == table.reading.get("kind") and kind is not None:
            fixed[index] = kind
        elif "date" in reading:
            cells[index] = _Cell(len(each), date)
        elif "number" in reading:
            numbers[index] = len(_steps(reading["number"]))
        elif "part" in reading:
            numbers |= {index: reading["part"]} if len(each) >= reading["part"] else {}
        elif kind in reading.get("of", [kind]):
            cells[index] = _cell(_steps(reading["from"]), each)
    return cells, numbers, fixed


def _cell(path: tuple[str, ...], each: tuple[str, ...]) -> _Cell:
    level = 0
    while level < min(len(path), len(each)) and path[level] == each[level]:
        level += 1
    return _Cell(level, path[level:])


def _chains(record: Element, each: tuple[str, ...]) -> Iterator[tuple[list[Element], list[int]]]:
    """For each element at the path: the record, the elements on the way, and it; and which of its name each is."""
    chains: list[tuple[list[Element], list[int]]] = [([record], [0])]
    for step in each:
        chains = [
            ([*chain, element], [*ordinals, ordinal])
            for chain, ordinals in chains
            if isinstance(chain[-1], dict)
            for ordinal, element in enumerate(chain[-1].get(step, ()), start=1)
        ]
    return iter(chains)


def _first(element: Element, path: tuple[str, ...]) -> str | None:
    for step in path:
        if not isinstance(element, dict):
            return None
        found = element.get(step)
        if found is None:
            return None
        element = found[0]
    return element or None if isinstance(element, str) else None


class _Strangers:
    """Elements that the declaration does not know: they are not read, which is told."""

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.total = 0
        self.first = 0

    def look_for(self, element: Element, number: int) -> None:
        if isinstance(element, str):
            return
        for name, inner in element.items():
            if name not in self.known:
                self.total += len(inner)
                self.first = self.first or number
                continue
            for one in inner:
                if isinstance(one, dict):
                    self.look_for(one, number)

    def notices(self) -> tuple[Finding, ...]:
        if not self.total:
            return ()
        reason = f"Elements that the return does not have were left out ({counted(self.total, 'element')}), here first."
        return (Finding(self.first, None, "element", reason),)
