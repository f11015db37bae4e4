# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of regional tables: the rows of all local authorities, each with where it comes from, and a summary."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import polars as pl

from localgov_pipeline.lib.declarations import Table, UnknownDatasetError, declared
from localgov_pipeline.lib.manifests import ManifestName

LOCAL_AUTHORITY = "local_authority"
SUBMISSION = "submission"
SMALL = "<5"
# What could be worked out from the other numbers and the number of rows takes more of them with it.
ALSO_HIDDEN = "*"
_SMALLEST_SHOWN = 5
SUMMARY_SCHEMA = pl.Schema(dict.fromkeys(("table", "column", "code", LOCAL_AUTHORITY, "count"), pl.String))


def declared_table(group: ManifestName, table: str) -> Table | None:
    try:
        return declared(group.dataset, group.year).tables.get(table)
    except UnknownDatasetError:
        return None


def shareable_columns(group: ManifestName, table: str) -> list[str]:
    """As declared for the profile; a table that is not declared has none."""
    found = declared_table(group, table)
    return [] if found is None else found.shareable(group.profile)


def unreadable(path: Path, allowed: Sequence[str]) -> str | None:
    """Why a part is left out. A column that may not be shared is never taken over."""
    try:
        columns = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, OSError):
        return "a file is not readable as parquet"
    if unexpected := set(columns) - set(allowed):
        return f"a file has {len(unexpected)} columns that are not declared as shareable"
    return None


def combined(
    before: Path | None, replaced: Collection[str], parts: Mapping[str, tuple[str, Path]], columns: Sequence[str]
) -> pl.LazyFrame:
    """All rows with the local authority and the submission that they come from, in declared column order.

    `before` is the combined table as it was, of which the rows of the authorities `replaced` are left out. `parts` maps
    an authority to its submission and file.
    """
    frames = [] if before is None else [pl.scan_parquet(before).filter(~pl.col(LOCAL_AUTHORITY).is_in([*replaced]))]
    for name, (submission, path) in parts.items():
        labels = {LOCAL_AUTHORITY: pl.lit(name), SUBMISSION: pl.lit(submission)}
        frames.append(pl.scan_parquet(path).with_columns(**labels))
    names = [LOCAL_AUTHORITY, SUBMISSION, *columns]
    rows = pl.concat([_empty(names, frames), *_alike(frames)], how="diagonal_relaxed")
    return rows.select(names).sort(LOCAL_AUTHORITY, maintain_order=True)


def as_csv(parquet: Path, csv: Path) -> None:
    pl.scan_parquet(parquet).sink_csv(csv)


def _empty(names: Sequence[str], frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    known = {name: pl.Null for name in names} if frames else dict.fromkeys(names, pl.String)
    return pl.LazyFrame(schema=known)


def _alike(frames: Sequence[pl.LazyFrame]) -> list[pl.LazyFrame]:
    """Authorities may run different releases: a column that is not of one type everywhere becomes text."""
    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, of_column in frame.collect_schema().items():
            types.setdefault(name, set()).add(of_column)
    mixed = [name for name, found in types.items() if len(found - {pl.Null()}) > 1]
    return [frame.with_columns(pl.col(name).cast(pl.String) for name in _present(frame, mixed)) for frame in frames]


def _present(frame: pl.LazyFrame, names: Collection[str]) -> list[str]:
    return [name for name in frame.collect_schema().names() if name in names]


def summary(rows: pl.LazyFrame, table: str, code_columns: Sequence[str]) -> pl.DataFrame:
    """How often each code comes from each local authority. No totals: with them, what is hidden could be worked out."""
    counted = [_counts(rows, table, column) for column in code_columns]
    return pl.concat([pl.DataFrame(schema=SUMMARY_SCHEMA), *counted])


def _counts(rows: pl.LazyFrame, table: str, column: str) -> pl.DataFrame:
    code = pl.col(column).cast(pl.String).fill_null("")
    counts = rows.group_by(LOCAL_AUTHORITY, code.alias("code")).len("number").collect()
    parts = [_shown(part) for part in counts.sort("number", "code").partition_by(LOCAL_AUTHORITY)]
    labelled = [part.select(pl.lit(table).alias("table"), pl.lit(column).alias("column"), pl.all()) for part in parts]
    return pl.concat([pl.DataFrame(schema=SUMMARY_SCHEMA), *labelled]).sort("code", LOCAL_AUTHORITY)


def _shown(part: pl.DataFrame) -> pl.DataFrame:
    """One authority's counts of a column, smallest first, as they may be seen. It is left out as a whole where nothing
    less would keep its small numbers from being worked out."""
    hidden = numbers_hidden(part["number"].to_list())
    if hidden is None:
        return part.clear().select("code", LOCAL_AUTHORITY, pl.col("number").cast(pl.String).alias("count"))
    is_small, is_hidden = pl.col("number") < _SMALLEST_SHOWN, pl.int_range(pl.len()) < hidden
    mark = pl.when(is_small).then(pl.lit(SMALL)).when(is_hidden).then(pl.lit(ALSO_HIDDEN))
    return part.select("code", LOCAL_AUTHORITY, mark.otherwise(pl.col("number").cast(pl.String)).alias("count"))


def numbers_hidden(numbers: Sequence[int]) -> int | None:
    """How many of the numbers, smallest first, are hidden: the small ones, and as many more as it takes for no small
    one to follow from the sum of all, which stands beside them. None where all together would not do."""
    small = sum(number < _SMALLEST_SHOWN for number in numbers)
    if not small:
        return 0
    for hidden in range(small, len(numbers) + 1):
        total = sum(numbers[:hidden])
        next_shown = numbers[hidden] if hidden < len(numbers) else total
        if _is_open(total, small, hidden - small, next_shown):
            return hidden
    return None


def _is_open(total: int, small: int, others: int, most: int) -> bool:
    """Whether each of the small numbers could be another, for all who know the sum of these and of the other hidden
    ones, which are large and at the most as large as the next that is shown."""
    largest_small = _SMALLEST_SHOWN - 1
    at_least = max(1, total - largest_small * (small - 1) - most * others)
    at_most = min(largest_small, total - (small - 1) - _SMALLEST_SHOWN * others)
    return at_least < at_most


def code_columns(group: ManifestName, table: str) -> list[str]:
    found = declared_table(group, table)
    allowed = shareable_columns(group, table)
    return [] if found is None else [name for name in allowed if found.columns[name].type == "code"]


def summary_csv(before: bytes | None, tables: Mapping[str, pl.DataFrame]) -> bytes:
    """The summary of all tables, of which those of `tables` are new."""
    kept = pl.DataFrame(schema=SUMMARY_SCHEMA)
    if before is not None:
        kept = pl.read_csv(before, infer_schema=False).fill_null("")
    others = kept.filter(~pl.col("table").is_in([*tables]))
    merged = pl.concat([others, *tables.values()]).sort("table", maintain_order=True)
    return merged.write_csv().encode()
