# SPDX-License-Identifier: GPL-3.0-or-later
"""The example for newcomers: a declaration and sample files, and no line of code that knows them."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import polars as pl
from buckets import SAMPLES
from localgov_pipeline.lib.checks import check
from localgov_pipeline.lib.cleaning import clean
from localgov_pipeline.lib.declarations import declared
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.sharing import shared_table

DATASET = declared("school_places", 2026)
TABLE = DATASET.tables["schools"]
SOURCE = Path(__file__).parent.parent / "src"


def cleaned(sample: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    with (SAMPLES / sample).open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    cells = {name: [record[name] or None for record in records] for name in TABLE.columns}
    schema = {"row": pl.UInt32, **dict.fromkeys(TABLE.columns, pl.String)}
    rows, errors = pl.collect_all(clean(pl.LazyFrame({"row": range(2, len(records) + 2), **cells}, schema), TABLE))
    return rows, errors


def test_the_example_is_cleaned_checked_and_shared_by_its_declaration() -> None:
    rows, errors = cleaned("school_places.csv")
    assert errors.is_empty()
    assert [outcome.passed for outcome in check({"schools": rows.lazy()}, DATASET, {"schools": 3}, {})] == [True, True]
    keys = Keys(b"a key that is used by tests, and by nobody else")
    shared = {profile: shared_table(rows.lazy(), TABLE, profile, keys).collect() for profile in DATASET.profiles}
    assert shared["regional"].rows() == [
        (100001, "1974-09", "ZZ99 3", "C", 420, 398),
        (100002, "2018-09", "ZZ99 3", "A", 210, None),
        (100003, "1998-01", "ZZ99 3", "V", 90, 90),
    ]
    assert shared["public"].rows() == [(1974, "C", 420, 398), (2018, "A", 210, None), (1998, "V", 90, 90)]


def test_each_bad_cell_of_the_example_is_listed_and_the_row_without_a_key_is_left_out() -> None:
    rows, errors = cleaned("school_places_with_errors.csv")
    assert rows["row"].to_list() == [2, 3]
    assert errors.select("row", "column", "rule").rows() == [
        (2, "NAME", "text"),
        (2, "OPENED", "date"),
        (2, "POSTCODE", "postcode"),
        (3, "KIND", "code"),
        (3, "PLACES", "integer"),
        (3, "TAKEN", "integer"),
        (4, "SCHOOL", "mandatory"),
    ]


def test_no_code_names_the_example() -> None:
    found = subprocess.run(["grep", "-rl", "school_places", "--include=*.py", SOURCE], capture_output=True, check=False)
    assert found.stdout == b""
