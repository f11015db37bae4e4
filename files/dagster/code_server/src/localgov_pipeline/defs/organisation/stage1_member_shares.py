# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared buckets of the local authorities in the inventory, and the sensor that notices when they change."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from localgov_pipeline.defs.organisation.members import all_shares
from localgov_pipeline.defs.organisation.run import WantedTable, write_regional_table
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib import regional
from localgov_pipeline.lib.declarations import declared_datasets

member_shares = dg.AssetSpec(
    "member_shares", description="CSV files in the shared bucket of every local authority.", kinds={"s3", "csv"}
)


@dg.sensor(
    job=write_regional_table,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def changed_shares() -> dg.SensorResult:
    """A table is written again until its manifest names what is shared now, so a failed run is not forgotten."""
    storage = Storage.from_environment()
    manifests = _manifests(storage)
    shares = all_shares(storage, {*declared_datasets(), *(table.dataset for table in manifests)})
    written = regional.written_fingerprints(manifests, datetime.now(UTC))
    wanted = regional.tables_to_write(shares.files, shares.closed, manifests, written)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                # With the time of the last writing, for a state that comes back after another is a new one.
                run_key=f"{table.prefix}@{mark}~{manifests.get(table, {}).get('finished_at', 'never')}",
                run_config=dg.RunConfig(resources={"wanted": WantedTable(**table._asdict())}),
                tags={"localgov/regional_table": table.prefix},
            )
            for table, mark in wanted.items()
        ]
    )


def _manifests(storage: Storage) -> dict[regional.RegionalTable, dict[str, Any]]:
    found: dict[regional.RegionalTable, dict[str, Any]] = {}
    for entry in storage.objects(storage.data_store, regional.REGIONAL_PREFIX):
        table = regional.table_of_manifest_key(entry.key)
        manifest = storage.fetch(storage.data_store, entry.key) if table else None
        if table and manifest:
            found[table] = json.loads(manifest.content)
    return found
