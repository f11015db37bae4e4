# SPDX-License-Identifier: GPL-3.0-or-later
"""The year's part of the tables over all years."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from pathlib import Path

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.organisation.run import WantedGroup
from localgov_pipeline.defs.organisation.stage3_regional_tables import Combined
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import PARQUET, Storage
from localgov_pipeline.lib import all_years, regional


@dg.asset(
    kinds={"s3", "parquet", "polars"},
    description="All years in one table: a folder of parquet files of the same columns, one for each year, of which "
    "only that of the year is written. `local_authority`, `year` and `submission` in front trace each row to its "
    "upload.",
)
def regional_years(
    context: dg.AssetExecutionContext,
    regional_summary: Combined,
    storage: Storage,
    wanted: WantedGroup,
    scratch: Scratch,
) -> dg.Output[Combined]:
    gathered, group = regional_summary.gathered, wanted.group
    is_of_this_shape = gathered.before.shape == all_years.shape(group.dataset, group.profile)
    tables = gathered.changed if is_of_this_shape else sorted(regional_summary.digests)
    for table in tables:
        key = all_years.year_key(group, table)
        if not regional.authorities_of_table(gathered.members, table):
            storage.remove(storage.data_store, [key])
            continue
        with values_kept_out_of_logs():
            path, unfit = _written(table, _combined(table, storage, wanted, scratch), wanted, scratch)
        for column, cells in unfit.items():
            context.log.warning("%s: %d cells of %s are not of its declared type: blank here.", table, cells, column)
        storage.put_file(storage.data_store, key, path, PARQUET)
    return dg.Output(regional_summary, metadata={"tables": ", ".join(tables) or "none"})


def _written(table: str, combined: Path, wanted: WantedGroup, scratch: Scratch) -> tuple[Path, dict[str, int]]:
    from localgov_pipeline.lib import concatenation

    columns = all_years.columns_of_all_years(wanted.dataset, wanted.profile, table)
    path = scratch.folder("years") / f"{table}.parquet"
    unfit = concatenation.of_all_years(combined, wanted.year, columns, path)
    return path, unfit


def _combined(table: str, storage: Storage, wanted: WantedGroup, scratch: Scratch) -> Path:
    """The table of the year, on this disk: written in this run, or before and fetched now."""
    path = scratch.folder("combined") / f"{table}.parquet"
    key = regional.table_key(wanted.group, table, "parquet")
    if not path.exists() and storage.download(storage.data_store, key, path) is None:
        raise FileNotFoundError(
            f"s3://{storage.data_store}/{key} is missing. Remove {regional.state_key(wanted.group)} there, and "
            "everything is taken over again."
        )
    return path
