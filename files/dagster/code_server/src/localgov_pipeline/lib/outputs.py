# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that leave the pipeline. Every cell is a checked date, code, number or plain text, so no spreadsheet can
take one for a formula."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl

from localgov_pipeline.lib.cleaning import ERROR_SCHEMA, ROW
from localgov_pipeline.lib.findings import Finding
from localgov_pipeline.lib.rules import DATE_FORMAT
from localgov_pipeline.lib.submissions import Submission

ERRORS_SHOWN = 200


def result_csv(rows: pl.DataFrame) -> bytes:
    """The cleaned table in the form in which it was uploaded: it could be uploaded again."""
    return rows.drop(ROW).write_csv(date_format=DATE_FORMAT).encode()


def errors_csv(errors: pl.DataFrame) -> bytes:
    return errors.write_csv().encode()


def findings_frame(findings: Iterable[Finding]) -> pl.DataFrame:
    return pl.DataFrame(list(findings), schema=ERROR_SCHEMA, orient="row")


class Rows(NamedTuple):
    read: int = 0
    written: int = 0
    shared: int = 0


class Report(NamedTuple):
    """What the uploader is told. `shared_at` is (bucket, key), or None: then nothing of the file is shared."""

    submission: Submission
    version_id: str
    table: str | None
    rows: Rows
    errors_total: int
    errors_shown: Sequence[Finding]
    shared_at: tuple[str, str] | None
    finished_at: datetime

    @property
    def state(self) -> str:
        return "rejected" if self.shared_at is None else "accepted"


def report_json(report: Report) -> bytes:
    document: dict[str, Any] = {
        "submission": report.submission.submission,
        "dataset": report.submission.dataset,
        "year": report.submission.year,
        "table": report.table,
        "state": report.state,
        "version_id": report.version_id,
        "finished_at": report.finished_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "rows": report.rows._asdict(),
        "errors": {
            "total": report.errors_total,
            "shown": [finding._asdict() for finding in report.errors_shown[:ERRORS_SHOWN]],
        },
        "shared": None if report.shared_at is None else dict(zip(("bucket", "key"), report.shared_at, strict=True)),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()
