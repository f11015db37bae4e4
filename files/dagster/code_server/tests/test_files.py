# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and cleaning a file: what a person's CSV may look like, and what is said about it."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import xlsxwriter
from buckets import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from localgov_pipeline.lib import outputs
from localgov_pipeline.lib.cleaning import clean, refuse_without_rows
from localgov_pipeline.lib.declarations import Table, declared
from localgov_pipeline.lib.findings import FileRefusedError
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.reading import ParsedTable, read
from localgov_pipeline.lib.reading.delimited import irregular_rows, line_facts, regular_rows
from localgov_pipeline.lib.reading.headers import find_header
from localgov_pipeline.lib.sharing import shared_table

KEYS = Keys(b"a key that is used by tests, and by nobody else")
HEADER = "CHILD,SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB"
GOOD_ROW = "TEST0001,M,05/03/2012,WBRI,TESTUPN0001,,"


class Outcome(NamedTuple):
    rows: pl.DataFrame
    errors: pl.DataFrame
    left_out: int


def parsed(content: str | bytes, year: int = 2026) -> tuple[ParsedTable, pl.DataFrame]:
    """The one table of a file, and its rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        (table,) = read(path, declared("ssda903", year), Path(folder))
        return table, table.rows.collect()


def cleaned(content: str | bytes, year: int = 2026) -> tuple[Table, Outcome]:
    found, read_rows = parsed(content, year)
    rows, errors = pl.collect_all(clean(read_rows.lazy(), found.table))
    refuse_without_rows(len(read_rows), len(rows), found.table)
    return found.table, Outcome(rows, errors, len(read_rows) - len(rows))


def shared(table: Table, outcome: Outcome) -> pl.DataFrame:
    return shared_table(outcome.rows.lazy(), table, "regional", KEYS).collect()


def result(table: Table, outcome: Outcome) -> str:
    """The CSV file that the person gets back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.csv"
        outputs.write_result(outcome.rows.lazy(), table, path)
        return path.read_text()


def one_cell(column: str, value: str, year: int = 2026) -> tuple[object, list[str]]:
    """The clean value of a cell in an otherwise good header file, and the rules that it breaks."""
    good = dict(zip(HEADER.split(","), GOOD_ROW.split(","), strict=True))
    good["SEX"] = "M" if year >= 2025 else "1"
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(good)
    writer.writerow({**good, column: value}.values())
    _, outcome = cleaned(text.getvalue(), year)
    return outcome.rows[column][0], outcome.errors["rule"].to_list()


def refused(content: str | bytes) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(FileRefusedError) as caught:
        cleaned(content)
    return [(finding.row, finding.column, finding.rule) for finding in caught.value.findings]


@pytest.mark.parametrize(
    ("column", "written", "kept"),
    [
        ("SEX", "m", "M"),
        ("SEX", "Female", "F"),
        ("SEX", " F ", "F"),
        ("ETHNIC", "white british", "WBRI"),
        ("MOTHER", "1.0", "1"),
        ("MOTHER", "0", "0"),
        ("MC_DOB", "", None),
    ],
)
def test_a_cell_is_brought_into_its_declared_form(column: str, written: str, kept: str | None) -> None:
    assert one_cell(column, written) == (kept, [])


@pytest.mark.parametrize(
    ("column", "written", "rule"),
    [
        ("SEX", "1", "code_of_another_year"),
        ("SEX", "7", "code"),
        ("SEX", "nan", "code"),
        ("MOTHER", "1.5", "code"),
        ("DOB", "2012-03-05", "date"),
        ("DOB", "31/02/2012", "date"),
        ("DOB", "5/3/2012", "date"),
        ("DOB", "05/03/12", "date"),
        ("DOB", "12/31/2012", "date"),
        ("DOB", "05/03/0012", "date"),
        ("DOB", "05/03/2012 00:00:00", "date"),
        ("UPN", "=1+1", "text"),
        ("UPN", "A B", "text"),
        ("UPN", "٣", "text"),
        ("DOB", "", "mandatory"),
        ("DOB", "   ", "mandatory"),
    ],
)
def test_a_cell_that_breaks_its_rule_is_blanked_and_listed_once(column: str, written: str, rule: str) -> None:
    assert one_cell(column, written) == (None, [rule])


@pytest.mark.parametrize(
    ("year", "written", "kept"), [(2024, "1", "1"), (2024, "M", None), (2025, "M", "M"), (2026, "U", "U")]
)
def test_codes_are_those_of_the_year(year: int, written: str, kept: str | None) -> None:
    assert one_cell("SEX", written, year)[0] == kept


@pytest.mark.parametrize(
    ("postcode", "kept"),
    [("sw1a2aa", "SW1A 2AA"), ("M1  1AE", "M1 1AE"), ("EC1A 1BB", "EC1A 1BB"), ("ZZ99 3VZ", "ZZ99 3VZ")]
    + [(nonsense, None) for nonsense in ("QQ1 1AA", "SW1A", "ABCDEF", "1AA SW1")],
)
def test_a_postcode_is_written_in_one_form_or_blanked(postcode: str, kept: str | None) -> None:
    good = (SAMPLES / "episodes.csv").read_text().splitlines()
    row = good[1].replace("ZZ99 3AA", postcode)
    _, outcome = cleaned(f"{good[0]}\n{row}\n")
    assert outcome.rows["HOME_POST"][0] == kept


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{GOOD_ROW}",
        f"{HEADER}\r\n{GOOD_ROW}\r\n",
        f"{HEADER}\r{GOOD_ROW}\r",
        f"\ufeff{HEADER}\n{GOOD_ROW}\n",
        f"{HEADER.lower()}\n{GOOD_ROW}\n",
        f"{HEADER},,\n{GOOD_ROW},,\n,,,,,,,,\n\n",
        '"CHILD",SEX,DOB,ETHNIC,UPN,MOTHER,MC_DOB\n"TEST0001",M,"05/03/2012",WBRI,TESTUPN0001,,\n',
        "DOB,SEX,CHILD,ETHNIC,UPN,MOTHER,MC_DOB\n05/03/2012,M,TEST0001,WBRI,TESTUPN0001,,\n",
    ],
    ids=["no last newline", "CRLF", "CR", "byte-order mark", "lower case", "blank cells", "quoted", "other order"],
)
def test_the_same_table_is_read_however_it_was_saved(content: str) -> None:
    table, outcome = cleaned(content)
    assert table.name == "header"
    assert outcome.errors.is_empty()
    assert result(table, outcome).splitlines() == [HEADER, GOOD_ROW]


@pytest.mark.parametrize("quote", ["", '"'])
def test_rows_are_numbered_as_in_the_spreadsheet(quote: str) -> None:
    bad = GOOD_ROW.replace("WBRI", "NOPE")
    content = f"{HEADER}\n{quote}TEST0009{quote},M,05/03/2012,WBRI,TESTUPN9,,\n\n,,,,,,\n{bad}\n"
    assert cleaned(content)[1].errors["row"].to_list() == [5]


@pytest.mark.parametrize(
    ("content", "findings"),
    [
        (b"", [(None, None, "empty")]),
        (b"\xef\xbb\xbf \r\n", [(None, None, "empty")]),
        (f"{HEADER}\n".encode("utf-16"), [(None, None, "rows")]),
        (f"{HEADER}\n".encode("utf-16-le"), [(None, None, "encoding")]),
        (b"PK\x03\x04abc", [(None, None, "workbook")]),
        (f"{HEADER}\n{GOOD_ROW}\nTEST2,M\n{GOOD_ROW},1\n", [(3, None, "cells"), (4, None, "cells")]),
        (f'{HEADER}\n{GOOD_ROW}\n"TEST2{GOOD_ROW}\n{GOOD_ROW}\n', [(3, None, "quote")]),
        (f'{HEADER}\n"TEST"2,M,05/03/2012,WBRI,U,,\n', [(2, None, "quote")]),
        (f"{HEADER},{HEADER}\n{GOOD_ROW},{GOOD_ROW}\n", [(1, name, "columns") for name in sorted(HEADER.split(","))]),
        (HEADER.replace(",", ";") + "\n", [(None, None, "rows")]),
        (f"{HEADER}\n", [(None, None, "rows")]),
        (f"{HEADER}\nT-1,M,05/03/2012,WBRI,U,,\n", [(None, "CHILD", "rows")]),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_with_the_place(
    content: str | bytes, findings: list[tuple[int | None, str | None, str]]
) -> None:
    assert refused(content) == findings


def test_a_workbook_is_read_as_the_csv_file_that_it_could_have_been_saved_as(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    with xlsxwriter.Workbook(path) as workbook:
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, HEADER.split(","))
        sheet.write_row(1, 0, ["TEST0001", "M"])
        sheet.write_datetime(1, 2, datetime(2012, 3, 5), workbook.add_format({"num_format": "dd/mm/yyyy"}))
        sheet.write_row(1, 3, ["WBRI", "TESTUPN0001", 1.0])
    table, outcome = cleaned(path.read_bytes())
    assert outcome.errors.is_empty()
    assert result(table, outcome).splitlines() == [HEADER, GOOD_ROW.replace("1,,", "1,1,")]


def test_another_separator_is_read_and_named() -> None:
    table, rows = parsed(f"{HEADER}\n{GOOD_ROW}\n".replace(",", ";"))
    assert rows["UPN"].to_list() == ["TESTUPN0001"]
    assert [notice.rule for notice in table.notices] == ["separator"]
    assert "semicolons" in table.notices[0].reason


def test_columns_that_may_be_data_are_not_repeated_but_columns_of_a_known_table_are_named() -> None:
    with pytest.raises(FileRefusedError) as unknown:
        cleaned("TEST PERSON,1 TEST STREET\n")
    assert "TEST" not in str([finding.reason for finding in unknown.value.findings])
    with pytest.raises(FileRefusedError) as nearly:
        cleaned(f"{HEADER},NOTES\n{GOOD_ROW},x\n")
    assert "'NOTES'" in nearly.value.findings[0].reason


def test_a_row_without_a_usable_key_is_left_out_and_said_to_be() -> None:
    _, outcome = cleaned(f"{HEADER}\n{GOOD_ROW}\n,M,05/03/2012,WBRI,U,,\nT-2,M,05/03/2012,WBRI,U,,\n")
    assert (len(outcome.rows), outcome.left_out) == (1, 2)
    assert all("The row was left out." in reason for reason in outcome.errors["reason"])
    assert outcome.errors.select("row", "column", "rule").rows() == [(3, "CHILD", "mandatory"), (4, "CHILD", "text")]


def test_what_is_shared_is_exactly_what_is_declared_as_shareable() -> None:
    for table in declared("ssda903", 2026).tables.values():
        never = {name for name, column in table.columns.items() if column.share["regional"] == "never"}
        assert never >= {"UPN", "URN", "LA_PERM", "SW_ID"} & set(table.columns)
        assert never.isdisjoint(table.shareable("regional"))
        assert table.columns["CHILD"].share == {"regional": "pseudonym"}
    table, outcome = cleaned(f"{HEADER}\n{GOOD_ROW}\n")
    assert shared(table, outcome).drop("CHILD").rows() == [("M", "2012-03", "WBRI", None, None)]


def test_a_column_outside_the_declaration_is_never_shared() -> None:
    table, outcome = cleaned(f"{HEADER}\n{GOOD_ROW}\n")
    smuggled = outcome._replace(rows=outcome.rows.with_columns(pl.lit("TEST").alias("NAME")))
    assert "NAME" not in shared(table, smuggled).columns


def test_a_hundred_thousand_rows_are_cleaned_and_each_error_keeps_its_row() -> None:
    bad = GOOD_ROW.replace("05/03/2012", "yesterday")
    rows = [bad if number % 1000 == 0 else GOOD_ROW for number in range(100_000)]
    _, outcome = cleaned("\n".join([HEADER, *rows]))
    assert outcome.errors["row"].to_list() == list(range(2, 100_002, 1000))


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


NUMBER_OF_FILES = [50, pytest.param(500, marks=pytest.mark.slow)]


@pytest.mark.parametrize("number", NUMBER_OF_FILES)
def test_whatever_the_cells_hold_outputs_are_plain_and_errors_never_quote_them(number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @given(st.lists(st.lists(cells, min_size=7, max_size=7), min_size=1, max_size=5))
    def holds(rows: list[list[str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerow(HEADER.split(","))
        writer.writerows([["TESTKEY1", *row[1:]] for row in rows])
        table, outcome = cleaned(text.getvalue())
        assert len(outcome.rows) == len(rows)
        for line in csv.reader(io.StringIO(result(table, outcome))):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in line)
        allowed = {finding for name in table.columns for finding in _reasons(table, name)}
        assert set(outcome.errors["reason"]) <= allowed

    holds()


def _reasons(table: Table, name: str) -> set[str]:
    from localgov_pipeline.lib.rules import rule_of

    reason = rule_of(name, table.columns[name]).reason
    of_another_year = reason.replace("Not a code of this column.", "A code of another year's return.")
    return {reason, of_another_year, "Blank. This column is needed."}


@pytest.mark.parametrize("number", NUMBER_OF_FILES)
def test_a_file_is_read_the_same_with_and_without_quotation_marks(number: int) -> None:
    without_signs = cells.filter(lambda cell: not set(cell) & set('",\r\n'))

    @settings(max_examples=number, deadline=None)
    @given(st.lists(st.lists(without_signs, min_size=7, max_size=7), max_size=5))
    def holds(rows: list[list[str]]) -> None:
        lines = [["TESTKEY1", *row[1:]] for row in rows]
        plain = "\n".join([HEADER, *(",".join(line) for line in lines)])
        quoted = "\n".join([HEADER, *(",".join(f'"{cell}"' for cell in line) for line in lines)])
        assert parsed(plain)[1].equals(parsed(quoted)[1])

    holds()


odd_cells = st.lists(
    st.sampled_from(["a", '"', ",", ";", " ", "\t", "\n", "\r\n", '""', '"a"', ",,,,,,", "\u00a0"]), max_size=12
)


@settings(max_examples=150, deadline=None)
@given(odd_cells, odd_cells)
def test_a_file_that_is_read_the_quick_way_is_read_as_the_strict_way_reads_it(
    first: list[str], second: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.csv"
        path.write_text(f"{HEADER}\n{''.join(first)}\n{GOOD_ROW}\n{''.join(second)}\n".replace("\r\n", "\n"))
        header = find_header(path, declared("ssda903", 2026))
        facts = line_facts(path, header)
        if facts.regular:
            quick = regular_rows(path, header, Path(folder) / "quick", facts.padded)
            strict, notices = irregular_rows(path, header, Path(folder) / "strict")
            assert pl.read_parquet(quick).equals(pl.read_parquet(strict))
            assert notices == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_either_read_or_refused_with_a_reason(content: bytes) -> None:
    for candidate in (content, HEADER.encode() + b"\n" + content):
        try:
            cleaned(candidate)
        except FileRefusedError as refused_file:
            assert refused_file.findings
