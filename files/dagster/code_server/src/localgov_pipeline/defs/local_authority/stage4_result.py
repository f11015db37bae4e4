# SPDX-License-Identifier: GPL-3.0-or-later
"""The cleaned table and its errors as CSV, for the person who uploaded it."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.storage import Storage


@dg.asset(kinds={"s3", "csv"})
def result(cleaned: Facts, storage: Storage, submission: SubmissionResource) -> dg.Output[Facts]:
    from localgov_pipeline.lib import outputs

    identity = submission.identity
    with values_kept_out_of_logs():
        rows = outputs.result_csv(storage.fetch_frame(identity.stage_key("cleaned", cleaned.table)))
        errors = outputs.errors_csv(storage.fetch_frame(identity.stage_key("cleaned", "errors")))
    storage.put(storage.data_store, identity.result_key(f"{cleaned.table}.csv"), rows, "text/csv")
    storage.put(storage.data_store, identity.result_key("errors.csv"), errors, "text/csv")
    return dg.Output(cleaned, metadata={"rows": cleaned.written, "errors": cleaned.errors})
