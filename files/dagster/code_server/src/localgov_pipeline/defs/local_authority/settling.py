# SPDX-License-Identifier: GPL-3.0-or-later
"""The safety net of manifests: a run that was killed between its report and its manifests is made up for."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime, timedelta

import dagster as dg

from localgov_pipeline.defs.attempts import RETRIED, say_so_after_last_attempt
from localgov_pipeline.defs.local_authority.standing import seen_reports, settle
from localgov_pipeline.defs.patience import BACK_OFF
from localgov_pipeline.defs.storage import Listed, Storage
from localgov_pipeline.lib.submissions import RESULTS_PREFIX, DatasetYear, submission_of_report

# A run needs seconds from its report to its manifests.
_OVERDUE_AFTER = timedelta(minutes=5)


class Unsettled(dg.ConfigurableResource[None]):
    dataset: str
    year: int


@dg.op(description="Bring the manifests of a dataset and year into line with the reports.")
def settle_manifests(storage: Storage, unsettled: Unsettled) -> None:
    settle(storage, DatasetYear(unsettled.dataset, unsettled.year))


@dg.job(
    tags=RETRIED,
    op_retry_policy=BACK_OFF,
    hooks={say_so_after_last_attempt},
    description="Bring manifests into line with the reports after a run that was killed.",
)
def settle_submissions() -> None:
    settle_manifests()


@dg.sensor(
    job=settle_submissions,
    minimum_interval_seconds=120,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notices reports that the last look at their dataset and year did not see: a run was killed.",
)
def unsettled_reports() -> dg.SensorResult:
    storage = Storage.from_environment()
    reports: dict[DatasetYear, list[Listed]] = {}
    indexes: dict[str, datetime] = {}
    for entry in storage.objects(storage.data_store, RESULTS_PREFIX):
        submission = submission_of_report(entry.key)
        if submission is not None:
            reports.setdefault(submission.dataset_year, []).append(entry)
        elif entry.key.endswith("/index.json"):
            indexes[entry.key] = entry.last_modified
    limit = datetime.now(UTC) - _OVERDUE_AFTER
    requests = []
    for where, listed in sorted(reports.items()):
        seen = seen_reports(storage, where) if where.index_key in indexes else {}
        overdue = [entry.last_modified for entry in listed if seen.get(entry.key) != entry.etag]
        overdue = [written for written in overdue if written < limit]
        if overdue:
            requests.append(_request(storage, where, max(overdue), indexes.get(where.index_key)))
    return dg.SensorResult(run_requests=requests)


def _request(storage: Storage, where: DatasetYear, written: datetime, looked: datetime | None) -> dg.RunRequest:
    """Of two runs that end together the one that saw less may leave the index last: then it is asked for once more."""
    since = f"~{looked.isoformat()}" if looked else ""
    return dg.RunRequest(
        run_key=f"{storage.data_store}/{where.path}@{written.isoformat()}{since}",
        run_config=dg.RunConfig(resources={"unsettled": Unsettled(**where._asdict())}),
    )
