# SPDX-License-Identifier: GPL-3.0-or-later
"""What is past its date goes, from every bucket, and it is on record what went."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from localgov_pipeline.defs.attempts import RETRIED, say_so_after_last_attempt
from localgov_pipeline.defs.local_authority import erasure
from localgov_pipeline.defs.local_authority.standing import settle
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS
from localgov_pipeline.defs.patience import BACK_OFF
from localgov_pipeline.defs.storage import JSON, BucketClosedError, Storage
from localgov_pipeline.lib.declarations import declared, declared_datasets, declared_years, retention_of
from localgov_pipeline.lib.manifests import in_utc, last_uploads
from localgov_pipeline.lib.submissions import RETENTION_PREFIX, STAGES, UPLOADS_PREFIX, DatasetYear, submission_of


class RetentionError(ValueError):
    pass


def refuse_shorter_rule() -> None:
    """WORKSPACE_DAYS, after which the bucket's own rule removes every stage, may not undercut a declaration."""
    days = int(os.environ.get("WORKSPACE_DAYS") or 0)
    kept = {name: declared(name, declared_years(name)[-1]).retention.workspace for name in declared_datasets()}
    longer = {name: declared_days for name, declared_days in kept.items() if declared_days > days}
    if days and longer:
        named = ", ".join(f"{name} ({declared_days})" for name, declared_days in sorted(longer.items()))
        raise RetentionError(
            f"WORKSPACE_DAYS is {days}: the workspace would lose stages before the days that their datasets declare: "
            f"{named}. Set la_services_workspace_days to {max(longer.values())} or more, or shorten `retention` there."
        )


@dg.op(description="Remove what is past the date that its dataset declares, and write down what was removed.")
def remove_what_is_past_its_date(context: dg.OpExecutionContext, storage: Storage) -> None:
    """One dataset and year that fails holds up no other, and what was removed is on record all the same."""
    now = datetime.now(UTC)
    removed: list[dict[str, Any]] = []
    errors: list[Exception] = []
    for where in erasure.dataset_years(storage):
        entry: dict[str, Any] = {**where._asdict(), "submissions": [], "versions": {}}
        removed.append(entry)
        try:
            _remove(storage, where, now, entry)
        except Exception as error:
            entry["failed"] = f"{type(error).__name__}: {error}"
            errors.append(error)
    report = {
        "finished_at": in_utc(datetime.now(UTC)),
        "removed": [entry for entry in removed if entry["versions"] or "failed" in entry],
        "partitions_removed": 0,
    }
    # With the time, for what is tried again the same night has a record of its own.
    key = f"{RETENTION_PREFIX}{now:%Y-%m-%dT%H%M%S}.json"
    try:
        report["partitions_removed"] = _forget_partitions(context.instance, storage)
    finally:
        storage.put(storage.data_store, key, json.dumps(report, indent=1).encode(), JSON)
        context.log.info("Removed: %s. See %s.", json.dumps(report["removed"]), key)
    if errors:
        failed = ", ".join(f"{entry['dataset']} {entry['year']}" for entry in removed if "failed" in entry)
        may_pass = not all(isinstance(error, BucketClosedError) for error in errors)
        raise dg.Failure(
            f"Not all that is past its date was removed of {failed}: see {key}.", allow_retries=may_pass
        ) from errors[0]


def _remove(storage: Storage, where: DatasetYear, now: datetime, entry: dict[str, Any]) -> None:
    """Of one dataset and year. `entry` says at each moment what was removed by then."""
    days = retention_of(where.dataset, where.year)
    # Manifests first: a submission that is past its date for sharing is not current any more.
    reports = settle(storage, where).reports
    moments = {name: uploaded_at for name, (uploaded_at, _) in last_uploads(reports.values()).items()}
    moments = {**_uploads(storage, where), **moments}
    past_results, past_shared = (
        {name for name, uploaded_at in moments.items() if uploaded_at < in_utc(now - timedelta(days=limit))}
        for limit in (days.results, days.shared)
    )
    old_stages = _old_stages(storage, where, now, days.workspace)
    entry["submissions"] = sorted(past_results | past_shared)

    def note(kind: str, count: int) -> None:
        if count:
            entry["versions"][kind] = count

    if past_shared:
        note(erasure.SHARED, erasure.erase_shared(storage, where, past_shared))
    if past_results:
        note(erasure.UPLOADS, erasure.erase_uploads(storage, where, past_results))
        note(erasure.RESULTS, erasure.erase_results(storage, where, past_results))
    if old_stages:
        note(erasure.WORKSPACE, erasure.erase_stages(storage, where, old_stages.__contains__))
    gone = past_results & past_shared
    if gone:
        note("reports", erasure.erase_reports(storage, where, gone))
        settle(storage, where)


def _uploads(storage: Storage, where: DatasetYear) -> dict[str, str]:
    """When each was put there, by what S3 says: there may be some that no run has reported."""
    listed = storage.objects(storage.data_store, f"{UPLOADS_PREFIX}{where.path}/")
    found = ((submission_of(entry.key), in_utc(entry.last_modified)) for entry in listed)
    return {submission.submission: uploaded_at for submission, uploaded_at in found if submission is not None}


def _old_stages(storage: Storage, where: DatasetYear, now: datetime, days: int) -> set[str]:
    limit = now - timedelta(days=days)
    listed = (entry for stage in STAGES for entry in storage.objects(storage.workspace, f"{stage}/{where.path}/"))
    return {entry.key for entry in listed if entry.last_modified < limit}


def _forget_partitions(instance: dg.DagsterInstance, storage: Storage) -> int:
    """Of submissions whose upload has gone, by withdrawal or by its date. At night, when no run of theirs is under way;
    the partitions are listed before the uploads, for more of both may come meanwhile."""
    name = str(SUBMISSIONS.name)
    partitions = instance.get_dynamic_partitions(name)
    uploads = (submission_of(entry.key) for entry in storage.objects(storage.data_store, UPLOADS_PREFIX))
    there = {submission.path for submission in uploads if submission is not None}
    gone = [partition for partition in partitions if partition not in there]
    for partition in gone:
        instance.delete_dynamic_partition(name, partition)
    return len(gone)


@dg.job(
    tags=RETRIED,
    op_retry_policy=BACK_OFF,
    hooks={say_so_after_last_attempt},
    description="Remove from every bucket what is past the date that its dataset declares.",
)
def retention() -> None:
    remove_what_is_past_its_date()


every_night = dg.ScheduleDefinition(
    name="retention_every_night",
    job=retention,
    cron_schedule="30 2 * * *",
    execution_timezone="Europe/London",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
