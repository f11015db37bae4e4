# SPDX-License-Identifier: GPL-3.0-or-later
"""No identifier reaches what is shared, the findings or the notes, wherever in a file somebody has put it."""

from __future__ import annotations

import traceback

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from localgov_pipeline.defs.discretion import StepFailedError, values_kept_out_of_logs
from localgov_pipeline.lib.checks import check
from localgov_pipeline.lib.cleaning import ROW, clean
from localgov_pipeline.lib.declarations import Table, declared, declared_years
from localgov_pipeline.lib.pseudonyms import Keys
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


@settings(max_examples=FILES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files())
def test_no_planted_identifier_reaches_shared_tables_findings_or_notes(file: tuple[str, int, str, list[Row]]) -> None:
    name, year, table_name, rows = file
    dataset = declared(name, year)
    table = dataset.tables[table_name]
    given_rows = pl.LazyFrame(
        {ROW: range(2, len(rows) + 2), **{name: [row[name] for row in rows] for name in table.columns}},
        schema={ROW: pl.UInt32, **dict.fromkeys(table.columns, pl.String)},
    )
    kept, errors = pl.collect_all(clean(given_rows, table))
    assert len(kept) == len(rows)
    profiles = [profile for profile in dataset.profiles if table.shareable(profile)]
    shared = pl.collect_all([shared_table(kept.lazy(), table, profile, KEYS) for profile in profiles])
    outcomes = check({table.name: kept.lazy()}, dataset, {table.name: 1}, {}, errors={table.name: errors.lazy()})

    said = [*(frame.write_csv() for frame in shared), errors.write_csv()]
    said += [outcome.findings.write_csv() for outcome in outcomes]
    said += [note for profile in profiles for note in notes(kept.lazy(), table, profile)]
    everything = "\n".join(said)
    assert [identifier for identifier in identifiers(table, rows) if identifier in everything] == []


@pytest.mark.parametrize("error", [ValueError, pl.exceptions.ComputeError, pl.exceptions.PanicException])
def test_the_message_of_an_error_is_withheld_whatever_polars_does(error: type[BaseException]) -> None:
    cell = "".join(("TEST", "0001"))
    with pytest.raises(StepFailedError, match=error.__name__) as failed, values_kept_out_of_logs():
        raise error(cell)
    assert cell not in "".join(traceback.format_exception(failed.value))
