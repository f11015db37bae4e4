# SPDX-License-Identifier: GPL-3.0-or-later
"""The regional tables over all years: one file for each year in a folder of the table, all of the same columns.

Whatever reads a folder of parquet (polars, DuckDB, Athena, Spark) reads them as one table. A correction of one year
writes one file: in one file for all years, each correction of any would read and write the rows of all.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache

from localgov_pipeline.lib.declarations import Column, UnknownDatasetError, declared, declared_years
from localgov_pipeline.lib.manifests import ManifestName
from localgov_pipeline.lib.regional import REGIONAL_PREFIX

YEAR = "year"


def year_key(group: ManifestName, table: str) -> str:
    return f"{REGIONAL_PREFIX}{group.dataset}/{group.profile}/all_years/{table}/{group.year}.parquet"


@cache
def columns_of_all_years(dataset: str, profile: str, table: str) -> dict[str, str]:
    """Each column that is shared in some year with what it holds: `text`, `date` or `integer`, and text where years
    differ. In the order of the last year, and then of those before it."""
    found: dict[str, str] = {}
    for year in reversed(declared_years(dataset)):
        of_year = declared(dataset, year).tables.get(table)
        if of_year is None:
            continue
        for name in of_year.shareable(profile):
            held = _held(of_year.columns[name], profile)
            found[name] = held if found.get(name, held) == held else "text"
    return found


def _held(column: Column, profile: str) -> str:
    """As `sharing` writes it."""
    match (column.share[profile], column.type):
        case ("unchanged", "date"):
            return "date"
        case ("unchanged", "integer") | ("year", "date"):
            return "integer"
    return "text"


@cache
def shape(dataset: str, profile: str) -> str:
    """Changes when a file of some year would be written with other columns: then all of them are to be written anew."""
    try:
        tables = sorted({table for year in declared_years(dataset) for table in declared(dataset, year).tables})
    except UnknownDatasetError:
        return ""
    columns = {table: [*columns_of_all_years(dataset, profile, table).items()] for table in tables}
    return hashlib.sha256(json.dumps(columns).encode()).hexdigest()[:16]
