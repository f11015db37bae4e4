# SPDX-License-Identifier: GPL-3.0-or-later
"""A declared column compiled to polars expressions: its clean value, and what to say where there is none."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.declarations import Column

DATE_FORMAT = "%d/%m/%Y"
_DATE = r"^\d{2}/\d{2}/(19|20)\d{2}$"
_LISTED_CODES = 40
_PATTERNS = {
    "alphanumeric": (r"^[A-Za-z0-9]+$", "Write letters and digits only, without spaces."),
    # ZZ99 is for the pseudo postcodes of the Office for National Statistics, such as that of no fixed abode.
    "postcode": (
        r"^(GIR 0AA|ZZ99 [0-9][A-Z]{2}|[A-PR-UWYZ]([0-9]{1,2}|([A-HK-Y][0-9]([0-9]|[ABEHMNPRV-Y])?)|[0-9][A-HJKPS-UW]) "
        r"[0-9][ABD-HJLNP-UW-Z]{2})$",
        "Not a full UK postcode. Write it like SW1A 2AA.",
    ),
}


class Rule(NamedTuple):
    """`clean` is null where the text cell `name` is blank or breaks the rule; `reason` says how to mend it."""

    name: str
    clean: pl.Expr
    reason: str


def rule_of(name: str, column: Column) -> Rule:
    cell = pl.col(name)
    if column.type == "date":
        clean = pl.when(cell.str.contains(_DATE)).then(cell).str.to_date(DATE_FORMAT, strict=False)
        return Rule("date", clean, "Not a date. Write it as DD/MM/YYYY.")
    if column.type == "code":
        return Rule("code", _code(cell, column), f"Not a code of this column. Use {_choice(column)}.")
    if column.type == "integer":
        return Rule("integer", _integer(cell, column), f"Not a whole number{_bounds(column)}. Write digits only.")
    return _text(cell, column)


def _without_decimals(cell: pl.Expr) -> pl.Expr:
    """Spreadsheets and data tools write the code 1 as `1.0` when the column has blanks."""
    return cell.str.replace(r"^(\d+)\.0+$", "$1")


def _code(cell: pl.Expr, column: Column) -> pl.Expr:
    words = {label.upper(): code for code in column.codes for label in column.labels(code)}
    codes = {code.upper(): code for code in column.codes}
    return _without_decimals(cell.str.to_uppercase()).replace_strict({**words, **codes}, default=None)


def _choice(column: Column) -> str:
    options = [
        f"{code} ({labels[0]})" if (labels := column.labels(code)) and len(column.codes) <= 4 else code
        for code in column.codes
    ]
    if len(options) > _LISTED_CODES:
        return "one that the guidance lists"
    return " or ".join(options) if len(options) <= 4 else f"one of {', '.join(options)}"


def _integer(cell: pl.Expr, column: Column) -> pl.Expr:
    number = _without_decimals(cell).str.extract(r"^(-?\d{1,9})$").cast(pl.Int64, strict=False)
    low = column.minimum if column.minimum is not None else -(10**9)
    high = column.maximum if column.maximum is not None else 10**9
    return pl.when(number.is_between(low, high)).then(number)


def _bounds(column: Column) -> str:
    if column.minimum is not None and column.maximum is not None:
        return f" from {column.minimum} to {column.maximum}"
    if column.minimum is not None:
        return f" of {column.minimum} or more"
    return f" up to {column.maximum}" if column.maximum is not None else ""


def _text(cell: pl.Expr, column: Column) -> Rule:
    pattern, reason = _PATTERNS[column.pattern or "alphanumeric"]
    if column.pattern == "postcode":
        compact = cell.str.to_uppercase().str.replace_all(r"\s+", "")
        spaced = compact.str.replace(r"^(.+)(.{3})$", "$1 $2")
        return Rule("postcode", pl.when(spaced.str.contains(pattern)).then(spaced), reason)
    return Rule("text", pl.when(cell.str.contains(pattern)).then(cell), reason)
