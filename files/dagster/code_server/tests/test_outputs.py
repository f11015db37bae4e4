# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that leave the pipeline, and what the report says of errors however many there are."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from localgov_pipeline.lib import outputs
from localgov_pipeline.lib.checks import FINDING_SCHEMA
from localgov_pipeline.lib.cleaning import ERROR_SCHEMA, clean, sink
from localgov_pipeline.lib.declarations import declared
from localgov_pipeline.lib.pseudonyms import Keys
from localgov_pipeline.lib.sharing import shared_table

TABLE = declared("ssda903", 2026).tables["header"]
KEYS = Keys(b"a key that is used by tests, and by nobody else")
# More than are read at once.
ROWS = 400_000


def header_rows(*rows: dict[str, str]) -> pl.LazyFrame:
    cells = {column: [row.get(column) for row in rows] for column in TABLE.columns}
    schema = {"row": pl.UInt32, **dict.fromkeys(TABLE.columns, pl.String)}
    return pl.LazyFrame({"row": range(2, len(rows) + 2), **cells}, schema=schema)


def test_codes_and_months_are_text_in_what_is_shared_and_both_forms_hold_the_same(tmp_path: Path) -> None:
    child = {"CHILD": "TEST0001", "SEX": "M", "DOB": "05/03/2012", "ETHNIC": "WBRI", "UPN": "TESTUPN1", "MOTHER": "0"}
    rows = clean(header_rows(child, {**child, "CHILD": "TEST0002", "SEX": "", "MC_DOB": "29/02/2024"}), TABLE).rows
    paths = outputs.write_shared(shared_table(rows, TABLE, "regional", KEYS), TABLE, tmp_path)
    written = pl.read_parquet(paths["parquet"])
    assert set(written.schema.values()) == {pl.String()}
    assert written.drop("CHILD").to_dicts() == [
        {"SEX": "M", "DOB": "2012-03", "ETHNIC": "WBRI", "MOTHER": "0", "MC_DOB": None},
        {"SEX": None, "DOB": "2012-03", "ETHNIC": "WBRI", "MOTHER": "0", "MC_DOB": "2024-02"},
    ]
    assert pl.read_csv(paths["csv"], infer_schema=False).equals(written)


def test_the_list_of_errors_is_text_when_it_is_read_again(tmp_path: Path) -> None:
    wrong = clean(header_rows({"CHILD": "TEST0001", "SEX": "?"}), TABLE)
    sink(wrong, tmp_path / "rows.parquet", tmp_path / "errors.parquet")
    errors = pl.read_parquet(tmp_path / "errors.parquet")
    assert errors.schema == ERROR_SCHEMA
    assert errors.select("row", "column", "rule").row(0) == (2, "SEX", "code")


def test_a_report_counts_every_error_and_names_the_first_rows_of_each_rule(tmp_path: Path) -> None:
    columns = ["SEX", "DOB", "SEX", "UPN"]
    errors = pl.LazyFrame({"row": range(2, ROWS + 2)}, schema={"row": pl.UInt32}).select(
        "row",
        # The rarest begins where the others have been read for long.
        column=pl.when(pl.col("row") > ROWS - 3)
        .then(pl.lit("MOTHER"))
        .otherwise((pl.col("row") % 4).replace_strict(range(4), columns, return_dtype=pl.String)),
        rule=pl.lit("code"),
        reason=pl.lit("Mend it."),
        table=pl.lit("header"),
    )
    errors.sink_parquet(tmp_path / "errors.parquet", row_group_size=50_000)
    found = outputs.errors_of(pl.scan_parquet(tmp_path / "errors.parquet"))
    assert found.total == ROWS
    assert [error["row"] for error in found.shown] == [*range(2, outputs.ERRORS_SHOWN + 2)]
    assert [(group["column"], group["rows"]) for group in found.by_rule] == [
        ("SEX", [*range(2, 2 * outputs.ROWS_NAMED + 2, 2)]),
        ("UPN", [*range(3, 4 * outputs.ROWS_NAMED + 3, 4)]),
        ("DOB", [*range(5, 4 * outputs.ROWS_NAMED + 5, 4)]),
        ("MOTHER", [ROWS - 2, ROWS - 1, ROWS, ROWS + 1]),
    ]
    assert sum(group["count"] for group in found.by_rule) == ROWS


def test_a_report_without_errors_counts_none() -> None:
    assert outputs.errors_of(pl.LazyFrame(schema=FINDING_SCHEMA)) == outputs.Errors(0, [], [])
