# SPDX-License-Identifier: GPL-3.0-or-later
"""A local authority's pipeline: upload -> parsed -> cleaned -> result -> shared -> report.

What passes between the steps of a run are facts about the data (`Facts`); the data lie in the workspace bucket.
The steps import polars themselves: the code server, which evaluates the sensor every few seconds, never loads it.
"""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.local_authority import (
    stage1_upload,
    stage2_parsed,
    stage3_cleaned,
    stage4_result,
    stage5_shared,
    stage6_report,
)
from localgov_pipeline.defs.local_authority.announcements import announced_uploads
from localgov_pipeline.defs.local_authority.rejection import give_up
from localgov_pipeline.defs.local_authority.run import process_submission
from localgov_pipeline.defs.local_authority.submission import SubmissionResource
from localgov_pipeline.defs.storage import Storage


def definitions() -> dg.Definitions:
    return dg.Definitions(
        assets=[
            stage1_upload.upload,
            stage2_parsed.parsed,
            stage3_cleaned.cleaned,
            stage4_result.result,
            stage5_shared.shared,
            stage6_report.report,
        ],
        jobs=[process_submission, give_up],
        sensors=[announced_uploads],
        resources={
            "storage": Storage(
                data_store_location=dg.EnvVar("DATA_STORE_LOCATION"),
                workspace_location=dg.EnvVar("WORKSPACE_LOCATION"),
                shared_location=dg.EnvVar("SHARED_LOCATION"),
            ),
            "submission": SubmissionResource.configure_at_launch(),
            "io_manager": dg.mem_io_manager,
        },
        executor=dg.in_process_executor,
    )
