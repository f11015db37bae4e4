# SPDX-License-Identifier: GPL-3.0-or-later
"""The table with typed cells that obey their rules, and the list of those that did not, in the workspace."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.rejection import reject
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.storage import Storage

ROWS_ADD_UP = dg.AssetCheckSpec(
    "rows_add_up", asset="cleaned", blocking=True, description="Rows read are rows kept plus rows left out."
)


@dg.asset(output_required=False, check_specs=[ROWS_ADD_UP], kinds={"s3", "parquet", "polars"})
def cleaned(
    context: dg.AssetExecutionContext, parsed: Facts, storage: Storage, submission: SubmissionResource
) -> Iterator[dg.Output[Facts] | dg.AssetCheckResult]:
    import polars as pl

    from localgov_pipeline.lib.cleaning import clean, refuse_without_rows
    from localgov_pipeline.lib.declarations import declared
    from localgov_pipeline.lib.findings import FileRefusedError

    identity = submission.identity
    try:
        with values_kept_out_of_logs():
            table = declared(identity.dataset, identity.year).tables[parsed.table]
            read = storage.fetch_frame(identity.stage_key("parsed", parsed.table))
            rows, errors = pl.collect_all(clean(read.lazy(), table))
            refuse_without_rows(len(read), len(rows), table)
    except FileRefusedError as refused:
        context.log.info("Refused: %s", refused)
        reject(storage, submission, refused)
        # Every row was left out. Dagster wants the outcome of the check also when nothing is put out.
        yield dg.AssetCheckResult(passed=True, metadata={"rows": 0})
        return
    storage.put_frame(identity.stage_key("cleaned", table.name), rows)
    storage.put_frame(identity.stage_key("cleaned", "errors"), errors)
    facts = parsed._replace(written=len(rows), errors=len(errors))
    left_out = len(read) - len(rows)
    yield dg.Output(facts, metadata={"rows": facts.written, "left out": left_out, "errors": facts.errors})
    yield dg.AssetCheckResult(passed=facts.read == facts.written + left_out)
