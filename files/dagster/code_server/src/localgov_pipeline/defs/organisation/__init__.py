# SPDX-License-Identifier: GPL-3.0-or-later
"""The organisation's pipeline: member_shares -> regional_parts -> regional_tables -> regional_summary -> _years ->
_manifest."""

from __future__ import annotations

import os

import dagster as dg

from localgov_pipeline.defs.organisation import (
    stage1_member_shares,
    stage2_regional_parts,
    stage3_regional_tables,
    stage4_regional_summary,
    stage5_regional_years,
    stage6_regional_manifest,
)
from localgov_pipeline.defs.organisation.run import WantedGroup, gather_shares
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import Storage


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[
            stage1_member_shares.member_shares,
            stage2_regional_parts.regional_parts,
            stage3_regional_tables.regional_tables,
            stage4_regional_summary.regional_summary,
            stage5_regional_years.regional_years,
            stage6_regional_manifest.regional_manifest,
        ],
        jobs=[gather_shares],
        sensors=[stage1_member_shares.changed_shares],
        resources={
            "storage": Storage(
                data_store_location=dg.EnvVar("DATA_STORE_LOCATION"),
                member_shared_locations=dg.EnvVar("MEMBER_SHARED_LOCATIONS"),
                # An organisation that has agreed nothing need not say so.
                member_agreements=os.environ.get("MEMBER_AGREEMENTS", "{}"),
            ),
            "wanted": WantedGroup.configure_at_launch(),
            "scratch": Scratch(),
            "io_manager": dg.mem_io_manager,
        },
        executor=dg.in_process_executor,
    )
