# SPDX-License-Identifier: GPL-3.0-or-later
"""A text file of cells as a table.

Polars fills a row that is too short with nulls and says nothing, and reads quotation marks in its own way where they
are irregular. So every line is first held against the shape of a regular one, which costs little; only a file with
other lines goes the slow way through Python's strict reader, which names the rows.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.declarations import Dataset
from localgov_pipeline.lib.findings import FileRefusedError, Finding
from localgov_pipeline.lib.reading.headers import SEPARATORS, Header, find_header
from localgov_pipeline.lib.reading.leftovers import (
    footer_notice,
    is_footer,
    is_repeated_header,
    repeated_headers,
    trailing_footers,
)
from localgov_pipeline.lib.reading.shapes import (
    PLACES_NAMED,
    ROW,
    ParsedTable,
    Sheet,
    counted,
    in_one_file,
    limited,
    write_rows,
)

_CHUNK_ROWS = 50_000
_LIKE_A_DATE = re.compile(r"\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}\b")
# With the end-of-file mark of DOS, and spaces of no width.
_BLANK = " \t\n\r\v\f\x1a\u00a0\u2007\u202f\u200b\ufeff"


def read_delimited(sheet: Sheet, dataset: Dataset, folder: Path) -> ParsedTable:
    """`sheet.path` is UTF-8 with `\\n` for a line end."""
    header = find_header(sheet.path, dataset)
    notices = [*_about_header(header)]
    stem = folder / f"{sheet.path.stem}-{header.table.name}"
    _refuse_shifted(sheet.path, header)
    lines = line_facts(sheet.path, header)
    if lines.regular:
        path = regular_rows(sheet.path, header, stem, lines.padded)
    else:
        path, about_cells = irregular_rows(sheet.path, header, stem)
        notices += about_cells
    _refuse_unnamed_values(pl.scan_parquet(path, glob=False), header)
    path, about_leftovers = _without_leftovers(path, header, stem)
    return ParsedTable(header.table, path, tuple(sheet.told(notice) for notice in notices + about_leftovers))


def _about_header(header: Header) -> Iterator[Finding]:
    if header.separator != ",":
        reason = f"The cells are separated by {SEPARATORS[header.separator]}, not by commas, and were read so."
        yield Finding(header.row, None, "separator", reason)
    if header.row > 1:
        reason = (
            f"The columns are named in this row. What stands above it was left out ({counted(header.row - 1, 'row')})."
        )
        yield Finding(header.row, None, "header", reason)


def _refuse_shifted(path: Path, header: Header) -> None:
    """Statistical tools write the names of rows in front of them, and no name for that column in the header. Where the
    last cells are blank, nothing else would give it away."""
    records = _first_records(path, header)
    if not records or any(len(cells) <= header.width for cells in records):
        return
    dates = [
        i for i, name in enumerate(header.names) if (column := header.table.columns.get(name)) and column.type == "date"
    ]
    as_named, shifted = (
        sum(bool(_LIKE_A_DATE.match(cells[i + by].strip())) for cells in records for i in dates) for by in (0, 1)
    )
    if shifted > as_named:
        reason = "The rows have a cell in front for which the header has no name. Take that column out, or name it."
        raise FileRefusedError([Finding(header.row, None, "columns", reason)], table=header.table.name)


def _strict_reader(file: Iterable[str], header: Header) -> Iterator[list[str]]:
    return csv.reader(itertools.islice(file, header.lines, None), delimiter=header.separator, strict=True)


def _first_records(path: Path, header: Header) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = _strict_reader(file, header)
        try:
            return [cells for cells in itertools.islice(reader, 50) if any(cell.strip(_BLANK) for cell in cells)]
        except csv.Error:
            # The strict reader will say where.
            return []


class LineFacts(NamedTuple):
    """`regular`: every line is one row, with as many cells as the header, each without quotation marks or in a pair of
    them, and more cells only when they are blank. `padded`: some cells may begin or end with spaces, or be blank
    in quotation marks, which polars takes for text."""

    regular: bool
    padded: bool


def line_facts(path: Path, header: Header) -> LineFacts:
    lines = pl.scan_lines(path, glob=False).slice(header.lines)
    line = pl.col("line")
    # One plain pattern, which nearly every file fits, takes half the time of the exact ones.
    if lines.select(line.str.contains(_plain_line(header)).all()).collect(engine="streaming").item():
        return LineFacts(regular=True, padded=False)
    separator = re.escape(header.separator)
    blank = rf"[^\S{separator}]" if header.separator == "\t" else r"\s"
    cell = rf'(?:[^"{separator}]*|"(?:[^"]|"")*")'
    shape = rf"^{cell}(?:{separator}{cell}){{{len(header.names) - 1}}}(?:{separator}{blank}*)*$"
    odd = ~line.str.contains(shape) & ~line.str.contains(rf"^[\s{separator}]*$")
    edge = rf'[{separator}"]'
    padded = line.str.contains(rf'(?:^|{edge})[{_BLANK}]|[{_BLANK}](?:{edge}|$)|""')
    found = lines.select(odd.any().alias("odd"), padded.any().alias("padded")).collect(engine="streaming")
    return LineFacts(not found["odd"].item(), found["padded"].item())


def _plain_line(header: Header) -> str:
    """Cells of printable ASCII, with neither quotation marks nor spaces at their ends."""
    separator = re.escape(header.separator)
    visible = rf'[!-~&&[^"{separator}]]'
    cell = rf'(?:{visible}(?:[ -~&&[^"{separator}]]*{visible})?)?'
    return rf"^{cell}(?:{separator}{cell}){{{len(header.names) - 1}}}$"


def regular_rows(path: Path, header: Header, stem: Path, padded: bool) -> Path:
    scanned = pl.scan_csv(
        path,
        has_header=False,
        skip_lines=header.lines,
        separator=header.separator,
        schema=dict.fromkeys(header.names, pl.String),
        extra_columns="ignore",
        missing_columns="insert",
        row_index_name=ROW,
        row_index_offset=header.row + 1,
        glob=False,
    )
    return _kept(_stripped(scanned, header) if padded else scanned, header, Path(f"{stem}.parquet"))


def _stripped(rows: pl.LazyFrame, header: Header) -> pl.LazyFrame:
    stripped = rows.with_columns(pl.col(name).str.strip_chars(_BLANK) for name in header.names)
    # `replace` would collect the whole column in memory.
    return stripped.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in header.names)


def _kept(rows: pl.LazyFrame, header: Header, target: Path) -> Path:
    filled = rows.select(pl.col(ROW).cast(pl.UInt32), *header.table.columns, *_unnamed(header)).filter(
        ~pl.all_horizontal(pl.col(name).is_null() for name in header.names)
    )
    return write_rows(filled, target)


def _unnamed(header: Header) -> list[str]:
    return [name for name in header.names if name not in header.table.columns]


def _refuse_unnamed_values(rows: pl.LazyFrame, header: Header) -> None:
    unnamed = _unnamed(header)
    if not unnamed:
        return
    first = rows.select(
        pl.col(ROW).filter(pl.col(name).is_not_null()).first().alias(name) for name in unnamed
    ).collect()
    found = [
        Finding(row, None, "columns", f"Column {name} has values and no name. Name it in the header or take it out.")
        for name, row in first.rows(named=True)[0].items()
        if row is not None
    ]
    if found:
        raise FileRefusedError(found, table=header.table.name)


class _Oddities:
    """What is not regular, collected over the chunks of a file in bounded memory."""

    def __init__(self, header: Header) -> None:
        self.width = len(header.names)
        # Excel leaves off the separators of blank cells at the end of a row.
        self.least = max(
            (
                index
                for index, name in enumerate(header.names, 1)
                if name in header.table.columns and header.table.columns[name].mandatory
            ),
            default=1,
        )
        self.ragged: list[tuple[int, int, list[str]]] = []
        self.ragged_total = 0
        self.shortened: list[int] = []
        self.shortened_total = 0
        self.read = 0
        self.last_whole = 0

    def fitted(self, row: int, cells: list[str]) -> list[str] | None:
        """The cells, as many as the header has; None for a row that is blank or ragged."""
        if not any(cell.strip(_BLANK) for cell in cells):
            return None
        self.read += 1
        length = len(cells)
        if length < self.least or any(cell.strip(_BLANK) for cell in cells[self.width :]):
            self.ragged_total += 1
            if len(self.ragged) < PLACES_NAMED:
                self.ragged.append((row, length, cells[:1]))
            return None
        self.last_whole = row
        if length < self.width:
            self.shortened_total += 1
            self.shortened.extend([row] if len(self.shortened) < PLACES_NAMED else [])
            return cells + [""] * (self.width - length)
        return cells[: self.width]

    def notices(self, header: Header) -> list[Finding]:
        """Refuses the file when a row has too few or too many cells, unless it is the last and sums up."""
        footers = [row for row, _, first in self.ragged if row > self.last_whole and is_footer(first)]
        if self.ragged_total > len(footers):
            found = [
                Finding(
                    row,
                    None,
                    "cells",
                    f"This row has {cells} cells, the header has {self.width}. Check its {_marks(header)}.",
                )
                for row, cells, _ in self.ragged
                if row not in footers
            ]
            raise FileRefusedError(limited(found, self.ragged_total - len(footers)), self.read, header.table.name)
        notices = [footer_notice(row) for row in footers]
        if self.shortened:
            reason = "This row ends before the last column, as Excel writes rows that end in blank cells."
            shortened = [Finding(row, None, "cells", reason) for row in self.shortened]
            notices += limited(shortened, self.shortened_total)
        return notices


def _marks(header: Header) -> str:
    return f"{SEPARATORS[header.separator]} and quotation marks"


def irregular_rows(path: Path, header: Header, stem: Path) -> tuple[Path, list[Finding]]:
    oddities = _Oddities(header)
    parts = []
    for number, (first, chunk) in enumerate(_chunks(path, header, oddities)):
        rows = _stripped(_frame(first, chunk, header, oddities).lazy(), header)
        parts.append(_kept(rows, header, Path(f"{stem}-{number}.parquet")))
    notices = oddities.notices(header)
    return in_one_file(parts, Path(f"{stem}.parquet")), notices


def _chunks(path: Path, header: Header, oddities: _Oddities) -> Iterator[tuple[int, list[list[str]]]]:
    """The number of the first record, and records as they stand in the file. At least one chunk, which may be empty."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = _strict_reader(file, header)
        first = header.row + 1
        while True:
            chunk: list[list[str]] = []
            try:
                chunk.extend(itertools.islice(reader, _CHUNK_ROWS))
            except csv.Error:
                # `extend` keeps what it read before the error: the broken record is the next one.
                raise FileRefusedError([_broken(first + len(chunk))], oddities.read, header.table.name) from None
            yield first, chunk
            if len(chunk) < _CHUNK_ROWS:
                return
            first += len(chunk)


def _broken(row: int) -> Finding:
    reason = "A quotation mark is opened and not closed, or stands in the middle of a quoted cell."
    return Finding(row, None, "quote", f"{reason} Mend the row, or export the file again.")


def _frame(first: int, chunk: Sequence[list[str]], header: Header, oddities: _Oddities) -> pl.DataFrame:
    numbered = [
        (row, cells) for row, record in enumerate(chunk, first) if (cells := oddities.fitted(row, record)) is not None
    ]
    columns = list(zip(*(cells for _, cells in numbered), strict=True)) or [()] * len(header.names)
    texts = [pl.Series(name, column, dtype=pl.String) for name, column in zip(header.names, columns, strict=True)]
    return pl.DataFrame([pl.Series(ROW, [row for row, _ in numbered], dtype=pl.UInt32), *texts])


def _without_leftovers(path: Path, header: Header, stem: Path) -> tuple[Path, list[Finding]]:
    rows = pl.scan_parquet(path, glob=False)
    repeated, total = repeated_headers(rows, header.table)
    footers = trailing_footers(rows, header.names)
    notices = [
        Finding(row, None, "header", "The header stands here once more. The row was left out.") for row in repeated
    ]
    notices = limited(notices, total) if notices else []
    notices += [footer_notice(row) for row in footers]
    if total or footers or _unnamed(header):
        left = rows.filter(~is_repeated_header(header.table) & ~pl.col(ROW).is_in(footers))
        path = write_rows(left.select(ROW, *header.table.columns), Path(f"{stem}-rows.parquet"))
    return path, notices
