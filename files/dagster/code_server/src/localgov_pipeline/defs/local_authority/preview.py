# SPDX-License-Identifier: GPL-3.0-or-later
"""What Dagster's pages show of tables and checks: kinds and counts, never a cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from localgov_pipeline.defs.local_authority.submission import SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.lib.declarations import declared

_COLUMNS = dg.TableSchema(
    [dg.TableColumn(name, "int" if name == "filled" else "string") for name in ("table", "column", "holds", "filled")]
)
_CHECKS = dg.TableSchema(
    [dg.TableColumn(name, "int" if name == "findings" else "string") for name in ("check", "result", "findings")]
)
_FAILED = {"error": "failed", "warning": "warning"}


def columns(tables: Iterable[str], submission: SubmissionResource, scratch: Scratch) -> dg.TableMetadataValue:
    """Each column with what it holds, and in how many of the cleaned rows it holds something."""
    import polars as pl

    dataset = declared(submission.dataset, submission.year)
    records = []
    for name in tables:
        rules = dataset.tables[name].columns
        rows = pl.scan_parquet(scratch.folder("cleaned") / f"{name}.parquet")
        filled = rows.select(pl.col([*rules]).count()).collect(engine="streaming").row(0, named=True)
        records += [
            dg.TableRecord({"table": name, "column": column, "holds": rule.type, "filled": filled[column]})
            for column, rule in rules.items()
        ]
    return dg.MetadataValue.table(records, _COLUMNS)


def checks(entries: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """As the report has them."""
    records = [
        dg.TableRecord(
            {
                "check": entry["title"],
                "result": _result(entry),
                "findings": entry["findings"],
            }
        )
        for entry in entries
    ]
    return dg.MetadataValue.table(records, _CHECKS)


def _result(entry: Mapping[str, Any]) -> str:
    if not entry["made"]:
        return "not made"
    return "passed" if entry["passed"] else _FAILED[entry["severity"]]
