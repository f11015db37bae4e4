# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that leave the pipeline. Every cell is a checked date, code, number or plain text, so no spreadsheet can
take one for a formula."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from localgov_pipeline.lib.categories import described_as_text
from localgov_pipeline.lib.checks import FINDING_SCHEMA
from localgov_pipeline.lib.cleaning import ROW
from localgov_pipeline.lib.code_version import code_version
from localgov_pipeline.lib.declarations import Table
from localgov_pipeline.lib.findings import Finding
from localgov_pipeline.lib.manifests import in_utc
from localgov_pipeline.lib.rules import written_day
from localgov_pipeline.lib.submissions import Submission

ERRORS_SHOWN = 200
ROWS_NAMED = 20
TABLE = "table"
_RULE = ("rule", "column", TABLE, "reason")
_NEEDS_QUOTES = re.compile(r'[,"\r\n]')


def write_result(rows: pl.LazyFrame, table: Table, path: Path) -> None:
    """The cleaned table as CSV, in the form in which it was uploaded: it could be uploaded again."""
    dates = [
        written_day(name, column.date_format).alias(name)
        for name, column in table.columns.items()
        if column.type == "date"
    ]
    rows.select([*table.columns]).with_columns(dates).sink_csv(path, quote_style=_quote_style(table))


def write_shared(rows: pl.LazyFrame, table: Table, folder: Path) -> dict[str, Path]:
    """As parquet and as CSV, in one pass. Codes and months are text in both."""
    paths = {form: folder / f"{table.name}.{form}" for form in ("parquet", "csv")}
    schema = rows.collect_schema()
    dates = [written_day(name, "YYYY-MM-DD").alias(name) for name, kind in schema.items() if kind == pl.Date]
    parquet = rows.sink_parquet(
        paths["parquet"],
        # Pseudonyms cannot be made much smaller, whatever the effort.
        compression="zstd",
        compression_level=1,
        # Who reads a part reads all of it.
        statistics=False,
        metadata=described_as_text(schema),
        lazy=True,
    )
    csv = rows.with_columns(dates).sink_csv(paths["csv"], quote_style=_quote_style(table), lazy=True)
    pl.collect_all([parquet, csv], engine="streaming")
    return paths


def _quote_style(table: Table) -> Literal["necessary", "never"]:
    """To look for what needs quotation marks in every cell takes a third of the time: only where some may need them."""
    is_free = any(column.pattern == "free" for column in table.columns.values())
    words = [*table.columns, *(code for column in table.columns.values() for code in column.codes)]
    return "necessary" if is_free or any(_NEEDS_QUOTES.search(word) for word in words) else "never"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def labelled(errors: pl.LazyFrame, table: str) -> pl.LazyFrame:
    return errors.with_columns(pl.lit(table).alias(TABLE)).select(FINDING_SCHEMA.names())


def findings_csv(findings: Iterable[Finding]) -> bytes:
    frame = pl.DataFrame([(*finding, None) for finding in findings], schema=FINDING_SCHEMA, orient="row")
    return frame.write_csv().encode()


class Errors(NamedTuple):
    """`by_rule`: how often which rule was broken in which column, with the first rows and how to mend them."""

    total: int = 0
    shown: Sequence[Mapping[str, Any]] = ()
    by_rule: Sequence[Mapping[str, Any]] = ()


def errors_of(errors: pl.LazyFrame) -> Errors:
    """Of a frame with FINDING_SCHEMA, of any length: it is counted a part at a time, for the rows of a group would be
    collected in memory before the first are taken."""
    parts = chain([pl.DataFrame(schema=FINDING_SCHEMA)], errors.collect_batches())
    first_rows = pl.col(ROW).drop_nulls().head(ROWS_NAMED).alias("rows")
    of_parts = [part.group_by(_RULE, maintain_order=True).agg(pl.len().alias("count"), first_rows) for part in parts]
    first_of_all = pl.col("rows").explode().drop_nulls().head(ROWS_NAMED)
    by_rule = pl.concat(of_parts).group_by(_RULE, maintain_order=True).agg(pl.col("count").sum(), first_of_all)
    shown = errors.head(ERRORS_SHOWN).collect()
    return Errors(
        int(by_rule["count"].sum()),
        shown.to_dicts(),
        by_rule.sort("count", descending=True, maintain_order=True).to_dicts(),
    )


def errors_of_findings(findings: Sequence[Finding]) -> Errors:
    frame = pl.LazyFrame([(*finding, None) for finding in findings], schema=FINDING_SCHEMA, orient="row")
    return errors_of(frame)


class Rows(NamedTuple):
    read: int = 0
    written: int = 0
    shared: int = 0


class Report(NamedTuple):
    """What the uploader is told, and what is decided from later. `tables` maps a table to its counts of rows."""

    submission: Submission
    version_id: str
    state: str
    finished_at: datetime
    sha256: str | None
    uploaded_at: str | None
    table: str | None = None
    rows: Rows = Rows()
    tables: Mapping[str, Rows] = {}
    errors: Errors = Errors()
    notices: Sequence[Mapping[str, Any]] = ()
    checks: Sequence[Mapping[str, Any]] = ()
    shared: Sequence[Mapping[str, Any]] = ()
    schema_version: int | None = None
    duplicate_of: str | None = None
    withdrawn: Mapping[str, Any] | None = None


def report_json(report: Report) -> bytes:
    identity = report.submission
    document: dict[str, Any] = {
        "submission": identity.submission,
        "dataset": identity.dataset,
        "year": identity.year,
        "table": report.table,
        "state": report.state,
        "version_id": report.version_id,
        "sha256": report.sha256,
        "uploaded_at": report.uploaded_at or in_utc(report.finished_at),
        "finished_at": in_utc(report.finished_at),
        "rows": report.rows._asdict(),
        "tables": {table: {"rows": rows._asdict()} for table, rows in report.tables.items()},
        "errors": {"total": report.errors.total, "by_rule": report.errors.by_rule, "shown": report.errors.shown},
        "notices": report.notices,
        "checks": report.checks,
        "shared": report.shared,
        "schema_version": report.schema_version,
        "code_version": code_version(),
        **({"duplicate_of": report.duplicate_of} if report.duplicate_of else {}),
        **({"withdrawn": report.withdrawn} if report.withdrawn else {}),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()
