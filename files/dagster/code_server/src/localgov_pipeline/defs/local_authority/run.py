# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that takes one version of one upload through every stage."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.local_authority.rejection import RETRIED, reject_after_last_attempt

process_submission = dg.define_asset_job(
    "process_submission",
    selection=dg.AssetSelection.assets("parsed", "cleaned", "result", "shared", "report"),
    hooks={reject_after_last_attempt},
    tags=RETRIED,
)
