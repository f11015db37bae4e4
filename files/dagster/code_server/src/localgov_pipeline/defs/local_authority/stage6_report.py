# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, written last of all: when it is there, everything that it speaks of is there too."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.storage import Storage


@dg.asset(kinds={"s3", "json"})
def report(shared: Facts, storage: Storage, submission: SubmissionResource) -> dg.MaterializeResult[None]:
    from localgov_pipeline.lib import outputs
    from localgov_pipeline.lib.findings import Finding

    identity = submission.identity
    with values_kept_out_of_logs():
        errors = storage.fetch_frame(identity.stage_key("cleaned", "errors")).head(outputs.ERRORS_SHOWN)
        document = outputs.Report(
            identity,
            submission.version_id,
            shared.table,
            outputs.Rows(shared.read, shared.written, shared.shared),
            shared.errors,
            [Finding(*row) for row in errors.iter_rows()],
            (storage.shared, identity.shared_key(shared.table)),
            datetime.now(UTC),
        )
    storage.put(storage.data_store, identity.report_key, outputs.report_json(document), "application/json")
    return dg.MaterializeResult(metadata={"state": document.state, "rows": shared.written, "errors": shared.errors})
