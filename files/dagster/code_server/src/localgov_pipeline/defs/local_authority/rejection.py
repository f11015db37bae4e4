# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is refused, or the platform fails to process it: the person is told, and nothing of it is shared."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from localgov_pipeline.defs.attempts import NO_MORE_RUNS, RETRIED
from localgov_pipeline.defs.discretion import StepFailedError
from localgov_pipeline.defs.local_authority.standing import Standing, settle
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.patience import BACK_OFF
from localgov_pipeline.defs.storage import CSV, JSON, Storage
from localgov_pipeline.lib.findings import FileRefusedError, refusal
from localgov_pipeline.lib.submissions import Submission

if TYPE_CHECKING:
    from localgov_pipeline.lib import outputs

_NOT_PROCESSED = (
    "The platform failed to process this file; the file need not be at fault. Nothing of it is shared. Upload it once "
    "more. If that fails too, tell the platform's operators the submission's number."
)


def reject(
    storage: Storage, submission: SubmissionResource, refused: FileRefusedError, facts: Facts | None = None
) -> None:
    """Say why the file is refused, and take back what an earlier version of the upload left.

    The upload itself stays where it is until its date: nobody but the pipeline reads it, and it can be looked into.
    """
    from localgov_pipeline.lib import outputs

    identity = submission.identity
    _remove_results(storage, submission)
    errors = outputs.findings_csv(refused.findings)
    storage.put(storage.data_store, identity.result_key("errors.csv"), errors, CSV)
    report = outputs.Report(
        identity,
        submission.version_id,
        "rejected",
        datetime.now(UTC),
        facts.sha256 if facts else None,
        facts.uploaded_at if facts else None,
        rows=outputs.Rows(read=refused.rows_read),
        table=refused.table,
        errors=outputs.errors_of_findings(refused.findings),
        notices=facts.notices if facts else (),
        checks=facts.checks if facts else (),
    )
    finish(storage, report)


def finish(storage: Storage, report: "outputs.Report") -> Standing:
    """The report first: what is shared follows from it."""
    from localgov_pipeline.lib import outputs

    storage.put(storage.data_store, report.submission.report_key, outputs.report_json(report), JSON)
    return settle(storage, report.submission.dataset_year)


def is_still_so(storage: Storage, report: "outputs.Report") -> bool:
    """Whether the report is still the one that was written, and nobody has asked to take the submission back."""
    if storage.has(storage.data_store, report.submission.withdrawal_key):
        return False
    written = _report(storage, report.submission)
    return (written.get("version_id"), written.get("state")) == (report.version_id, report.state)


def _remove_results(storage: Storage, submission: SubmissionResource) -> None:
    """What a version before left, but for the report: the new one takes its place."""
    identity = submission.identity
    listed = [entry.key for entry in storage.objects(storage.data_store, identity.result_key(""))]
    storage.remove(storage.data_store, [key for key in listed if key != identity.report_key])


def reject_as_not_processed(storage: Storage, submission: SubmissionResource) -> None:
    """But for what has come to its end before: that it could not be done once more changes nothing about it."""
    report = _report(storage, submission.identity)
    if _is_about(report, submission) and report["state"] != "rejected":
        return
    reject(storage, submission, refusal("platform", _NOT_PROCESSED))


def is_reported(storage: Storage, submission: SubmissionResource) -> bool:
    """Whether a run came to its end."""
    return _is_about(_report(storage, submission.identity), submission)


def _report(storage: Storage, identity: Submission) -> dict[str, Any]:
    """The one that there is; empty if there is none."""
    key = identity.report_key
    written = storage.fetch(storage.data_store, key) if storage.has(storage.data_store, key) else None
    found: dict[str, Any] = {} if written is None else json.loads(written.content)
    return found


def _is_about(report: dict[str, Any], submission: SubmissionResource) -> bool:
    """This version of the upload. A withdrawal is about all that there ever are."""
    return bool(report) and (report["state"] == "withdrawn" or report["version_id"] == submission.version_id)


@dg.failure_hook(required_resource_keys={"storage", "submission"})
def reject_what_fails_for_good(context: dg.HookContext) -> None:
    """Whatever else ends a run is no fault of the file, however often it comes: the file waits for another run."""
    if isinstance(context.op_exception, StepFailedError):
        context.instance.add_run_tags(context.run_id, NO_MORE_RUNS)
        context.log.error("Given up after a failure that every run would repeat: rejected, unless processed before.")
        reject_as_not_processed(context.resources.storage, context.resources.submission)


@dg.op(description="Tell the uploader of a submission that no run of it came to an end.")
def report_as_not_processed(context: dg.OpExecutionContext, storage: Storage, submission: SubmissionResource) -> None:
    if is_reported(storage, submission):
        context.log.info("The submission has a report by now: nothing to do.")
        return
    context.log.error("No run finished in time: the submission is reported as rejected.")
    reject_as_not_processed(storage, submission)


@dg.job(
    tags=RETRIED,
    op_retry_policy=BACK_OFF,
    description="Report submissions whose runs died without a word (no memory, no capacity).",
)
def give_up() -> None:
    report_as_not_processed()
