# SPDX-License-Identifier: GPL-3.0-or-later
"""Cell by cell: keep what obeys its rule, blank what does not, and list every blanked cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.categories import described_as_text
from localgov_pipeline.lib.declarations import Column, Table
from localgov_pipeline.lib.findings import FileRefusedError, Finding
from localgov_pipeline.lib.rules import Rule, cleaned_type, of_another_year, rule_of

ROW = "row"
ERROR_SCHEMA = pl.Schema({ROW: pl.UInt32, "column": pl.String, "rule": pl.String, "reason": pl.String})
_OF_ANOTHER_YEAR = "A code of another year's return. "
_KINDS = 3
_BLANK, _BROKEN, _ANOTHER_YEAR = range(_KINDS)


class Cleaned(NamedTuple):
    """`rows` are typed and keep their `row` number, without those whose key cannot be used: nothing could be joined to
    them. `errors` has ERROR_SCHEMA, but for categories in place of text, and no value from the file; it is in the order
    of the file."""

    rows: pl.LazyFrame
    errors: pl.LazyFrame


def clean(rows: pl.LazyFrame, table: Table) -> Cleaned:
    """`rows` has `row` and every column of the table as text, blank is null."""
    rules = {name: rule_of(name, column) for name, column in table.columns.items()}
    judged = rows.select(
        ROW,
        *(rule.clean.alias(name) for name, rule in rules.items()),
        *(pl.col(name).alias(_written(name)) for name in rules),
    )
    usable = judged.filter(pl.all_horizontal(pl.col(column).is_not_null() for column in table.key))
    return Cleaned(usable.select(ROW, *rules), _errors(judged, rules, table))


def without_key(rows: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """The rows that are left out. They are looked for among what was read: of XML many rows have the same number, so
    the numbers that errors name do not tell how many rows they are about."""
    return rows.filter(pl.any_horizontal(rule_of(name, table.columns[name]).clean.is_null() for name in table.key))


def sink(cleaned: Cleaned, rows: Path, errors: Path) -> None:
    """Both as parquet, in one pass over what is read and without holding it in memory. Of the rows the next stages read
    all: they are written quickly, without what helps to find some."""
    sinks = [
        cleaned.rows.sink_parquet(rows, compression="lz4", statistics=False, lazy=True),
        cleaned.errors.sink_parquet(errors, metadata=described_as_text(cleaned.errors.collect_schema()), lazy=True),
    ]
    pl.collect_all(sinks, engine="streaming")


class Counts(NamedTuple):
    written: int
    left_out: int
    errors: int


def counted(read: pl.LazyFrame, table: Table, rows: Path, errors: Path) -> Counts:
    """Of what was read, and of what was written of it: they have to add up."""
    counts = [
        pl.scan_parquet(rows).select(pl.len()),
        without_key(read, table).select(pl.len()),
        pl.scan_parquet(errors).select(pl.len()),
    ]
    return Counts(*(count.item() for count in pl.collect_all(counts, engine="streaming")))


def cleaned_schema(table: Table) -> pl.Schema:
    return pl.Schema({ROW: pl.UInt32(), **{name: cleaned_type(column) for name, column in table.columns.items()}})


def _written(name: str) -> str:
    return f"{name} as written"


def _errors(judged: pl.LazyFrame, rules: dict[str, Rule], table: Table) -> pl.LazyFrame:
    """Faults as numbers, one list to a row, of only those rows that have any: they are few."""
    faulty = pl.any_horizontal(_is_faulty(name, column) for name, column in table.columns.items())
    faults = [_fault(index, name, table.columns[name]) for index, name in enumerate(table.columns)]
    said = [
        finding for name, column in table.columns.items() for finding in _findings(name, column, rules[name], table)
    ]
    columns = {
        field: _said([str(finding[place]) for finding in said]).alias(field)
        for place, field in enumerate(Finding._fields)
        if field != ROW
    }
    listed = judged.filter(faulty).select(ROW, pl.concat_list(faults).alias("fault")).explode("fault")
    return listed.filter(pl.col("fault").is_not_null()).select(ROW, **columns)


def _said(texts: Sequence[str]) -> pl.Expr:
    """What is said of a fault, by its number, as a category: texts would take most of the time and memory where most
    cells are wrong."""
    said = pl.Series(texts, dtype=pl.Enum([*dict.fromkeys(texts)]))
    return pl.col("fault").map_batches(said.gather, return_dtype=said.dtype, is_elementwise=True)


def _is_faulty(name: str, column: Column) -> pl.Expr:
    no_value = pl.col(name).is_null()
    return no_value if column.mandatory else no_value & pl.col(_written(name)).is_not_null()


def _fault(index: int, name: str, column: Column) -> pl.Expr:
    """The number of what is said about the cell; null where there is nothing to say."""
    written = pl.col(_written(name))
    number = [pl.lit(index * _KINDS + kind, dtype=pl.UInt16) for kind in range(_KINDS)]
    broken = number[_BROKEN]
    if column.other_codes:
        broken = pl.when(of_another_year(written, column)).then(number[_ANOTHER_YEAR]).otherwise(broken)
    found: pl.Expr = pl.when(written.is_not_null()).then(broken)
    if column.mandatory:
        found = pl.when(written.is_not_null()).then(broken).otherwise(number[_BLANK])
    return pl.when(pl.col(name).is_null()).then(found)


def _findings(name: str, column: Column, rule: Rule, table: Table) -> Iterator[Finding]:
    """What can be said about a cell of the column, in the order of the kinds."""
    consequence = " The row was left out." if name in table.key else ""
    yield Finding(None, name, "mandatory", f"Blank. This column is needed.{consequence}")
    yield Finding(None, name, rule.name, f"{rule.reason}{consequence}")
    use = rule.reason.removeprefix("Not a code of this column. ")
    yield Finding(None, name, "code_of_another_year", f"{_OF_ANOTHER_YEAR}{use}{consequence}")


def refuse_without_rows(read: int, written: int, table: Table) -> None:
    """A file of which no row can be used is no return: say why, by what was read of it and what was kept."""
    if written:
        return
    raise FileRefusedError([*_why_unusable(read, table)], rows_read=read, table=table.name)


def _why_unusable(read: int, table: Table) -> Iterator[Finding]:
    if not read:
        yield Finding(None, None, "rows", "The file has a header and no rows. Export it again with its rows.")
        return
    for name in table.key:
        reason = rule_of(name, table.columns[name]).reason
        yield Finding(None, name, "rows", f"No row can be used: none has a value here that can be used. {reason}")
