# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows as text that neither a terminal nor a spreadsheet takes for more than text."""

from __future__ import annotations

import csv
import io

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _tables
from hypothesis import given
from hypothesis import strategies as st

COLUMNS = {"who": "Who", "bytes": "Bytes"}


def test_columns_are_as_wide_as_they_need_and_numbers_stand_to_the_right() -> None:
    rows = [{"who": "hub/run", "bytes": 1500}, {"who": "camden/frontend-task", "bytes": 8}]
    assert _tables.aligned(rows, COLUMNS) == [
        "Who                   Bytes",
        "hub/run                1500",
        "camden/frontend-task      8",
    ]


def test_a_table_without_rows_has_its_headings() -> None:
    assert _tables.aligned([], COLUMNS) == ["Who  Bytes"]


def test_what_a_row_lacks_is_empty() -> None:
    assert _tables.aligned([{"bytes": 1}, {"who": None, "bytes": 2}], COLUMNS)[1:] == ["         1", "         2"]


def test_a_value_cannot_meddle_with_the_terminal() -> None:
    (line,) = _tables.aligned([{"who": "a\x1b[2Jb\nc\u202ed\u00e9"}], {"who": "Who"})[1:]
    assert line == r"a\x1b[2Jb\nc\u202edé"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_a_cell_that_would_be_a_formula_is_kept_from_it(text: str) -> None:
    assert _read(_tables.comma_separated([{"who": text}], {"who": "Who"}))[1] == [f"'{text}"]


def test_numbers_stay_numbers() -> None:
    assert _tables.comma_separated([{"who": "a", "bytes": -5}], COLUMNS) == "Who,Bytes\r\na,-5\r\n"


def test_no_rows_are_a_heading() -> None:
    assert _tables.comma_separated([], COLUMNS) == "Who,Bytes\r\n"


@given(st.lists(st.text(), min_size=1))
def test_any_text_comes_back_whole_and_is_no_formula(texts: list[str]) -> None:
    read = _read(_tables.comma_separated([{"who": text} for text in texts], {"who": "Who"}))[1:]
    # A line with nothing in it is one empty cell.
    assert [(line or [""])[0].removeprefix("'") for line in read] == [text.removeprefix("'") for text in texts]
    assert not any(line and line[0][:1] in set("=+-@\t\r\n") - {""} for line in read)


def _read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))
