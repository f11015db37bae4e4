# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload as a table of text cells, in the workspace."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.rejection import reject
from localgov_pipeline.defs.local_authority.stage1_upload import upload
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.storage import Storage


@dg.asset(deps=[upload], output_required=False, kinds={"s3", "parquet"})
def parsed(
    context: dg.AssetExecutionContext, storage: Storage, submission: SubmissionResource
) -> Iterator[dg.Output[Facts]]:
    """Refused files end here, with a report. So do uploads that were replaced or withdrawn since they were seen."""
    from localgov_pipeline.lib.csv_file import parse
    from localgov_pipeline.lib.declarations import UnknownDatasetError, declared
    from localgov_pipeline.lib.findings import FileRefusedError, refusal

    identity = submission.identity
    content = _latest(storage, submission)
    if content is None:
        context.log.info("This version of the upload is no longer the latest: nothing to do.")
        return
    try:
        with values_kept_out_of_logs():
            try:
                dataset = declared(identity.dataset, identity.year)
            except UnknownDatasetError as error:
                raise refusal("dataset", str(error)) from None
            table, rows = parse(content, dataset)
    except FileRefusedError as refused:
        context.log.info("Refused: %s", refused)
        reject(storage, submission, refused)
        return
    storage.put_frame(identity.stage_key("parsed", table.name), rows)
    yield dg.Output(Facts(table.name, len(rows)), metadata={"table": table.name, "rows": len(rows)})


def _latest(storage: Storage, submission: SubmissionResource) -> bytes | None:
    """The content of the version that the run is about, if it still is the latest."""
    key = submission.identity.upload_key
    if storage.latest_version(storage.data_store, key) != submission.version_id:
        return None
    fetched = storage.fetch(storage.data_store, key)
    return fetched.content if fetched is not None and fetched.version_id == submission.version_id else None
