# SPDX-License-Identifier: GPL-3.0-or-later
"""A local authority's pipeline: uploaded -> parsed -> cleaned -> checked -> pseudonymised -> shared, then the report.

What passes between the steps of a run are facts about the data (`Facts`); the data lie in files of the run's folder and
in the workspace bucket. The steps import polars themselves: the code server, which evaluates the sensors every few
seconds, never loads it.
"""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.local_authority import (
    retention,
    settling,
    stage2_uploaded,
    stage3_parsed,
    stage4_cleaned,
    stage5_checked,
    stage6_pseudonymised,
    stage7_shared,
    stage8_report,
    thresholds,
    withdrawal,
)
from localgov_pipeline.defs.local_authority.announcements import announced_uploads
from localgov_pipeline.defs.local_authority.rejection import give_up
from localgov_pipeline.defs.local_authority.run import process_submission
from localgov_pipeline.defs.local_authority.submission import SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import Storage


def definitions() -> dg.Definitions:
    thresholds.refuse_unknown()
    retention.refuse_shorter_rule()
    return dg.Definitions(
        assets=[
            stage2_uploaded.uploaded,
            stage3_parsed.parsed,
            stage4_cleaned.cleaned,
            stage5_checked.checked,
            stage6_pseudonymised.pseudonymised,
            stage7_shared.shared,
            stage8_report.report,
        ],
        jobs=[process_submission, give_up, withdrawal.withdraw, retention.retention, settling.settle_submissions],
        sensors=[announced_uploads, withdrawal.withdrawals, settling.unsettled_reports],
        schedules=[retention.every_night],
        resources={
            "storage": Storage(
                data_store_location=dg.EnvVar("DATA_STORE_LOCATION"),
                workspace_location=dg.EnvVar("WORKSPACE_LOCATION"),
                shared_location=dg.EnvVar("SHARED_LOCATION"),
            ),
            "submission": SubmissionResource.configure_at_launch(),
            "unsettled": settling.Unsettled.configure_at_launch(),
            "scratch": Scratch(),
            "io_manager": dg.mem_io_manager,
        },
        executor=dg.in_process_executor,
    )
