# SPDX-License-Identifier: GPL-3.0-or-later
"""A submission is taken back: nothing of it is shared or kept any more, and it is on record who asked."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from localgov_pipeline.defs.attempts import RETRIED, say_so_after_last_attempt
from localgov_pipeline.defs.local_authority.erasure import erase_submission
from localgov_pipeline.defs.local_authority.rejection import finish
from localgov_pipeline.defs.local_authority.standing import settle
from localgov_pipeline.defs.local_authority.submission import ONE_AT_A_TIME, SubmissionResource, run_config
from localgov_pipeline.defs.patience import BACK_OFF
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib.manifests import duplicates_of
from localgov_pipeline.lib.submissions import WITHDRAWALS_PREFIX, Submission, Upload, submission_of_withdrawal

_AUDITED = ("who", "when")


@dg.op(description="Switch the manifest first; then remove what the submission left in every bucket; then report.")
def withdraw_submission(context: dg.OpExecutionContext, storage: Storage, submission: SubmissionResource) -> None:
    from localgov_pipeline.lib import outputs

    identity = submission.identity
    found = next(storage.objects(storage.data_store, identity.withdrawal_key), None)
    asked = None if found is None else storage.fetch(storage.data_store, identity.withdrawal_key)
    if found is None or asked is None:
        context.log.info("Nobody asks for it any more: nothing to do.")
        return
    if is_withdrawn(storage, identity.report_key, found.last_modified):
        context.log.info("It has been withdrawn meanwhile: nothing to do.")
        return
    # It is asked for, so it is not current whatever its report says.
    reports = settle(storage, identity.dataset_year).reports
    before = reports.get(identity.submission, {})
    removed = erase_submission(storage, identity, duplicates_of(identity.submission, reports))
    audit = {**_who_and_when(asked.content), "completed_at": _now(), "versions_removed": removed}
    context.log.info("Withdrawn: %s.", json.dumps(removed))
    tables = {name: outputs.Rows(**found["rows"]) for name, found in (before.get("tables") or {}).items()}
    profiles = [{**part, "tables": {}} for part in before.get("shared") or ()]
    report = outputs.Report(
        identity,
        before.get("version_id") or "",
        "withdrawn",
        datetime.now(UTC),
        before.get("sha256"),
        before.get("uploaded_at"),
        tables=tables,
        shared=profiles,
        withdrawn=audit,
    )
    finish(storage, report)


def _who_and_when(content: bytes) -> dict[str, str]:
    """What the request says of itself; one that says nothing is carried out all the same."""
    try:
        said: Any = json.loads(content)
    except ValueError:
        said = {}
    found = said if isinstance(said, Mapping) else {}
    return {name: str(found.get(name, "not said"))[:200] for name in _AUDITED}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dg.job(
    tags=RETRIED,
    op_retry_policy=BACK_OFF,
    hooks={say_so_after_last_attempt},
    description="Take a submission back: from what is shared, and from every bucket.",
)
def withdraw() -> None:
    withdraw_submission()


@dg.sensor(
    job=withdraw,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="The safety net of withdrawals: finds requests (objects under `withdrawals/` in the data store) that "
    "were not announced or not carried out.",
)
def withdrawals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Asked for until the report says that it is done, once a day again if it failed for good."""
    storage = Storage.from_environment()
    bucket = storage.data_store
    done: dict[str, str] = json.loads(context.cursor or "{}")
    asked = {entry.key: entry for entry in storage.objects(bucket, WITHDRAWALS_PREFIX)}
    requests, finished = [], {}
    for key, entry in asked.items():
        submission = submission_of_withdrawal(key)
        if submission is None:
            continue
        if done.get(key) == entry.etag or is_withdrawn(storage, submission.report_key, entry.last_modified):
            finished[key] = entry.etag
            continue
        day = datetime.now(UTC).date().isoformat()
        requests.append(run_request(submission, f"{bucket}/{key}@{entry.etag}~{day}"))
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(finished))


def run_request(submission: Submission, run_key: str) -> dg.RunRequest:
    """The sensor of announcements asks for the same, under a key of its own: the run that comes second does nothing."""
    return dg.RunRequest(
        run_key=run_key,
        job_name=withdraw.name,
        run_config=run_config(Upload(submission, "")),
        tags={ONE_AT_A_TIME: submission.path},
    )


def is_withdrawn(storage: Storage, report_key: str, asked_at: datetime) -> bool:
    written = next((entry for entry in storage.objects(storage.data_store, report_key)), None)
    if written is None or written.key != report_key or written.last_modified < asked_at:
        return False
    report = storage.fetch(storage.data_store, report_key)
    return report is not None and json.loads(report.content)["state"] == "withdrawn"
