# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that are no data: a header that stands there once more, and what reports and databases write below a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from localgov_pipeline.lib.declarations import Table
from localgov_pipeline.lib.findings import Finding
from localgov_pipeline.lib.reading.shapes import PLACES_NAMED, ROW

_ROWS_BELOW = 5
_FOOTER = re.compile(
    r"(grand |sub-?)?totals?\b.*|\(?\d[\d,]* (rows?|records?)\b.*|(row |record )?count\b[\s:=]*\d*|"
    r"(records|rows)\s*[:=]\s*\d+|\W*end of (report|file|data|export)\b.*|"
    r"(report )?(generated|produced|printed|run) (on|by|at)\b.*",
    re.IGNORECASE,
)


def is_footer(cells: Sequence[str | None]) -> bool:
    first = next((cell.strip() for cell in cells if cell and cell.strip()), "")
    return _FOOTER.fullmatch(first) is not None


def footer_notice(row: int) -> Finding:
    return Finding(
        row, None, "footer", "This row sums up or ends the report and is no row of the table. It was left out."
    )


def trailing_footers(rows: pl.LazyFrame, names: Sequence[str]) -> list[int]:
    """The last rows, as long as each sums up or ends a report."""
    found = []
    for row, *cells in reversed(rows.select(ROW, *names).tail(_ROWS_BELOW).collect().rows()):
        if not is_footer(cells):
            break
        found.append(row)
    return sorted(found)


def is_repeated_header(table: Table) -> pl.Expr:
    return pl.all_horizontal(pl.col(name).str.to_uppercase() == name for name in table.columns).fill_null(False)


def repeated_headers(rows: pl.LazyFrame, table: Table) -> tuple[list[int], int]:
    """The first of them, and how many there are."""
    name = next(iter(table.columns))
    cell = pl.col(name)
    # One column, which is read quickly, decides for nearly every file, and of it mostly the length.
    short = rows.select(cell).filter(cell.str.len_chars() <= len(name))
    if not short.select((cell.str.to_uppercase() == name).any()).collect().item():
        return [], 0
    found = rows.filter(is_repeated_header(table)).select(ROW)
    first, total = pl.collect_all([found.head(PLACES_NAMED), found.select(pl.len())], engine="streaming")
    return first[ROW].to_list(), int(total.item())
