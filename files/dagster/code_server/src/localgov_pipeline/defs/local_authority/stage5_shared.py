# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the table that the organisation may read: no direct identifier, only columns declared as shareable."""

from __future__ import annotations

import os

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.rejection import remove_outputs
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.storage import Storage


@dg.asset(kinds={"s3", "csv"})
def shared(result: Facts, storage: Storage, submission: SubmissionResource) -> dg.Output[Facts]:
    from localgov_pipeline.lib.declarations import declared
    from localgov_pipeline.lib.pseudonyms import keys_from
    from localgov_pipeline.lib.sharing import shared_table

    identity = submission.identity
    with values_kept_out_of_logs():
        table = declared(identity.dataset, identity.year).tables[result.table]
        cleaned = storage.fetch_frame(identity.stage_key("cleaned", table.name)).lazy()
        rows = shared_table(cleaned, table, "regional", keys_from(os.environ)).collect()
    # An earlier version of this upload may have been another table.
    remove_outputs(storage, submission, keep=table.name)
    storage.put(storage.shared, identity.shared_key(table.name), rows.write_csv().encode(), "text/csv")
    return dg.Output(result._replace(shared=len(rows)), metadata={"rows": len(rows), "columns": rows.columns})
