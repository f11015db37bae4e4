# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that a look at one cell cannot make: between rows, between tables, and with the year before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Literal, NamedTuple

import polars as pl

from localgov_pipeline.lib.cleaning import ERROR_SCHEMA, ROW
from localgov_pipeline.lib.declarations import Check, Column, Dataset
from localgov_pipeline.lib.rules import day_number

FINDING_SCHEMA = pl.Schema({**ERROR_SCHEMA, "table": pl.String()})
# Of one check; the counts are of all.
FINDINGS_LISTED = 10_000
# Fewer codes may be slips. Of dates, fewer may be chance: in a small file few episodes end.
_CODES_OF_ANOTHER_YEAR = 3
_DATES_OF_AN_EARLIER_YEAR = 10
_NOT_ENDED = date(9999, 12, 31)
_MARK = "mark"
# A power of two that is above every number of a day.
_DAYS = 1 << 17


class CheckOutcome(NamedTuple):
    """`findings` has FINDING_SCHEMA, the first FINDINGS_LISTED of them; `counts` has `findings`, the number of all.
    One that is not `made` has a single finding, which says what there has to be first."""

    name: str
    severity: Literal["error", "warning"]
    passed: bool
    findings: pl.DataFrame
    counts: dict[str, int]
    made: bool = True


class _Given(NamedTuple):
    tables: Mapping[str, pl.LazyFrame]
    errors: Mapping[str, pl.LazyFrame]
    about: frozenset[str]
    sent_as: Mapping[str, str]
    previous: Mapping[str, int]
    dataset: Dataset


def check(
    tables: Mapping[str, pl.LazyFrame],
    dataset: Dataset,
    previous_year_rows: Mapping[str, int] | None,
    thresholds: Mapping[str, float],
    *,
    about: Collection[str] | None = None,
    sent_as: Mapping[str, str] | None = None,
    errors: Mapping[str, pl.LazyFrame] | None = None,
) -> list[CheckOutcome]:
    """Each declared check that is about the submission. Between two tables it is about the submission of either, and
    where the other table is not there, its outcome says so; any other check for which something is missing has none.

    `tables`: cleaned, with `row`; those of the submission and, to compare with, others of the same dataset and year.
    `about`: tables of the submission (all, if not given). `sent_as`: the others that are current, each with its
    submission; of those that are not in `tables` nothing is kept any more. `errors`: of the cleaning, by table,
    without which codes are not checked. `thresholds` go before the declared ones; those of checks that the year does
    not have are left aside.
    """
    named = frozenset(tables if about is None else about)
    given = _Given(tables, errors or {}, named, sent_as or {}, previous_year_rows or {}, dataset)
    outcomes: list[CheckOutcome] = []
    for name, declared in dataset.checks.items():
        threshold = thresholds.get(name, declared.threshold)
        outcomes += (
            _of_rows(name, declared, threshold, given)
            if declared.table
            else _of_tables(name, declared, threshold, given)
        )
    return outcomes


def _of_rows(name: str, declared: Check, threshold: float, given: _Given) -> Iterator[CheckOutcome]:
    """A check that finds rows of one table. What two submissions hold stops neither: which of them is wrong, and which
    comes first, is not known."""
    table = str(declared.table)
    compared = {table, declared.to} - {None}
    if not compared & given.about or table not in {*given.tables, *given.sent_as}:
        return
    if absent := compared - set(given.tables):
        yield _not_made(name, table, str(absent.pop()), given)
        return
    severity = declared.severity if compared <= given.about else "warning"
    faulty, column, reason = _faulty(declared, given.tables, given.dataset.called)
    if table not in given.about:
        reason = f"In the file that was sent before{_as_what(table, given)}: {reason}"
    checked, found = pl.collect_all([given.tables[table].select(pl.len()), faulty], engine="streaming")
    rows = found[ROW].sort()
    said = {"column": column, "rule": name, "reason": reason, "table": table}
    findings = rows.head(FINDINGS_LISTED).to_frame().with_columns(**{key: pl.lit(value) for key, value in said.items()})
    passed = len(rows) <= threshold * checked.item()
    counts = {"rows": checked.item(), "findings": len(rows)}
    yield CheckOutcome(name, severity, passed, findings.cast(FINDING_SCHEMA), counts)


def _as_what(table: str, given: _Given) -> str:
    return f" as {given.sent_as[table]}" if table in given.sent_as else ""


def _not_made(name: str, table: str, absent: str, given: _Given) -> CheckOutcome:
    reason = (
        f"Not checked yet: no table {absent} of {given.dataset.year} has been accepted. Upload it, and its report says "
        "what does not fit."
    )
    if absent in given.sent_as:
        reason = (
            f"Not checked: of the table {absent}, sent{_as_what(absent, given)}, nothing is kept any more to compare "
            "with. To have the tables compared, upload them in one workbook."
        )
    own = table if table in given.about else given.dataset.checks[name].to
    findings = pl.DataFrame([(None, None, name, reason, own)], schema=FINDING_SCHEMA, orient="row")
    return CheckOutcome(name, "warning", False, findings, {"findings": 1}, made=False)


def _faulty(declared: Check, tables: Mapping[str, pl.LazyFrame], record: str | None) -> tuple[pl.LazyFrame, str, str]:
    """The numbers of the rows at fault, the column to name, and what is said of them. `record`: what a person calls
    one of those that rows are made of, where a number is not that of a row but that of a record."""
    rows, columns = tables[str(declared.table)], list(declared.columns)
    named = ", ".join(columns)
    if declared.check == "unique" and record:
        reason = f"An earlier {record} has the same {named}. Put both into one, or mend {named}."
        return _repeated(rows.select(ROW, *columns).unique(), columns), columns[0], reason
    if declared.check == "unique":
        return _repeated(rows, columns), columns[0], f"The same {named} stands in an earlier row. Keep one of the rows."
    if declared.check == "refers":
        missing = rows.join(tables[str(declared.to)], on=columns, how="anti").select(ROW)
        return (
            missing,
            columns[0],
            f"There is no row with this {named} in the table {declared.to}. Add it, or mend {named}.",
        )
    start, end = str(declared.start), str(declared.end)
    if declared.check == "order":
        wrong = rows.filter(pl.col(end) < pl.col(start)).select(ROW)
        return wrong, end, f"{end} is before {start}. Mend the one that is wrong."
    reason = f"{start} is before {end} of an earlier row of the same {named}, or that one has no {end}. Mend the dates."
    return _overlapping(rows, columns, start, end), start, reason


def _suspects(rows: pl.LazyFrame, columns: list[str]) -> pl.LazyFrame:
    """Rows with a number in place of the columns: light to sort and group. Two keys may, if hardly ever, have the same
    number, so that what is found by it has to be looked at by the columns."""
    whole = rows.filter(pl.all_horizontal(pl.col(column).is_not_null() for column in columns))
    value = pl.struct(columns) if len(columns) > 1 else pl.col(columns[0])
    return whole.with_columns((value.hash() // _DAYS).alias(_MARK))


def _repeated(rows: pl.LazyFrame, columns: list[str]) -> pl.LazyFrame:
    marked = _suspects(rows, columns).select(ROW, *columns, _MARK)
    twice = marked.group_by(_MARK).len().filter(pl.col("len") > 1)
    suspect = marked.join(twice, on=_MARK, how="semi")
    return suspect.filter(pl.col(ROW) > pl.col(ROW).min().over(columns)).select(ROW)


def _overlapping(rows: pl.LazyFrame, columns: list[str], start: str, end: str) -> pl.LazyFrame:
    """Whoever has an overlap has one between two that follow each other by their start; all of theirs are looked at.

    To sort by one number, of mark and start, takes half the time of sorting by both.
    """
    marked = _suspects(rows.filter(pl.col(start).is_not_null()), columns)
    begins, ends = day_number(start).cast(pl.UInt64), day_number(end).cast(pl.UInt64).fill_null(_DAYS)
    ordered = marked.select((pl.col(_MARK) * _DAYS + begins).alias(_MARK), ends.alias(end)).sort(_MARK)
    mark, begin = pl.col(_MARK) // _DAYS, pl.col(_MARK) % _DAYS
    overlaps = (mark == mark.shift(1)) & (pl.col(end).shift(1) > begin)
    suspects = ordered.filter(overlaps).select(mark).unique()
    until = pl.col(end).fill_null(_NOT_ENDED)
    theirs = marked.join(suspects, on=_MARK, how="semi").select(ROW, *columns, start, until.alias(end)).sort(start, ROW)
    latest_end = pl.col(end).cum_max().shift(1).over(columns)
    return theirs.filter(latest_end > pl.col(start)).select(ROW)


def _of_tables(name: str, declared: Check, threshold: float, given: _Given) -> Iterator[CheckOutcome]:
    """A check of each table of the submission as a whole."""
    looked_at = 0
    found: list[tuple[None, str | None, str, str, str]] = []
    for table in sorted(given.about & set(given.tables)):
        compared = _compared(declared, threshold, table, given)
        if compared is None:
            continue
        looked_at += 1
        found += [(None, column, name, reason, table) for column, reason in compared]
    if looked_at:
        findings = pl.DataFrame(found, schema=FINDING_SCHEMA, orient="row")
        yield CheckOutcome(name, declared.severity, not found, findings, {"tables": looked_at, "findings": len(found)})


def _compared(declared: Check, threshold: float, table: str, given: _Given) -> list[tuple[str | None, str]] | None:
    """Columns (or none) at fault and what is said of them; None where there is nothing to compare with."""
    rows = given.tables[table]
    if declared.check == "row_count_change":
        before = given.previous.get(table)
        return None if not before else _changed(rows, before, threshold)
    if declared.check == "unknown_codes":
        errors = given.errors.get(table)
        return None if errors is None else _unknown(rows, errors, threshold, given.dataset.year)
    if declared.check == "another_year":
        return _of_another_year(rows, given.errors.get(table), threshold, table, given.dataset)
    columns, key = given.dataset.tables[table].columns, given.dataset.tables[table].key
    # Rows without their key are no longer there.
    needed = [name for name, column in columns.items() if column.mandatory and name not in key]
    return _unfilled(rows, needed, threshold)


def _count(rows: pl.LazyFrame) -> int:
    return int(rows.select(pl.len()).collect(engine="streaming").item())


def _changed(rows: pl.LazyFrame, before: int, threshold: float) -> list[tuple[str | None, str]]:
    now = _count(rows)
    if abs(now - before) <= threshold * before:
        return []
    reason = f"{now} rows, and {before} in the year before. Check that the file is whole and of the right year."
    return [(None, reason)]


def _unknown(rows: pl.LazyFrame, errors: pl.LazyFrame, threshold: float, year: int) -> list[tuple[str | None, str]]:
    another = pl.col("rule") == "code_of_another_year"
    of_codes = errors.filter((pl.col("rule") == "code") | another)
    counted = of_codes.group_by("column").agg(pl.len(), another.sum().alias("another")).sort("column")
    total = max(1, _count(rows))
    found: list[tuple[str | None, str]] = []
    for column, cells, of_another_year in counted.collect(engine="streaming").iter_rows():
        if cells > threshold * total:
            hint = " Check that the right year was chosen." if of_another_year else ""
            reason = f"{cells} cells hold no code of {year}; {of_another_year} of them hold one of another year.{hint}"
            found.append((column, reason))
    return found


def _of_another_year(
    rows: pl.LazyFrame, errors: pl.LazyFrame | None, threshold: float, table: str, dataset: Dataset
) -> list[tuple[str | None, str]]:
    """Columns of which nearly all cells are of another year. One is enough: most say nothing about the year.

    Dates count that lie in an earlier year only: a return that is made late holds what has happened since its year.
    """

    def advice(name: str, years: str) -> str:
        return f"The file seems to be of {years}. Upload it for its own year; if it is of {dataset.year}, mend {name}."

    columns = dataset.tables[table].columns
    found: list[tuple[str | None, str]] = []
    for name, (cells, filled) in _cells_with_other_codes(rows, errors, columns).items():
        if cells >= _CODES_OF_ANOTHER_YEAR and cells > threshold * filled:
            years = _spans({year for known in columns[name].other_codes.values() for year in known})
            said = f"{cells} of {filled} cells hold codes of {years}, which {dataset.year} does not have."
            found.append((name, f"{said} {advice(name, years)}"))
    for name in [name for name, column in columns.items() if column.within_year]:
        year, cells, filled = _most_frequent_year(rows, name, dataset.year_ends)
        is_earlier = year is not None and year < dataset.year
        if is_earlier and cells >= _DATES_OF_AN_EARLIER_YEAR and cells > threshold * filled:
            found.append((name, f"{cells} of {filled} dates lie in the year {year}. {advice(name, str(year))}"))
    return found


def _cells_with_other_codes(
    rows: pl.LazyFrame, errors: pl.LazyFrame | None, columns: Mapping[str, Column]
) -> dict[str, tuple[int, int]]:
    """Column to how many of its cells hold a code of another year, and how many hold anything."""
    coded = [name for name, column in columns.items() if column.other_codes]
    if errors is None or not coded:
        return {}
    is_filled = pl.col("rule") != "mandatory"
    another = (pl.col("rule") == "code_of_another_year").sum()
    of_columns = errors.filter(pl.col("column").is_in(coded)).group_by("column")
    counted = of_columns.agg(another.alias("another"), is_filled.sum().alias("filled"))
    kept, wrong = pl.collect_all([rows.select(pl.col(coded).count()), counted], engine="streaming")
    return {name: (cells, filled + kept[name].item()) for name, cells, filled in wrong.sort("column").iter_rows()}


def _most_frequent_year(rows: pl.LazyFrame, column: str, year_ends: str) -> tuple[int | None, int, int]:
    """The year of a return, how many dates lie in it, and how many dates there are."""
    month, day = (int(part) for part in year_ends.split("-"))
    date_of = pl.col(column).dt
    is_later = date_of.month().cast(pl.Int32) * 100 + date_of.day() > month * 100 + day
    years = rows.select(date_of.year() + is_later.cast(pl.Int32)).drop_nulls()
    counted = years.group_by(column).len().sort("len", column).collect(engine="streaming")
    return (*counted.row(-1), int(counted["len"].sum())) if len(counted) else (None, 0, 0)


def _spans(years: Collection[int]) -> str:
    """`2017 to 2024 or 2026`."""
    firsts = [year for year in sorted(years) if year - 1 not in years]
    lasts = [year for year in sorted(years) if year + 1 not in years]
    spans = (f"{first} to {last}" if first < last else str(first) for first, last in zip(firsts, lasts, strict=True))
    return " or ".join(spans)


def _unfilled(rows: pl.LazyFrame, needed: list[str], threshold: float) -> list[tuple[str | None, str]]:
    counted = rows.select(pl.len().alias(ROW), pl.col(needed).null_count()).collect(engine="streaming")
    total = counted[ROW].item()
    return [
        (name, f"{missing} of {total} rows have nothing here that can be used.")
        for name in needed
        if (missing := counted[name].item()) > threshold * total
    ]
