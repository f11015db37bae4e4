# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is refused, or the platform fails to process it: the person is told, and nothing of it is shared."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime

import dagster as dg

from localgov_pipeline.defs.local_authority.submission import SubmissionResource
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib.findings import FileRefusedError, refusal

MAX_RETRIES = 2
# Every stage again: what passes between stages lives in the memory of one run.
RETRIED = {"dagster/max_retries": str(MAX_RETRIES), "dagster/retry_strategy": "ALL_STEPS"}

_NOT_PROCESSED = (
    "The platform failed to process this file; the file need not be at fault. Nothing of it is shared. Upload it once "
    "more. If that fails too, tell the platform's operators the submission's number."
)


def reject(storage: Storage, submission: SubmissionResource, refused: FileRefusedError) -> None:
    """Take back what an earlier version of the upload left, then say why this one is refused."""
    from localgov_pipeline.lib import outputs

    identity = submission.identity
    remove_outputs(storage, submission, keep=None)
    errors = outputs.findings_frame(refused.findings)
    storage.put(storage.data_store, identity.result_key("errors.csv"), outputs.errors_csv(errors), "text/csv")
    report = outputs.Report(
        identity,
        submission.version_id,
        refused.table,
        outputs.Rows(read=refused.rows_read),
        len(refused.findings),
        refused.findings,
        None,
        datetime.now(UTC),
    )
    storage.put(storage.data_store, identity.report_key, outputs.report_json(report), "application/json")


def remove_outputs(storage: Storage, submission: SubmissionResource, keep: str | None) -> None:
    """Remove what was shared and written of the submission, but for the table `keep`."""
    from localgov_pipeline.lib.declarations import UnknownDatasetError, declared

    identity = submission.identity
    try:
        tables = [table for table in declared(identity.dataset, identity.year).tables if table != keep]
    except UnknownDatasetError:
        return
    storage.remove(storage.shared, [identity.shared_key(table) for table in tables])
    storage.remove(storage.data_store, [identity.result_key(f"{table}.csv") for table in tables])


def reject_as_not_processed(storage: Storage, submission: SubmissionResource) -> None:
    reject(storage, submission, refusal("platform", _NOT_PROCESSED))


@dg.failure_hook(required_resource_keys={"storage", "submission"})
def reject_after_last_attempt(context: dg.HookContext) -> None:
    run = context.instance.get_run_by_id(context.run_id)
    attempts_made = int(run.tags.get("dagster/retry_number", "0")) if run else 0
    if attempts_made >= MAX_RETRIES:
        context.log.error("Given up after %d attempts: the submission is reported as rejected.", attempts_made + 1)
        reject_as_not_processed(context.resources.storage, context.resources.submission)


@dg.op
def report_as_not_processed(context: dg.OpExecutionContext, storage: Storage, submission: SubmissionResource) -> None:
    import json

    key = submission.identity.report_key
    written = storage.fetch(storage.data_store, key) if storage.has(storage.data_store, key) else None
    if written is not None and json.loads(written.content)["version_id"] == submission.version_id:
        context.log.info("The submission has a report by now: nothing to do.")
        return
    context.log.error("No run finished in time: the submission is reported as rejected.")
    reject_as_not_processed(storage, submission)


@dg.job(tags=RETRIED)
def give_up() -> None:
    """For runs that died without a word (no memory, no capacity): see `agenda`."""
    report_as_not_processed()
