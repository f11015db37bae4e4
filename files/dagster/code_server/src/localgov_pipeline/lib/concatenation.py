# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a regional table: the rows of all local authorities, and the manifest that accounts for them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl

from localgov_pipeline.lib.declarations import UnknownDatasetError, declared
from localgov_pipeline.lib.regional import RegionalTable

LOCAL_AUTHORITY = "local_authority"


class Skipped(NamedTuple):
    local_authority: str
    reason: str


def shareable_columns(table: RegionalTable) -> list[str]:
    """As declared; a table that is not declared has none."""
    try:
        tables = declared(table.dataset, table.year).tables
    except UnknownDatasetError:
        return []
    return tables[table.table].shareable("regional") if table.table in tables else []


def readable(content: bytes, allowed: Sequence[str]) -> pl.DataFrame | str:
    """One shared file as text cells, or why it is left out. A column that may not be shared is never taken over."""
    try:
        frame = pl.read_csv(io.BytesIO(content), infer_schema=False)
    except pl.exceptions.PolarsError:
        return "a file is not readable as CSV"
    if unexpected := set(frame.columns) - set(allowed):
        return f"a file has {len(unexpected)} columns that are not declared as shareable"
    return frame


def concatenated(frames: Sequence[tuple[str, pl.DataFrame]], columns: Sequence[str]) -> pl.DataFrame:
    """All rows, each with the local authority that it comes from, in declared column order."""
    schema = {LOCAL_AUTHORITY: pl.String, **dict.fromkeys(columns, pl.String)}
    labelled = (frame.with_columns(pl.lit(name).alias(LOCAL_AUTHORITY)) for name, frame in frames)
    return pl.concat([pl.DataFrame(schema=schema), *labelled], how="diagonal").select([*schema])


def manifest_json(
    table: RegionalTable,
    mark: str,
    rows: pl.DataFrame,
    skipped: Sequence[Skipped],
    finished_at: datetime,
    retry_at: datetime | None,
) -> bytes:
    """`retry_at` is when the table is to be written again although the fingerprint `mark` may be the same by then."""
    counts = rows.group_by(LOCAL_AUTHORITY).len().sort(LOCAL_AUTHORITY).rows()
    document = {
        **table._asdict(),
        "finished_at": _in_utc(finished_at),
        "rows": dict(counts),
        "skipped": [entry._asdict() for entry in sorted(set(skipped))],
        "fingerprint": mark,
        "retry_at": None if retry_at is None else _in_utc(retry_at),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
