# SPDX-License-Identifier: GPL-3.0-or-later
"""Cell by cell: keep what obeys its rule, blank what does not, and list every blanked cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.csv_file import ROW
from localgov_pipeline.lib.declarations import Table
from localgov_pipeline.lib.findings import FileRefusedError, Finding
from localgov_pipeline.lib.rules import rule_of

ERROR_SCHEMA = pl.Schema({ROW: pl.UInt32, "column": pl.String, "rule": pl.String, "reason": pl.String})


class Cleaned(NamedTuple):
    """`rows` are typed and keep their `row` number; `errors` has ERROR_SCHEMA and no value from the file."""

    rows: pl.DataFrame
    errors: pl.DataFrame
    left_out: int


def clean(parsed: pl.DataFrame, table: Table) -> Cleaned:
    """Leave out the rows whose key cannot be used: nothing could be joined to them."""
    rules = {name: rule_of(name, column) for name, column in table.columns.items()}
    values = parsed.select(ROW, *(rule.clean.alias(name) for name, rule in rules.items()))
    errors = _errors(parsed, values, table)
    usable = values.filter(pl.all_horizontal(pl.col(column).is_not_null() for column in table.key))
    if usable.is_empty():
        raise FileRefusedError([*_why_unusable(parsed, table)], rows_read=len(parsed), table=table.name)
    return Cleaned(usable, errors, left_out=len(values) - len(usable))


def _errors(parsed: pl.DataFrame, values: pl.DataFrame, table: Table) -> pl.DataFrame:
    found = [frame for name in table.columns for frame in _column_errors(parsed, values, table, name)]
    order = pl.col("column").replace_strict({name: index for index, name in enumerate(table.columns)})
    empty = pl.DataFrame(schema=ERROR_SCHEMA)
    return pl.concat([empty, *found]).sort(ROW, order, maintain_order=True)


def _column_errors(parsed: pl.DataFrame, values: pl.DataFrame, table: Table, name: str) -> Iterator[pl.DataFrame]:
    column = table.columns[name]
    rule = rule_of(name, column)
    consequence = " The row was left out." if name in table.key else ""
    blank = parsed[name].is_null()
    if column.mandatory:
        yield _listed(parsed, blank, Finding(None, name, "mandatory", f"Blank. This column is needed.{consequence}"))
    broken = values[name].is_null() & ~blank
    yield _listed(parsed, broken, Finding(None, name, rule.name, f"{rule.reason}{consequence}"))


def _listed(parsed: pl.DataFrame, where: pl.Series, finding: Finding) -> pl.DataFrame:
    same = {"column": finding.column, "rule": finding.rule, "reason": finding.reason}
    return parsed.filter(where).select(ROW, **{name: pl.lit(value) for name, value in same.items()}).cast(ERROR_SCHEMA)


def _why_unusable(parsed: pl.DataFrame, table: Table) -> Iterator[Finding]:
    if parsed.is_empty():
        yield Finding(None, None, "rows", "The file has a header and no rows. Export it again with its rows.")
        return
    for name in table.key:
        reason = rule_of(name, table.columns[name]).reason
        yield Finding(None, name, "rows", f"No row can be used: none has a value here that can be used. {reason}")
