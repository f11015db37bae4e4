# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts by local authority and code, that show no small number."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.organisation.run import WantedGroup
from localgov_pipeline.defs.organisation.stage3_regional_tables import Combined
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import CSV, Storage
from localgov_pipeline.lib import regional


@dg.asset(
    kinds={"s3", "csv", "polars"},
    description="How often each code comes from each local authority. 1 to 4 is shown as `<5`, and `*` hides as "
    "many of the next larger ones as it takes for no such number to follow from the rest.",
)
def regional_summary(
    regional_tables: Combined, storage: Storage, wanted: WantedGroup, scratch: Scratch
) -> dg.Output[Combined]:
    import polars as pl

    from localgov_pipeline.lib import concatenation

    changed = regional_tables.gathered.changed
    if not changed:
        return dg.Output(regional_tables, metadata={"counts": 0})
    key = regional.summary_key(wanted.group)
    with values_kept_out_of_logs():
        fetched = storage.fetch(storage.data_store, key) if storage.has(storage.data_store, key) else None
        counts = {
            table: concatenation.summary(
                pl.scan_parquet(scratch.folder("combined") / f"{table}.parquet"),
                table,
                concatenation.code_columns(wanted.group, table),
            )
            for table in changed
        }
        content = concatenation.summary_csv(None if fetched is None else fetched.content, counts)
    storage.put(storage.data_store, key, content, CSV)
    return dg.Output(regional_tables, metadata={"counts": sum(len(frame) for frame in counts.values())})
