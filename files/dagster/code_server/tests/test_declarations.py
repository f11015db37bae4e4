# SPDX-License-Identifier: GPL-3.0-or-later
"""Declarations of datasets: what is declared for each year, and what is said to who writes one wrongly."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from localgov_pipeline.lib.declaration_errors import DeclarationError
from localgov_pipeline.lib.declarations import (
    UnknownDatasetError,
    dataset_for_year,
    declared,
    declared_datasets,
    declared_years,
    document_of,
    every_year,
)

PLAIN = """
dataset: libraries
title: Libraries
schema_version: 1
format: csv
first_year: 2024
last_year: 2026
retention: {workspace: 30, results: 365, shared: 365}
profiles:
  regional: {title: For the organisation}
  public: {title: For anybody}
checks:
  once: {check: unique, title: Once, severity: error, table: libraries, columns: [NAME]}
tables:
  libraries:
    title: Every library
    key: [NAME]
    columns:
      NAME: {type: text, pattern: alphanumeric, mandatory: true, share: never}
      KIND: {type: code, codes: [A, B], mandatory: true, share: {regional: unchanged, public: never}}
      OPENED: {type: date, mandatory: false, share: month}
      VISITS: {type: integer, mandatory: false, share: never}
"""


def changed(*path: str, to: object = None) -> dict[str, Any]:
    """The plain declaration with one thing changed; without `to` it is taken out."""
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(PLAIN))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return document


def column(name: str, **rules: object) -> dict[str, Any]:
    old = yaml.safe_load(PLAIN)["tables"]["libraries"]["columns"][name]
    return changed("tables", "libraries", "columns", name, to={**old, **rules})


def problems(document: dict[str, Any]) -> str:
    with pytest.raises(DeclarationError) as caught:
        list(every_year(document, "libraries.yaml"))
    return str(caught.value)


@pytest.mark.parametrize("dataset", declared_datasets())
def test_every_declaration_is_right_in_every_year(dataset: str) -> None:
    for year in declared_years(dataset):
        assert declared(dataset, year).tables


def test_all_tables_of_ssda903_are_declared_for_all_years() -> None:
    assert declared_years("ssda903") == range(2017, 2027)
    always = {
        "header", "episodes", "uasc", "ad1", "placed_adoption", "prev_perm", "reviews", "missing", "oc2", "oc3",
    }  # fmt: skip
    for year in range(2017, 2027):
        assert set(declared("ssda903", year).tables) == always | ({"social_worker"} if year >= 2024 else set())


@pytest.mark.parametrize(
    ("year", "table", "column", "holds", "holds_not"),
    [
        (2018, "episodes", "REC", "E43", "E45"),
        (2019, "episodes", "REC", "E45", "E43"),
        (2018, "episodes", "REASON_PLACE_CHANGE", "OTHER", "CUSTOD"),
        (2026, "episodes", "REASON_PLACE_CHANGE", "CUSTOD", "CUSTODY"),
        (2021, "oc3", "ACTIV", "F3", "F4"),
        (2022, "oc3", "ACTIV", "F4", "F3"),
        (2024, "episodes", "PLACE", "K2", "K3"),
        (2025, "episodes", "PLACE", "K3", "Z11"),
        (2026, "episodes", "PLACE", "Z14", "H5"),
        (2024, "uasc", "SEX", "1", "M"),
        (2025, "uasc", "SEX", "M", "1"),
        (2017, "oc3", "IN_TOUCH", "NO", "False"),
    ],
)
def test_codes_are_those_of_their_year(year: int, table: str, column: str, holds: str, holds_not: str) -> None:
    codes = declared("ssda903", year).tables[table].columns[column].codes
    assert holds in codes
    assert holds_not not in codes


def test_a_code_of_other_years_is_known_with_its_years() -> None:
    changes = {2025: {"codes": ["A", "C"]}, 2026: {"codes": ["B", "C"]}}
    years = {dataset.year: dataset for dataset in every_year(column("KIND", changes=changes))}
    others = {year: dataset.tables["libraries"].columns["KIND"].other_codes for year, dataset in years.items()}
    assert others == {2024: {"C": (2025, 2026)}, 2025: {"B": (2024, 2026)}, 2026: {"A": (2024, 2025)}}


@pytest.mark.parametrize(("dataset", "year"), [("ssda903", 2016), ("ssda903", 2027), ("unheard_of", 2026)])
def test_a_year_or_dataset_without_rules_is_named(dataset: str, year: int) -> None:
    with pytest.raises(UnknownDatasetError, match=dataset):
        declared(dataset, year)


def test_a_table_and_a_column_are_there_in_their_years_only() -> None:
    document = changed("tables", "events", to={**yaml.safe_load(PLAIN)["tables"]["libraries"], "first_year": 2025})
    document["tables"]["libraries"]["columns"]["VISITS"]["last_year"] = 2024
    document["checks"]["events_once"] = {**document["checks"]["once"], "table": "events"}
    years = {dataset.year: dataset for dataset in every_year(document)}
    assert [*years[2024].tables] == ["libraries"]
    assert [*years[2025].tables] == ["libraries", "events"]
    assert "VISITS" in years[2024].tables["libraries"].columns
    assert "VISITS" not in years[2025].tables["libraries"].columns
    assert "events_once" not in years[2024].checks
    assert "events_once" in years[2025].checks


def test_one_word_is_for_all_profiles_and_a_mapping_for_each() -> None:
    columns = dataset_for_year(yaml.safe_load(PLAIN), 2026).tables["libraries"].columns
    assert columns["OPENED"].share == {"regional": "month", "public": "month"}
    assert columns["KIND"].share == {"regional": "unchanged", "public": "never"}


@pytest.mark.parametrize(
    ("document", "place", "expected"),
    [
        (changed("title"), "`title` is missing", "plain English"),
        (changed("first_year"), "`first_year`", "2026"),
        (changed("schema_version", to=0), "`schema_version`", "a number"),
        (changed("colour", to="red"), "`colour`", "not known here"),
        (changed("retention", "shared"), "retention: `shared` is missing", "days"),
        (changed("tables", "libraries", "key"), "table libraries: `key` is missing", "list of the columns"),
        (changed("tables", "libraries", "key", to=["ID"]), "table libraries", "names ID"),
        (changed("tables", "libraries", "columns", "KIND", "share"), "column KIND: `share` is missing", "or a mapping"),
        (column("KIND", changes={"since": {"codes": ["A"]}}), "column KIND: `changes`", "years"),
        (column("KIND", type="colour"), "table libraries, column KIND: `type`", "text, date, code or integer"),
        (column("KIND", mandatory="perhaps"), "column KIND: `mandatory`", "true or false"),
        (column("KIND", codes=[True, "B"]), "column KIND", "quotation marks"),
        (column("KIND", codes=[]), "column KIND", "`codes`"),
        (column("KIND", share="month"), "column KIND", "never or unchanged"),
        (column("KIND", share="nver"), "column KIND: `share`", "unchanged, month, year"),
        (column("KIND", share={"regional": "unchanged"}), "column KIND", "every profile"),
        (column("NAME", share="unchanged"), "column NAME", "only be never"),
        (column("NAME", identifier=True, share="unchanged"), "column NAME", "never or pseudonym"),
        (column("NAME", identifier=True, share="pseudonym"), "column NAME", "entity: child"),
        (column("NAME", pattern="free", share="unchanged"), "column NAME", "only be never"),
        (column("NAME", pattern="free", identifier=True, share="pseudonym", entity="library"), "NAME", "only be never"),
        (column("NAME", pattern="postcode", share="unchanged"), "column NAME", "never or sector"),
        (column("VISITS", share="unchanged"), "column VISITS", "only be never"),
        (column("VISITS", share="unchanged", minimum=0, maximum=10**8), "column VISITS", "`widest_shared_range`"),
        (column("VISITS", maximum=10**18), "column VISITS: `maximum`", "at most 18 digits"),
        (column("VISITS", maximum=-(10**18)), "column VISITS: `maximum`", "at most 18 digits"),
        (column("VISITS", minimum=10**18), "column VISITS: `minimum`", "at most 18 digits"),
        (column("VISITS", minimum=-(10**18)), "column VISITS: `minimum`", "at most 18 digits"),
        (column("VISITS", minimum=6, maximum=5), "column VISITS", "`minimum` 6 is above its `maximum` 5"),
        (changed("widest_shared_range", to=0), "`widest_shared_range`", "1000000 if not given"),
        (column("OPENED", share="sector"), "column OPENED", "unchanged or month or year"),
        (column("KIND", changes={2025: {"codes": ["A"], "type": "text"}}), "column KIND", "`pattern`"),
        (column("KIND", within_year=True), "column KIND", "only a date"),
        (changed("year_ends", to="31 March"), "`year_ends`", "03-31"),
        (changed("checks", "once", "check", to="twice"), "check once: `check`", "unique, refers"),
        (changed("checks", "once", "columns", to=["ID"]), "check once", "no column ID"),
        (changed("checks", "once", "table", to="shops"), "check once", "no table shops"),
        (changed("checks", "once", "columns"), "check once", "table, columns"),
    ],
)
def test_an_error_names_file_table_column_and_the_expected_form(
    document: dict[str, Any], place: str, expected: str
) -> None:
    said = problems(document)
    assert said.startswith("libraries.yaml: ")
    assert place in said
    assert expected in said


def test_a_number_is_shared_as_far_apart_as_a_million_or_as_the_dataset_declares() -> None:
    counted = column("VISITS", share="unchanged", minimum=0, maximum=1_000_000)
    assert dataset_for_year(counted, 2026).widest_shared_range == 1_000_000
    counted = column("VISITS", share="unchanged", minimum=0, maximum=1_000_001)
    assert "are 1000001 apart" in problems(counted)
    assert dataset_for_year({**counted, "widest_shared_range": 1_000_001}, 2026)


def test_all_problems_are_named_at_once() -> None:
    document = column("KIND", type="colour")
    del document["title"]
    assert len(problems(document).splitlines()) == 2


def test_a_declaration_that_is_no_yaml_is_said_to_be_none() -> None:
    with pytest.raises(DeclarationError, match=r"libraries.yaml: It is not YAML: .* line 2"):
        document_of("dataset: libraries\n  title: [", "libraries.yaml")
