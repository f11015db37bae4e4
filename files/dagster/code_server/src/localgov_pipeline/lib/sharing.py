# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves the local authority: only declared columns, each in its declared form. In doubt nothing comes out."""

from __future__ import annotations

from functools import cache

import polars as pl

from localgov_pipeline.lib.cleaning import ROW
from localgov_pipeline.lib.declarations import Column, Table
from localgov_pipeline.lib.pseudonyms import Keys, Pseudonymiser
from localgov_pipeline.lib.rules import FIRST_DAY, LAST_DAY, POSTCODE, cleaned_type

SMALL = 5


class SharingError(Exception):
    """Nothing may be shared. The message has no value of the file."""


def shared_table(rows: pl.LazyFrame, table: Table, profile: str, keys: Keys) -> pl.LazyFrame:
    """Of cleaned rows, in their order. Dates are whole, or their month or year; codes and months are categories."""
    if profile not in table.profiles:
        raise SharingError(
            f"table {table.name}: the profile {profile} is not declared. Declared: {', '.join(table.profiles)}."
        )
    names = table.shareable(profile)
    if not names:
        raise SharingError(f"table {table.name}: the profile {profile} shares nothing of it.")
    schema = rows.collect_schema()
    for name in names:
        if schema.get(name) != cleaned_type(table.columns[name]):
            raise SharingError(f"table {table.name}, column {name}: it is missing or has not been cleaned by its rule.")
    key = keys.of(table.profiles[profile].linked)
    return rows.select(_degraded(name, table.columns[name], profile, key).alias(name) for name in names)


def _degraded(name: str, column: Column, profile: str, key: bytes) -> pl.Expr:
    """Each form asks again for the type that it is for: a form that does not fit stops everything."""
    cell = pl.col(name)
    match (column.share[profile], column.type):
        case ("pseudonym", "text") if column.entity:
            return cell.map_batches(Pseudonymiser(key, column.entity), return_dtype=pl.String, is_elementwise=True)
        case ("sector", "text") if column.pattern == "postcode":
            return pl.when(cell.str.contains(POSTCODE)).then(cell.str.head(-2))
        case ("month", "date"):
            number = (cell.dt.year() - FIRST_DAY.year) * 12 + cell.dt.month() - 1
            return number.cast(pl.UInt32).cat.to(_months())
        case ("year", "date"):
            return cell.dt.year()
        case ("unchanged", "code" | "date" | "integer"):
            return cell
    raise SharingError(f"column {name}: there is no way to share it as {column.share[profile]}.")


@cache
def _months() -> pl.Enum:
    """Looking a month up is several times quicker than writing it."""
    years = range(FIRST_DAY.year, LAST_DAY.year + 1)
    return pl.Enum([f"{year}-{month:02}" for year in years for month in range(1, 13)])


def notes(rows: pl.LazyFrame, table: Table, profile: str) -> list[str]:
    """Where what is shared is about so few that counts of it could point at one person. For those who publish."""
    codes = [name for name in table.shareable(profile) if table.columns[name].type == "code"]
    few = [(pl.col(name).drop_nulls().value_counts().struct.field("count") < SMALL).sum() for name in codes]
    # Codes take a byte each, so that in memory they are counted fastest.
    counts = rows.select(pl.len().alias(ROW), **dict(zip(codes, few, strict=True))).collect(engine="in-memory")
    total, *of_codes = counts.row(0)
    found = [f"{table.name}: fewer than {SMALL} rows in all."] if 0 < total < SMALL else []
    for name, number in zip(codes, of_codes, strict=True):
        if number:
            which = "one code stands" if number == 1 else f"{number} codes stand"
            found.append(f"{table.name}, {name}: {which} in fewer than {SMALL} rows. Publish no count below {SMALL}.")
    return found
