# SPDX-License-Identifier: GPL-3.0-or-later
"""No identifier reaches what is shared, the findings or the notes, wherever in a file somebody has put it."""

from __future__ import annotations

import csv
import io
import random
import re
import tempfile
import traceback
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from census import child
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from localgov_pipeline.defs.discretion import StepFailedError, values_kept_out_of_logs
from localgov_pipeline.lib.checks import check
from localgov_pipeline.lib.cleaning import ROW, clean
from localgov_pipeline.lib.declarations import Dataset, Table, declared, declared_years
from localgov_pipeline.lib.findings import FileRefusedError
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.reading import read
from localgov_pipeline.lib.sharing import notes, shared_table

FILES = 1000
KEYS = Keys(b"a key that is used by tests, and by nobody else")
NUMBERS = st.from_regex(r"PLANT[0-9A-Z]{6}", fullmatch=True)
# Of every kind that a file of an authority may hold: its own numbers, pupil and health numbers, names, full postcodes,
# dates of birth, free text.
PLANTED = st.one_of(
    NUMBERS,
    st.from_regex(r"[A-HJ-NP-RT-Z][0-9]{11}[0-9A-HJ-NP-RT-Z]", fullmatch=True),
    st.from_regex(r"[1-9][0-9]{9}", fullmatch=True),
    st.from_regex(r"LS6 [0-9][ABD-HJLNP-UW-Z]{2}", fullmatch=True),
    st.from_regex(r"(0[1-9]|1[0-9]|2[0-8])/0[1-9]/20[01][0-9]", fullmatch=True),
    st.from_regex(r"Plantagenet [A-Z][a-z]{4,9}", fullmatch=True),
)
CELLS = st.one_of(st.none(), st.sampled_from(["1", "0", "M", "WBRI", "01/04/2015", "nan", "S", "=1"]), PLANTED)
KEYED = {"ssda903": NUMBERS, "school_places": st.just("123456")}
TABLES = [
    (name, year, table)
    for name in KEYED
    for year in declared_years(name)
    for table in declared(name, year).tables
]  # fmt: skip
Row = dict[str, str | None]


@st.composite
def files(draw: st.DrawFn) -> tuple[str, int, str, list[Row]]:
    """Each row has a key that can be used, so that it is shared."""
    name, year, table = draw(st.sampled_from(TABLES))
    declaration = declared(name, year).tables[table]
    cells = (KEYED[name] if column in declaration.key else CELLS for column in declaration.columns)
    rows = draw(st.lists(st.tuples(*cells), min_size=1, max_size=2))
    return name, year, table, [dict(zip(declaration.columns, row, strict=True)) for row in rows]


def identifiers(table: Table, rows: list[Row]) -> set[str]:
    """What was planted, and the same as the pipeline would write it. Where a date is shared as a day, it says when
    something happened and is no identifier."""
    days = [
        name for name, column in table.columns.items() if column.type == "date" and "unchanged" in column.share.values()
    ]
    planted = {cell for row in rows for cell in row.values() if cell and len(cell) > 6}
    planted -= {str(row[name]) for row in rows for name in days}
    return planted | {cell.replace(" ", "") for cell in planted} | {"-".join(cell.split("/")[::-1]) for cell in planted}


# A thousand of each take a minute.
NUMBER_OF_FILES = [50, pytest.param(FILES, marks=pytest.mark.slow)]


@pytest.mark.parametrize("number", NUMBER_OF_FILES)
def test_no_planted_identifier_reaches_shared_tables_findings_or_notes(number: int) -> None:
    @settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(files())
    def holds(file: tuple[str, int, str, list[Row]]) -> None:
        name, year, table_name, rows = file
        dataset = declared(name, year)
        table = dataset.tables[table_name]
        given_rows = pl.LazyFrame(
            {ROW: range(2, len(rows) + 2), **{name: [row[name] for row in rows] for name in table.columns}},
            schema={ROW: pl.UInt32, **dict.fromkeys(table.columns, pl.String)},
        )
        assert len(clean(given_rows, table).rows.collect()) == len(rows), "each row is shared"
        everything = said_of(given_rows, table, dataset)
        assert [identifier for identifier in identifiers(table, rows) if identifier in everything] == []

    holds()


def said_of(rows: pl.LazyFrame, table: Table, dataset: Dataset) -> str:
    """What leaves the authority of them, and what is told about them."""
    kept, errors = pl.collect_all(clean(rows, table))
    profiles = [profile for profile in dataset.profiles if table.shareable(profile)]
    shared = pl.collect_all([shared_table(kept.lazy(), table, profile, KEYS) for profile in profiles])
    outcomes = check({table.name: kept.lazy()}, dataset, {table.name: 1}, {}, errors={table.name: errors.lazy()})
    said = [*(frame.write_csv() for frame in shared), errors.write_csv()]
    said += [outcome.findings.write_csv() for outcome in outcomes]
    return "\n".join(said + [note for profile in profiles for note in notes(kept.lazy(), table, profile)])


def said_of_file(content: str, dataset: Dataset) -> str:
    """The same of a whole file, with what is told about reading it; or why it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_text(content)
        try:
            tables = read(path, dataset, Path(folder))
        except FileRefusedError as refused:
            return repr((str(refused), refused.findings))
        return "\n".join(f"{table.notices}{said_of(table.rows, table.table, dataset)}" for table in tables)


@pytest.mark.parametrize("number", NUMBER_OF_FILES)
def test_no_planted_identifier_is_told_of_a_file_that_is_read(number: int) -> None:
    """As CSV, with cells more or less and a line above the header now and then."""

    @settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(files(), st.lists(PLANTED, max_size=2), st.one_of(st.none(), PLANTED))
    def holds(file: tuple[str, int, str, list[Row]], beyond: list[str], above: str | None) -> None:
        name, year, table_name, rows = file
        dataset = declared(name, year)
        table = dataset.tables[table_name]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerows([[above]] if above else [])
        writer.writerow(table.columns)
        writer.writerows([*row.values()] for row in rows[:-1])
        writer.writerow([*rows[-1].values(), *beyond])
        everything = said_of_file(text.getvalue(), dataset)
        planted = identifiers(table, rows) | {*beyond, *([above] if above else [])}
        assert [identifier for identifier in planted if identifier in everything] == []

    holds()


@st.composite
def censuses(draw: st.DrawFn) -> tuple[str, set[str]]:
    """A census of one child and what was planted in it: in its number and birth date, in any other element but dates of
    events, which are shared as days, and in an element that no census has."""
    chance = random.Random(draw(st.integers(0, 20)))  # noqa: S311  # invented children
    number, unknown = draw(NUMBERS), draw(PLANTED)
    born = draw(st.dates(date(2000, 1, 1), date(2009, 12, 31))).isoformat()
    planted = {number, unknown, born, f"{born[8:]}/{born[5:7]}/{born[:4]}"}

    def filled(leaf: re.Match[str]) -> str:
        name, value = leaf.groups()
        new = {"LAchildID": number, "PersonBirthDate": born}.get(name, value)
        if new == value and not re.fullmatch(r"\d{4}-\d\d-\d\d", value) and draw(st.booleans()):
            new = draw(PLANTED)
            planted.add(new)
        return f"<{name}>{new}</{name}>"

    written = re.sub(r"<(\w+)>([^<>]+)</\1>", filled, child(1, 2026, chance))
    written = written.replace("</Child>", f"<Remarks>{unknown}</Remarks></Child>")
    return f"<Message><Children>{written}</Children></Message>", planted


@pytest.mark.parametrize("number", NUMBER_OF_FILES)
def test_no_planted_identifier_is_told_of_a_census(number: int) -> None:
    @settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(censuses())
    def holds(census: tuple[str, set[str]]) -> None:
        content, planted = census
        everything = said_of_file(content, declared("cin", 2026))
        assert "PLANT" not in everything
        assert [identifier for identifier in planted if identifier in everything] == []

    holds()


@pytest.mark.parametrize("error", [ValueError, pl.exceptions.ComputeError, pl.exceptions.PanicException])
def test_the_message_of_an_error_is_withheld_whatever_polars_does(error: type[BaseException]) -> None:
    cell = "".join(("TEST", "0001"))
    with pytest.raises(StepFailedError, match=error.__name__) as failed, values_kept_out_of_logs():
        raise error(cell)
    assert cell not in "".join(traceback.format_exception(failed.value))
