# SPDX-License-Identifier: GPL-3.0-or-later
"""The organisation's pipeline: member_shares -> regional_table."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.organisation import stage1_member_shares, stage2_regional_table
from localgov_pipeline.defs.organisation.run import WantedTable, write_regional_table
from localgov_pipeline.defs.storage import Storage


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[stage1_member_shares.member_shares, stage2_regional_table.regional_table],
        jobs=[write_regional_table],
        sensors=[stage1_member_shares.changed_shares],
        resources={
            "storage": Storage(
                data_store_location=dg.EnvVar("DATA_STORE_LOCATION"),
                member_shared_locations=dg.EnvVar("MEMBER_SHARED_LOCATIONS"),
            ),
            "wanted": WantedTable.configure_at_launch(),
            "io_manager": dg.mem_io_manager,
        },
        executor=dg.in_process_executor,
    )
