# SPDX-License-Identifier: GPL-3.0-or-later
"""Which upload a run is about. The run's configuration names it and holds nothing else: no data, no file name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg

from localgov_pipeline.lib.submissions import Submission, Upload

# One partition for each submission: `<dataset>/<year>/<submission>`. The data version of a stage is its content's hash.
SUBMISSIONS = dg.DynamicPartitionsDefinition(name="submissions")
# The instance runs one at a time for each value.
ONE_AT_A_TIME = "localgov/submission"


class SubmissionResource(dg.ConfigurableResource[None]):
    dataset: str
    year: int
    submission: str
    version_id: str
    extension: str = "csv"
    # Asked for because the run before seemed lost.
    is_again: bool = False

    @property
    def identity(self) -> Submission:
        return Submission(self.dataset, self.year, self.submission, self.extension)


def run_config(upload: Upload, *, is_again: bool = False) -> dg.RunConfig:
    submission = SubmissionResource(**upload.submission._asdict(), version_id=upload.version_id, is_again=is_again)
    return dg.RunConfig(resources={"submission": submission})


class TableFacts(NamedTuple):
    read: int
    written: int = 0
    errors: int = 0
    # Rows in the largest of the shared parts: profiles choose columns and no rows.
    shared: int = 0


class Facts(NamedTuple):
    """What a step tells the next. Counts of rows and errors, never a value; the data lie in files of the run's folder.

    `notices`, `checks` and `shared` are as they stand in the report. `compared`: table of another submission to the
    SHA-256 of the upload that it was in when the checks were made.
    """

    sha256: str
    uploaded_at: str
    tables: dict[str, TableFacts]
    notices: tuple[dict[str, Any], ...] = ()
    checks: tuple[dict[str, Any], ...] = ()
    shared: tuple[dict[str, Any], ...] = ()
    compared: Mapping[str, str] = {}

    def with_counts(self, **counts: dict[str, int]) -> Facts:
        """Each of `counts` names a count, by table."""
        return self._replace(
            tables={
                table: facts._replace(**{name: of_table[table] for name, of_table in counts.items()})
                for table, facts in self.tables.items()
            }
        )

    def version(self) -> dg.DataVersion:
        return dg.DataVersion(self.sha256)
