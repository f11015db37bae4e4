# SPDX-License-Identifier: GPL-3.0-or-later
"""A declared column compiled to polars expressions: its clean value, and what to say where there is none.

Nearly all cells of nearly all files are written as they should be. So each rule first recognises those, by the cheapest
means that is exact; what is left over is looked at again by a slower expression, which is run only where there is any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from functools import cache, partial
from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.declarations import LARGEST_NUMBER, LONGEST_NUMBER, Column

DATE_FORMATS = {"DD/MM/YYYY": "%d/%m/%Y", "YYYY-MM-DD": "%Y-%m-%d"}
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2099, 12, 31)
_EPOCH = date(1970, 1, 1)
_LISTED_CODES = 40
# ZZ99 is for the pseudo postcodes of the Office for National Statistics, such as that of no fixed abode.
POSTCODE = (
    r"^(GIR 0AA|ZZ99 [0-9][A-Z]{2}|[A-PR-UWYZ]([0-9]{1,2}|([A-HK-Y][0-9]([0-9]|[ABEHMNPRV-Y])?)|[0-9][A-HJKPS-UW]) "
    r"[0-9][ABD-HJLNP-UW-Z]{2})$"
)
_ALPHANUMERIC = r"^[A-Za-z0-9]+$"
# No spreadsheet may take a cell for a formula; the wide forms of the four signs are formulas to some of them too.
_FREE = r"^[^\p{Cc}=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}][^\p{Cc}]{0,199}$"
_NUMBER = rf"^(-?[0-9]{{1,{LONGEST_NUMBER}}})$"
_CELL = pl.col("cell")


class Rule(NamedTuple):
    """`clean` is null where the text cell `name` is blank or breaks the rule; `reason` says how to mend it."""

    name: str
    clean: pl.Expr
    reason: str


def rule_of(name: str, column: Column) -> Rule:
    return _RULES[column.type](name, column)


def cleaned_type(column: Column) -> pl.DataType:
    if column.type == "code":
        return _codes(tuple(column.codes))
    return {"date": pl.Date(), "integer": pl.Int64(), "text": pl.String()}[column.type]


@cache
def _codes(codes: tuple[str, ...]) -> pl.Enum:
    return pl.Enum(codes)


def _with_second_look(cell: pl.Expr, first: pl.Expr, second: pl.Expr, result: pl.DataType) -> pl.Expr:
    """`first` of the cell; where that is null, `second` of the same cell, by the name `cell`."""
    return pl.map_batches([first, cell], partial(_look, second, result), return_dtype=result, is_elementwise=True)


def _look(second: pl.Expr, result: pl.DataType, given: Sequence[pl.Series]) -> pl.Series:
    """Each different text once: what is left over is few cells, or the same few mistakes all over the column."""
    first, cells = given
    if first.null_count() == cells.null_count():
        return first
    places = (first.is_null() & cells.is_not_null()).arg_true()
    left_over = cells.gather(places)
    texts = left_over.unique()
    values = texts.alias("cell").to_frame().select(second).to_series()
    return first.scatter(places, left_over.replace_strict(texts, values, default=None, return_dtype=result))


@cache
def _calendar(date_format: str) -> pl.Enum:
    """Every day there is, as it is written: looking a cell up is both exact and quicker than reading it."""
    return pl.Enum(pl.date_range(FIRST_DAY, LAST_DAY, eager=True).dt.to_string(DATE_FORMATS[date_format]))


def _date(name: str, column: Column) -> Rule:
    return Rule("date", _day(name, column.date_format), f"Not a date. Write it as {column.date_format}.")


@cache
def _day(name: str, date_format: str) -> pl.Expr:
    """Kept, for to hand over a calendar takes a millisecond each time."""
    number = pl.col(name).cast(_calendar(date_format), strict=False).to_physical().cast(pl.Int32)
    return (number + (FIRST_DAY - _EPOCH).days).cast(pl.Date)


@cache
def written_day(name: str, date_format: str) -> pl.Expr:
    """A cleaned date as it is written; looked up, too."""
    return day_number(name).cat.to(_calendar(date_format))


def day_number(name: str) -> pl.Expr:
    """The days of a cleaned date since FIRST_DAY."""
    return (pl.col(name).cast(pl.Int32) - (FIRST_DAY - _EPOCH).days).cast(pl.UInt32)


def _without_decimals(cell: pl.Expr) -> pl.Expr:
    """Spreadsheets and data tools write the code 1 as `1.0` when the column has blanks."""
    return cell.str.replace(r"^([0-9]+)\.0+$", "$1")


def _code(name: str, column: Column) -> Rule:
    cell = pl.col(name)
    known = _codes(tuple(column.codes))
    words = {label.upper(): code for code in column.codes for label in column.labels(code)}
    codes = {code.upper(): code for code in column.codes}
    written = _without_decimals(_CELL.str.to_uppercase())
    second = written.replace_strict({**words, **codes}, default=None, return_dtype=pl.String).cast(known)
    clean = _with_second_look(cell, cell.cast(known, strict=False), second, known)
    return Rule("code", clean, f"Not a code of this column. Use {_choice(column)}.")


def of_another_year(cell: pl.Expr, column: Column) -> pl.Expr:
    """Whether a cell that holds no code of the year holds one of another."""
    return _without_decimals(cell.str.to_uppercase()).is_in(sorted(code.upper() for code in column.other_codes))


def _choice(column: Column) -> str:
    options = [
        f"{code} ({labels[0]})" if (labels := column.labels(code)) and len(column.codes) <= 4 else code
        for code in column.codes
    ]
    if len(options) > _LISTED_CODES:
        return "one that the guidance lists"
    return " or ".join(options) if len(options) <= 4 else f"one of {', '.join(options)}"


def _integer(name: str, column: Column) -> Rule:
    cell = pl.col(name)
    low = column.minimum if column.minimum is not None else -LARGEST_NUMBER
    high = column.maximum if column.maximum is not None else LARGEST_NUMBER

    def number(text: pl.Expr) -> pl.Expr:
        digits = text.str.extract(_NUMBER).cast(pl.Int64, strict=False)
        return pl.when(digits.is_between(low, high)).then(digits)

    clean = _with_second_look(cell, number(cell), number(_without_decimals(_CELL)), pl.Int64())
    return Rule("integer", clean, f"Not a whole number{_bounds(column)}. Write digits only.")


def _bounds(column: Column) -> str:
    if column.minimum is not None and column.maximum is not None:
        return f" from {column.minimum} to {column.maximum}"
    if column.minimum is not None:
        return f" of {column.minimum} or more"
    if column.maximum is not None:
        return f" up to {column.maximum}"
    return f" of at most {LONGEST_NUMBER} digits"


def _text(name: str, column: Column) -> Rule:
    cell = pl.col(name)
    if column.pattern == "postcode":
        compact = _CELL.str.to_uppercase().str.replace_all("[ \t\u00a0]+", "")
        spaced = compact.str.replace(r"^(.+)(.{3})$", "$1 $2")
        second = pl.when(spaced.str.contains(POSTCODE)).then(spaced)
        clean = _with_second_look(cell, _matching(cell, POSTCODE), second, pl.String())
        return Rule("postcode", clean, "Not a full UK postcode. Write it like SW1A 2AA.")
    if column.pattern == "free":
        reason = "Write one line of at most 200 characters that does not begin with =, +, - or @."
        return Rule("text", _matching(cell, _FREE), reason)
    return Rule("text", _matching(cell, _ALPHANUMERIC), "Write letters and digits only, without spaces.")


def _matching(cell: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(cell.str.contains(pattern)).then(cell)


_RULES: dict[str, Callable[[str, Column], Rule]] = {
    "date": _date,
    "code": _code,
    "integer": _integer,
    "text": _text,
}
