# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline against a slow and plain implementation of the same rules, cell by cell."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest
import reference
from generated import good_rows, table_of_rows
from localgov_pipeline.lib.checks import check
from localgov_pipeline.lib.cleaning import ROW, Cleaned, clean
from localgov_pipeline.lib.declarations import Dataset, Table, declared, declared_years, document_of
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.sharing import shared_table
from reference import Cell

KEYS = Keys(b"a key that is used by tests, and by nobody else")


def declaration(dataset: str) -> dict[str, Any]:
    from localgov_pipeline.lib import declarations

    file = declarations.DATASETS / f"{dataset}.yaml"
    return document_of(file.read_text(encoding="utf-8"), file.name)


def as_read(rows: list[tuple[int, dict[str, Cell]]], table: Table) -> pl.LazyFrame:
    return pl.LazyFrame(
        {ROW: [row for row, _ in rows], **{column: [cells[column] for _, cells in rows] for column in table.columns}},
        schema={ROW: pl.UInt32, **dict.fromkeys(table.columns, pl.String)},
    )


@pytest.mark.parametrize("files", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_what_is_cleaned_and_shared_of_many_files_is_what_a_plain_implementation_makes_of_them(files: int) -> None:
    chance = random.Random(903)  # noqa: S311  # the same files each time
    documents = {name: declaration(name) for name in ("ssda903", "school_places")}
    seen: set[tuple[str, str]] = set()
    for number in range(files):
        name = chance.choice(["ssda903", "ssda903", "ssda903", "school_places"])
        year = chance.choice(declared_years(name))
        dataset = declared(name, year)
        table = dataset.tables[chance.choice([*dataset.tables])]
        profile = chance.choice([*dataset.profiles])
        rows = table_of_rows(chance, documents[name], table.name, year)
        wanted = reference.expected(rows, documents[name], table.name, year, profile, KEYS.own)

        outcome = clean(as_read(rows, table), table)
        kept, errors, shared = pl.collect_all(
            [outcome.rows, outcome.errors, shared_table(outcome.rows, table, profile, KEYS)]
        )

        place = f"file {number}: {name} {year} {table.name} {profile}"
        assert [(row.pop(ROW), row) for row in kept.to_dicts()] == wanted.rows, place
        assert errors.select(ROW, "column", "rule").rows() == wanted.faults, place
        assert shared.to_dicts() == wanted.shared, place
        seen.add((name, table.name))
    assert len(seen) == 12, "not every table was tried"


def taken_for_another_year(cleaned: Cleaned, table: Table, dataset: Dataset) -> list[str]:
    """The reasons, if it is."""
    outcomes = check({table.name: cleaned.rows}, dataset, None, {}, errors={table.name: cleaned.errors})
    (found,) = (outcome for outcome in outcomes if outcome.name == "of_the_year_that_was_chosen")
    return found.findings["reason"].to_list()


def test_no_good_file_of_any_year_is_taken_for_one_of_another() -> None:
    """Every code and every date that a year allows, in files of a few rows, in which chance could do most."""
    chance = random.Random(2026)  # noqa: S311  # the same files each time
    document = declaration("ssda903")
    for year in declared_years("ssda903"):
        dataset = declared("ssda903", year)
        for table in dataset.tables.values():
            for _ in range(5):
                good = clean(as_read(good_rows(chance, document, table.name, year), table), table)
                assert good.errors.collect().is_empty()
                assert taken_for_another_year(good, table, dataset) == []


def test_no_file_of_the_reference_is_taken_for_one_of_another_year() -> None:
    chance = random.Random(903)  # noqa: S311  # the same files each time
    document = declaration("ssda903")
    for _ in range(200):
        dataset = declared("ssda903", chance.choice(declared_years("ssda903")))
        table = dataset.tables[chance.choice([*dataset.tables])]
        read = as_read(table_of_rows(chance, document, table.name, dataset.year), table)
        assert taken_for_another_year(clean(read, table), table, dataset) == []
