# SPDX-License-Identifier: GPL-3.0-or-later
"""Which upload a run is about. The run's configuration names it and holds nothing else: no data, no file name."""

from __future__ import annotations

from typing import NamedTuple

import dagster as dg

from localgov_pipeline.lib.submissions import Submission, Upload


class SubmissionResource(dg.ConfigurableResource[None]):
    dataset: str
    year: int
    submission: str
    version_id: str

    @property
    def identity(self) -> Submission:
        return Submission(self.dataset, self.year, self.submission)


def run_config(upload: Upload) -> dg.RunConfig:
    return dg.RunConfig(
        resources={"submission": SubmissionResource(**upload.submission._asdict(), version_id=upload.version_id)}
    )


class Facts(NamedTuple):
    """What a step tells the next. Counts of rows and errors, never a value."""

    table: str
    read: int
    written: int = 0
    errors: int = 0
    shared: int = 0
