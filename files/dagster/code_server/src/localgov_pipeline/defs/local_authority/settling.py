# SPDX-License-Identifier: GPL-3.0-or-later
"""The safety net of manifests: a run that was killed between its report and its manifests is made up for."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime, timedelta

import dagster as dg

from localgov_pipeline.defs.local_authority.rejection import RETRIED
from localgov_pipeline.defs.local_authority.standing import settle
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib.submissions import RESULTS_PREFIX, DatasetYear, submission_of_report

# A run needs seconds from its report to its manifests.
_OVERDUE_AFTER = timedelta(minutes=5)


class Unsettled(dg.ConfigurableResource[None]):
    dataset: str
    year: int


@dg.op(description="Bring the manifests of a dataset and year into line with the reports.")
def settle_manifests(storage: Storage, unsettled: Unsettled) -> None:
    settle(storage, DatasetYear(unsettled.dataset, unsettled.year))


@dg.job(tags=RETRIED, description="Bring manifests into line with the reports after a run that was killed.")
def settle_submissions() -> None:
    settle_manifests()


@dg.sensor(
    job=settle_submissions,
    minimum_interval_seconds=120,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notices manifests that are older than a report: a run was killed between the two.",
)
def unsettled_reports() -> dg.SensorResult:
    storage = Storage.from_environment()
    reports: dict[DatasetYear, datetime] = {}
    indexes: dict[str, datetime] = {}
    for entry in storage.objects(storage.data_store, RESULTS_PREFIX):
        submission = submission_of_report(entry.key)
        if submission is not None:
            where = submission.dataset_year
            reports[where] = max(reports.get(where, entry.last_modified), entry.last_modified)
        elif entry.key.endswith("/index.json"):
            indexes[entry.key] = entry.last_modified
    limit = datetime.now(UTC) - _OVERDUE_AFTER
    overdue = {
        where: written
        for where, written in reports.items()
        if written < limit and (where.index_key not in indexes or indexes[where.index_key] < written)
    }
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{storage.data_store}/{where.path}@{written.isoformat()}",
                run_config=dg.RunConfig(resources={"unsettled": Unsettled(**where._asdict())}),
            )
            for where, written in sorted(overdue.items())
        ]
    )
