# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves the local authority: only declared columns, each in its declared form. In doubt nothing comes out."""

from __future__ import annotations

from functools import cache

import polars as pl

from localgov_pipeline.lib.declarations import Column, Table
from localgov_pipeline.lib.pseudonyms import Keys, Pseudonymiser
from localgov_pipeline.lib.rules import FIRST_DAY, LAST_DAY, POSTCODE, cleaned_type

SMALL = 5


class SharingError(Exception):
    """Nothing may be shared. The message has no value of the file."""


def shared_table(rows: pl.LazyFrame, table: Table, profile: str, keys: Keys) -> pl.LazyFrame:
    """Of cleaned rows, in their order. Dates are in ISO 8601, or their month or year; codes are text, so that tables of
    years with different codes go together."""
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
            return number.cast(pl.UInt32).cat.to(_months()).cast(pl.String)
        case ("year", "date"):
            return cell.dt.year()
        case ("unchanged", "code"):
            return cell.cast(pl.String)
        case ("unchanged", "date" | "integer"):
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
    counts = [rows.select(pl.len()), *(rows.group_by(name).len().drop_nulls() for name in codes)]
    (total, *of_codes) = pl.collect_all(counts, engine="streaming")
    found = [f"{table.name}: fewer than {SMALL} rows in all."] if 0 < total.item() < SMALL else []
    for name, count in zip(codes, of_codes, strict=True):
        few = count.filter(pl.col("len") < SMALL).height
        if few:
            which = "one code stands" if few == 1 else f"{few} codes stand"
            found.append(f"{table.name}, {name}: {which} in fewer than {SMALL} rows. Publish no count below {SMALL}.")
    return found
