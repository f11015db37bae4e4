# SPDX-License-Identifier: GPL-3.0-or-later
"""What the regional summary shows, and what nobody can work out of it with the numbers that stand beside it; and the
columns that a table has over all years."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localgov_pipeline.lib.all_years import columns_of_all_years
from localgov_pipeline.lib.cleaning import cleaned_schema
from localgov_pipeline.lib.concatenation import numbers_hidden, of_all_years, summary, unreadable
from localgov_pipeline.lib.declarations import declared, declared_datasets, declared_years
from localgov_pipeline.lib.outputs import write_shared
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.sharing import shared_table


def worked_out(numbers: list[int], hidden: int) -> bool:
    """Whether a small number follows from what is shown, by trying every way to fill in what is hidden."""
    small = sum(number < 5 for number in numbers)
    total = sum(numbers[:hidden])
    most = numbers[hidden] if hidden < len(numbers) else total
    ways = product(*[range(1, 5)] * small, *[range(5, most + 1)] * (hidden - small))
    fitting = [way for way in ways if sum(way) == total]
    assert tuple(numbers[:hidden]) in fitting
    return any(len({way[place] for way in fitting}) == 1 for place in range(small))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 11), min_size=1, max_size=5).map(sorted))
def test_no_small_number_follows_from_what_is_shown_and_no_more_is_hidden_than_that_takes(numbers: list[int]) -> None:
    hidden = numbers_hidden(numbers)
    small = sum(number < 5 for number in numbers)
    if not small:
        assert hidden == 0
        return
    if hidden is not None:
        assert not worked_out(numbers, hidden)
    least = len(numbers) + 1 if hidden is None else hidden
    assert all(worked_out(numbers, fewer) for fewer in range(small, least))


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({"F": 9, "M": 6, "U": 1}, {"F": "9", "M": "*", "U": "<5"}),
        ({"F": 3, "M": 2, "U": 9}, {"F": "<5", "M": "<5", "U": "9"}),
        # One and one are two, and nothing else is.
        ({"F": 1, "M": 1, "U": 9}, {"F": "<5", "M": "<5", "U": "*"}),
        ({"F": 1, "M": 1}, {}),
    ],
)
def test_as_much_is_hidden_as_keeps_small_numbers_from_being_worked_out(
    numbers: dict[str, int], shown: dict[str, str]
) -> None:
    codes = [code for code, number in numbers.items() for _ in range(number)]
    rows = pl.LazyFrame({"local_authority": ["alphaton"] * len(codes), "SEX": codes})
    counts = summary(rows, "header", ["SEX"])
    assert dict(counts.select("code", "count").rows()) == shown


SHARED = pl.DataFrame({"SEX": ["M", None], "DECOM": [date(2026, 4, 1), None], "YEAR": [2026, None], "NEW": [None] * 2})


@pytest.mark.parametrize("rows", [SHARED, SHARED.clear()])
def test_a_part_with_all_types_that_are_shared_is_taken_over(rows: pl.DataFrame, tmp_path: Path) -> None:
    rows.write_parquet(tmp_path / "part.parquet")
    assert unreadable(tmp_path / "part.parquet", SHARED.columns, len(rows)) is None


@pytest.mark.parametrize(
    "cells",
    [[["M"]], [{"code": "M"}], [b"M"], [1.5], [True], [datetime(2026, 4, 1, tzinfo=UTC)]],
    ids=["list", "struct", "binary", "float", "boolean", "moment"],
)
def test_a_part_with_a_type_that_is_never_shared_is_left_out(cells: list[object], tmp_path: Path) -> None:
    pl.DataFrame({"SEX": cells}).write_parquet(tmp_path / "part.parquet")
    assert unreadable(tmp_path / "part.parquet", ["SEX"], 1) == "a file has 1 columns of types that are never shared"


def test_a_part_with_a_date_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    last = pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date)
    pl.DataFrame({"DECOM": last}).write_parquet(tmp_path / "part.parquet")
    assert unreadable(tmp_path / "part.parquet", ["DECOM"], 1) == "a file is not readable as parquet"


def test_a_part_with_another_number_of_rows_than_its_manifest_says_is_left_out(tmp_path: Path) -> None:
    SHARED.write_parquet(tmp_path / "part.parquet")
    assert unreadable(tmp_path / "part.parquet", SHARED.columns, 3) == "a file has 2 rows, and its manifest says 3"


def test_every_year_is_written_with_the_same_columns_of_the_same_types(tmp_path: Path) -> None:
    columns = {"DECOM": "date", "PLACE": "text", "AGE": "integer", "NEW": "date"}
    given = {"local_authority": "camden", "submission": "a", "AGE": 7}
    of_one = pl.DataFrame({**given, "DECOM": [date(2026, 4, 1)], "PLACE": ["U1"]})
    of_other_releases = pl.DataFrame({**given, "DECOM": ["2026-04-01"], "PLACE": [5]})
    written = []
    for number, frame in enumerate((of_one, of_other_releases)):
        frame.write_parquet(tmp_path / "combined.parquet")
        path = tmp_path / f"{number}.parquet"
        assert of_all_years(tmp_path / "combined.parquet", 2026, columns, path) == {}
        written.append(pl.read_parquet(path))

    assert written[0].schema == written[1].schema
    assert written[0].columns == ["local_authority", "year", "submission", *columns]
    assert [frame["DECOM"].item() for frame in written] == [date(2026, 4, 1)] * 2
    assert written[1]["PLACE"].item() == "5"


def test_a_cell_that_is_not_of_the_declared_type_is_counted(tmp_path: Path) -> None:
    rows = pl.DataFrame({"local_authority": "camden", "submission": "a", "DECOM": ["2026-04-01", "spring", None]})
    rows.write_parquet(tmp_path / "combined.parquet")
    path = tmp_path / "2026.parquet"

    assert of_all_years(tmp_path / "combined.parquet", 2026, {"DECOM": "date"}, path) == {"DECOM": 1}
    assert pl.read_parquet(path)["DECOM"].to_list() == [date(2026, 4, 1), None, None]


@pytest.mark.parametrize("dataset", declared_datasets())
def test_the_columns_of_all_years_hold_what_is_shared_in_each(dataset: str) -> None:
    for year in declared_years(dataset):
        for name, table in declared(dataset, year).tables.items():
            for profile in table.profiles:
                assert set(table.shareable(profile)) <= set(columns_of_all_years(dataset, profile, name))


def test_the_types_of_all_years_are_those_that_are_shared(tmp_path: Path) -> None:
    """As they are written, for every form that there is."""
    keys = Keys(b"a key that is used by tests, and by nobody else")
    types = {"text": pl.String(), "date": pl.Date()}
    for name, table in declared("ssda903", 2026).tables.items():
        if not table.shareable("regional"):
            continue
        empty = pl.LazyFrame(schema=cleaned_schema(table))
        paths = write_shared(shared_table(empty, table, "regional", keys), table, tmp_path)
        shared = pl.read_parquet_schema(paths["parquet"])
        held = columns_of_all_years("ssda903", "regional", name)
        for column, of_column in shared.items():
            wanted = pl.Int64() if held[column] == "integer" else types[held[column]]
            assert of_column == wanted or (held[column] == "integer" and of_column.is_integer()), column
