# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes of a CSV file to a frame of text cells, each row with its number, or a refusal that says why."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator

import polars as pl

from localgov_pipeline.lib.declarations import Dataset, Table
from localgov_pipeline.lib.findings import FileRefusedError, Finding, refusal

ROW = "row"
_CHUNK_ROWS = 100_000
_SAVE_AS = "In Excel choose File, Save As, and the type 'CSV UTF-8 (Comma delimited)'."
_SPREADSHEET_SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def parse(content: bytes, dataset: Dataset) -> tuple[Table, pl.DataFrame]:
    """The table that the file holds, and its rows: `row` (header is 1) and the table's columns as text, blank is null.

    Rows without any value are left out; the others keep the number that a spreadsheet shows for them.
    """
    records = _records(decoded(content))
    header = [cell.strip() for cell in records["cells"][0]] if len(records) else []
    width = len(header)
    while width and not header[width - 1]:
        width -= 1
    table = table_of(header[:width], dataset)
    rows = _filled(records.slice(1))
    _refuse_ragged(rows, width)
    return table, _columns(rows, [name.upper() for name in header[:width]], table)


def decoded(content: bytes) -> str:
    if not content.strip():
        raise refusal("empty", "The file is empty. Export it again and check that it opens with rows in it.")
    if content.startswith(_SPREADSHEET_SIGNATURES):
        raise refusal("encoding", f"This is a spreadsheet workbook, not a CSV file. {_SAVE_AS}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        reason = f"The file is not UTF-8: the first character that cannot be read is in this line. {_SAVE_AS}"
        raise FileRefusedError([Finding(row, None, "encoding", reason)]) from None
    if "\0" in text:
        raise refusal("encoding", f"The file is not UTF-8 text (it may be UTF-16). {_SAVE_AS}")
    if not text.strip():
        raise refusal("empty", "The file is empty. Export it again and check that it opens with rows in it.")
    return text


def _records(text: str) -> pl.DataFrame:
    """`row` and `cells` (a list of text). Without a quote in the file, splitting is all there is to parsing."""
    if '"' in text:
        return pl.concat(_quoted_records(text))
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    return pl.DataFrame({"cells": pl.Series(lines).str.split(",")}).with_row_index(ROW, offset=1)


def _quoted_records(text: str) -> Iterator[pl.DataFrame]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    first = 1
    while True:
        chunk: list[list[str]] = []
        try:
            chunk.extend(itertools.islice(reader, _CHUNK_ROWS))
        except csv.Error:
            # `extend` keeps what it read before the error: the broken record is the next one.
            reason = "A quotation mark is opened and not closed, or stands in the middle of a quoted cell."
            broken = Finding(first + len(chunk), None, "quote", f"{reason} Mend the row, or export the file again.")
            raise FileRefusedError([broken]) from None
        if not chunk:
            return
        cells = pl.Series("cells", chunk, dtype=pl.List(pl.String))
        yield pl.DataFrame({"cells": cells}).with_row_index(ROW, offset=first)
        first += len(chunk)


def table_of(header: list[str], dataset: Dataset) -> Table:
    """The table that has exactly these columns, in any order and case."""
    names = [name.upper() for name in header]
    for table in dataset.tables.values():
        if sorted(names) == sorted(table.columns):
            return table
    raise FileRefusedError([*_wrong_columns(header, names, dataset)])


def _wrong_columns(header: list[str], names: list[str], dataset: Dataset) -> Iterator[Finding]:
    nearest = max(dataset.tables.values(), key=lambda table: len(set(names) & set(table.columns)))
    matched = set(names) & set(nearest.columns)
    tables = " or ".join(dataset.tables)
    if len(matched) * 2 < len(nearest.columns):
        # Too few known names: this row may be data, so none of it is repeated.
        hint = _separator_hint(header) or "Check that it is the right file and that its first row names the columns."
        reason = f"These are not the columns of {tables} of {dataset.name} {dataset.year}. {hint}"
        yield Finding(1, None, "columns", reason)
        return
    for missing in (name for name in nearest.columns if name not in matched):
        yield Finding(1, missing, "columns", f"This column of the table {nearest.name} is missing. Add it.")
    for position, name in enumerate(names, start=1):
        if name not in matched:
            shown = f"'{header[position - 1][:40]}'" if name.isprintable() and name else "without a name"
            reason = f"Column {position}, {shown}, is not one of the table {nearest.name}. Take it out."
            yield Finding(1, None, "columns", reason)
    for name in sorted(matched):
        if names.count(name) > 1:
            yield Finding(1, name, "columns", "This column is there more than once. Keep one of them.")


def _separator_hint(header: list[str]) -> str | None:
    joined = ",".join(header)
    for separator, name in _OTHER_SEPARATORS.items():
        if joined.count(separator) > joined.count(","):
            return f"The cells are separated by {name}, not by commas. {_SAVE_AS}"
    return None


def _filled(records: pl.DataFrame) -> pl.DataFrame:
    has_value = pl.col("cells").list.eval(pl.element().str.strip_chars() != "").list.any()
    return records.filter(has_value)


def _refuse_ragged(rows: pl.DataFrame, width: int) -> None:
    length = pl.col("cells").list.len()
    # A longer row is accepted when all that exceeds is blank: spreadsheets write such cells.
    excess = pl.col("cells").list.slice(width).list.eval(pl.element().str.strip_chars() != "").list.any()
    ragged = rows.filter((length < width) | excess).select(ROW, length.alias("length"))
    if ragged.is_empty():
        return
    raise FileRefusedError(
        [
            Finding(row, None, "cells", f"This row has {cells} cells, the header has {width}. Check its commas.")
            for row, cells in ragged.iter_rows()
        ],
        rows_read=len(rows),
    )


def _columns(rows: pl.DataFrame, names: list[str], table: Table) -> pl.DataFrame:
    cells = (
        pl.col("cells").list.get(index, null_on_oob=True).str.strip_chars().replace("", None).alias(name)
        for index, name in enumerate(names)
    )
    return rows.select(pl.col(ROW), *cells).select(ROW, *table.columns)
