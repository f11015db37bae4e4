# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that takes one version of one upload through every stage."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.attempts import RETRIED
from localgov_pipeline.defs.local_authority.progress import tell_progress
from localgov_pipeline.defs.local_authority.rejection import reject_what_fails_for_good
from localgov_pipeline.defs.patience import BACK_OFF

process_submission = dg.define_asset_job(
    "process_submission",
    selection=dg.AssetSelection.assets("uploaded", "parsed", "cleaned", "checked", "pseudonymised", "shared", "report"),
    hooks={tell_progress, reject_what_fails_for_good},
    tags=RETRIED,
    op_retry_policy=BACK_OFF,
    description="Take one upload through every stage, from the file to what is shared of it, and report.",
)
