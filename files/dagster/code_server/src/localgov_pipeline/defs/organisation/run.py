# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that writes one regional table, and the configuration that names the table."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.lib.regional import RegionalTable


class WantedTable(dg.ConfigurableResource[None]):
    dataset: str
    year: int
    table: str

    @property
    def identity(self) -> RegionalTable:
        return RegionalTable(self.dataset, self.year, self.table)


write_regional_table = dg.define_asset_job(
    "write_regional_table",
    selection=dg.AssetSelection.assets("regional_table"),
    tags={"dagster/retry_strategy": "ALL_STEPS"},
)
