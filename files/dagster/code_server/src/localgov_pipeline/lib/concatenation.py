# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of regional tables: the rows of all local authorities, each with where it comes from, and a summary."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import polars as pl

from localgov_pipeline.lib.all_years import YEAR
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


def unreadable(path: Path, allowed: Sequence[str], rows: int) -> str | None:
    """Why a part of so many rows is left out. A column that may not be shared is never taken over, and a file that
    would fail in the combined tables fails here, where it stops nobody else."""
    try:
        columns = pl.read_parquet_schema(path)
        if unexpected := set(columns) - set(allowed):
            return f"a file has {len(unexpected)} columns that are not declared as shareable"
        if strange := [name for name, held in columns.items() if not _is_ever_shared(held)]:
            return f"a file has {len(strange)} columns of types that are never shared"
        found = _rows_read(path)
    # A panic of polars is no Exception.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return "a file is not readable as parquet"
    return None if found == rows else f"a file has {found} rows, and its manifest says {rows}"


def _is_ever_shared(held: pl.DataType) -> bool:
    """As `sharing` writes columns. One without any value may have no type."""
    return held in (pl.String(), pl.Date(), pl.Null()) or held.is_integer()


def _rows_read(path: Path) -> int:
    """Their number, after every cell was read and made text as for CSV, a part at a time: a footer may be sound where
    pages are not, and a date may be one that cannot be written."""
    cells = pl.all().cast(pl.String).hash().sum().name.prefix("digest of ")
    counted = pl.scan_parquet(path).select(pl.len(), cells).collect(engine="streaming")
    return int(counted["len"].item())


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


_TYPES: Mapping[str, pl.DataType] = {"text": pl.String(), "date": pl.Date(), "integer": pl.Int64()}


def of_all_years(combined: Path, year: int, columns: Mapping[str, str], path: Path) -> dict[str, int]:
    """Write the rows of a year with the columns that the table has over all years, each with what it holds: null where
    the year does not have it. Gives the columns, if any, with the number of cells that are not of its type.

    Such cells come from an authority of another release alone; they are in the table of the year as they are.
    """
    rows = pl.scan_parquet(combined)
    given = rows.collect_schema()
    typed = {name: _typed(name, given.get(name), _TYPES[held]) for name, held in columns.items()}
    labels = [pl.col(LOCAL_AUTHORITY), pl.lit(year, pl.Int16()).alias(YEAR), pl.col(SUBMISSION)]
    rows.select(*labels, **typed).sink_parquet(path)
    others = [name for name, held in columns.items() if given.get(name, _TYPES[held]) != _TYPES[held]]
    lost = [(pl.col(name).is_not_null() & typed[name].is_null()).sum().alias(name) for name in others]
    counts = rows.select(lost).collect(engine="streaming").to_dicts() if lost else [{}]
    return {name: count for name, count in counts[0].items() if count}


def _typed(name: str, given: pl.DataType | None, wanted: pl.DataType) -> pl.Expr:
    if given is None:
        return pl.lit(None, wanted)
    if given == pl.String() and wanted == pl.Date():
        return pl.col(name).str.to_date("%Y-%m-%d", strict=False)
    return pl.col(name).cast(wanted, strict=False)


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
