# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks between rows, between tables and with the year before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest
from localgov_pipeline.lib.checks import CheckOutcome, check
from localgov_pipeline.lib.cleaning import clean
from localgov_pipeline.lib.declarations import Check, declared

DATASET = declared("ssda903", 2026)


class Tables:
    """Cleaned tables, and their errors, from a few cells each."""

    def __init__(self, **tables: list[dict[str, str]]) -> None:
        self.rows: dict[str, pl.LazyFrame] = {}
        self.errors: dict[str, pl.LazyFrame] = {}
        for name, rows in tables.items():
            columns = DATASET.tables[name].columns
            cells = {column: [row.get(column) for row in rows] for column in columns}
            given = pl.LazyFrame({"row": range(2, len(rows) + 2), **cells}, schema_overrides={"row": pl.UInt32})
            outcome = clean(given.cast(dict.fromkeys(columns, pl.String)), DATASET.tables[name])
            self.rows[name], self.errors[name] = outcome.rows, outcome.errors

    def outcomes(
        self,
        previous: Mapping[str, int] | None = None,
        thresholds: Mapping[str, float] | None = None,
        about: list[str] | None = None,
        sent_as: dict[str, str] | None = None,
    ) -> dict[str, CheckOutcome]:
        found = check(self.rows, DATASET, previous, thresholds or {}, about=about, sent_as=sent_as, errors=self.errors)
        return {outcome.name: outcome for outcome in found}


def child(number: int, **cells: str) -> dict[str, str]:
    return {"CHILD": f"TEST{number}", **cells}


def episode(number: int, start: str, end: str = "") -> dict[str, Any]:
    return child(number, DECOM=start, DEC=end) if end else child(number, DECOM=start)


def rows_of(outcome: CheckOutcome) -> list[int]:
    return outcome.findings["row"].to_list()


def test_a_child_that_is_in_the_header_twice_is_an_error_in_the_later_row() -> None:
    outcome = Tables(header=[child(1), child(2), child(1), child(1)]).outcomes()["one_header_per_child"]
    assert (outcome.severity, outcome.passed, rows_of(outcome)) == ("error", False, [4, 5])
    assert outcome.findings.row(0, named=True) == {
        "row": 4,
        "column": "CHILD",
        "rule": "one_header_per_child",
        "reason": "The same CHILD stands in an earlier row. Keep one of the rows.",
        "table": "header",
    }


def test_a_key_of_several_columns_is_the_same_only_when_all_of_them_are() -> None:
    tables = Tables(oc2=[child(1, DOB="05/03/2012"), child(1, DOB="06/03/2012"), child(1, DOB="05/03/2012"), child(2)])
    both = Check(check="unique", title="Once", severity="error", table="oc2", columns=("CHILD", "DOB"))
    (outcome,) = check(tables.rows, DATASET.model_copy(update={"checks": {"both": both}}), None, {})
    assert rows_of(outcome) == [4]


def test_an_episode_without_a_header_is_found() -> None:
    tables = Tables(header=[child(1)], episodes=[episode(1, "01/04/2025"), episode(2, "01/04/2025")])
    outcome = tables.outcomes()["episodes_have_a_header"]
    assert (outcome.passed, rows_of(outcome), outcome.counts) == (False, [3], {"rows": 2, "findings": 1})


def test_what_refers_to_a_table_that_is_not_there_is_said_to_be_unchecked() -> None:
    outcome = Tables(episodes=[episode(1, "01/04/2025")]).outcomes()["episodes_have_a_header"]
    assert (outcome.made, outcome.passed, outcome.severity) == (False, False, "warning")
    assert outcome.findings.select("row", "table").rows() == [(None, "episodes")]
    assert outcome.findings["reason"].item() == (
        "Not checked yet: no table header of 2026 has been accepted. Upload it, and its report says what does not fit."
    )


def test_a_check_that_cannot_be_made_and_is_not_about_two_tables_has_no_outcome() -> None:
    outcomes = Tables(episodes=[episode(1, "01/04/2025")]).outcomes()
    assert "one_header_per_child" not in outcomes
    assert "about_as_many_rows_as_last_year" not in outcomes


def test_of_a_table_to_which_nothing_refers_yet_nothing_is_said_to_be_unchecked() -> None:
    assert "episodes_have_a_header" not in Tables(header=[child(1)]).outcomes()


def test_nothing_is_said_of_tables_that_others_have_uploaded() -> None:
    tables = Tables(header=[child(1), child(1)], episodes=[episode(2, "01/04/2025")])
    outcomes = tables.outcomes(about=["episodes"])
    assert rows_of(outcomes["episodes_have_a_header"]) == [2]
    assert "one_header_per_child" not in outcomes
    assert set(pl.concat(outcome.findings for outcome in outcomes.values())["table"]) == {"episodes"}


def test_but_for_their_rows_that_refer_to_a_table_which_comes_now() -> None:
    tables = Tables(header=[child(1)], episodes=[episode(1, "01/04/2025"), episode(2, "02/04/2025", "01/04/2025")])
    outcomes = tables.outcomes(about=["header"], sent_as={"episodes": "earlier"})
    outcome = outcomes["episodes_have_a_header"]
    assert (outcome.severity, outcome.passed, outcome.counts) == ("warning", False, {"rows": 2, "findings": 1})
    assert outcome.findings.select("row", "column", "table").rows() == [(3, "CHILD", "episodes")]
    assert outcome.findings["reason"].item() == (
        "In the file that was sent before as earlier: There is no row with this CHILD in the table header. Add it, or "
        "mend CHILD."
    )
    assert "episodes_end_after_they_begin" not in outcomes, "that was said when the episodes came"


@pytest.mark.parametrize("own", ["header", "episodes"])
def test_a_table_of_which_nothing_is_kept_any_more_is_said_to_be_unchecked(own: str) -> None:
    (other,) = {"header", "episodes"} - {own}
    tables = Tables(**{own: [child(1)]})
    outcome = tables.outcomes(sent_as={other: "earlier"})["episodes_have_a_header"]
    assert (outcome.made, outcome.passed) == (False, False)
    assert outcome.findings.select("row", "table").rows() == [(None, own)]
    assert f"of the table {other}, sent as earlier, nothing is kept any more" in outcome.findings["reason"].item()


def test_two_submissions_that_do_not_fit_each_other_stop_neither_whichever_comes_first() -> None:
    strict = DATASET.checks["episodes_have_a_header"].model_copy(update={"severity": "error"})
    dataset = DATASET.model_copy(update={"checks": {"strict": strict}})
    tables = Tables(header=[child(1)], episodes=[episode(2, "01/04/2025")]).rows
    for about, severity in ((["header"], "warning"), (["episodes"], "warning"), (None, "error")):
        (outcome,) = check(tables, dataset, None, {}, about=about)
        assert (outcome.severity, outcome.passed) == (severity, False)


@pytest.mark.parametrize(
    ("episodes", "rows"),
    [
        ([("01/04/2025", "01/06/2025"), ("01/06/2025", "")], []),
        ([("01/04/2025", "02/06/2025"), ("01/06/2025", "")], [3]),
        ([("01/04/2025", ""), ("01/06/2025", "")], [3]),
        ([("01/06/2025", ""), ("01/04/2025", "02/06/2025")], [2]),
        ([("01/04/2025", "31/12/2025"), ("01/05/2025", "01/06/2025"), ("01/07/2025", "01/08/2025")], [3, 4]),
        ([("01/04/2025", "01/06/2025"), ("01/04/2025", "01/06/2025")], [3]),
    ],
    ids=["one after the other", "overlap", "never ended", "not in order", "within a long one", "twice the same"],
)
def test_episodes_that_overlap_are_found(episodes: list[tuple[str, str]], rows: list[int]) -> None:
    other = [episode(9, "01/01/2025", "31/12/2025")]
    outcome = Tables(episodes=[episode(1, *dates) for dates in episodes] + other).outcomes()["episodes_do_not_overlap"]
    assert (rows_of(outcome), outcome.passed) == (rows, not rows)


def test_dates_out_of_order_are_found_and_a_date_that_is_blank_is_none() -> None:
    episodes = [
        episode(1, "02/04/2025", "01/04/2025"),
        episode(2, "02/04/2025", "02/04/2025"),
        episode(3, "02/04/2025"),
    ]
    outcome = Tables(episodes=episodes).outcomes()["episodes_end_after_they_begin"]
    assert rows_of(outcome) == [2]
    assert outcome.findings["reason"].item() == "DEC is before DECOM. Mend the one that is wrong."


@pytest.mark.parametrize(("before", "passed"), [(10, True), (14, True), (15, False), (7, False), (8, True)])
def test_a_number_of_rows_that_differs_much_from_the_year_before_is_noted(before: int, passed: bool) -> None:
    tables = Tables(header=[child(number) for number in range(10)])
    outcome = tables.outcomes({"header": before})["about_as_many_rows_as_last_year"]
    assert outcome.passed is passed
    if not passed:
        assert f"10 rows, and {before} in the year before" in outcome.findings["reason"].item()


def test_an_authority_sets_its_own_thresholds() -> None:
    tables = Tables(header=[child(number) for number in range(10)] + [child(1)])
    strict, lenient = (
        tables.outcomes({"header": 10}, {"about_as_many_rows_as_last_year": 0.05}),
        tables.outcomes({"header": 10}, {"one_header_per_child": 0.1}),
    )
    assert not strict["about_as_many_rows_as_last_year"].passed
    assert not strict["one_header_per_child"].passed
    assert lenient["one_header_per_child"].passed
    assert rows_of(lenient["one_header_per_child"]) == [12]


def test_a_threshold_for_a_check_that_the_year_does_not_have_is_left_aside() -> None:
    """One setting is for the files of all years."""
    tables = Tables(header=[child(1)])
    assert tables.outcomes(thresholds={"of_another_year": 1}).keys() == tables.outcomes().keys()


def test_codes_of_another_year_are_counted_and_point_to_the_year() -> None:
    outcome = Tables(header=[child(number, SEX="1" if number else "?") for number in range(10)]).outcomes()[
        "codes_are_known"
    ]
    assert outcome.findings.select("row", "column").rows() == [(None, "SEX")]
    assert outcome.findings["reason"].item() == (
        "10 cells hold no code of 2026; 9 of them hold one of another year. Check that the right year was chosen."
    )


def reasons(outcome: CheckOutcome) -> dict[str, str]:
    return dict(outcome.findings.select("column", "reason").rows())


def test_codes_that_only_another_year_has_show_a_file_of_another_year() -> None:
    outcome = Tables(header=[child(number, SEX="1") for number in range(3)]).outcomes()["of_the_year_that_was_chosen"]
    assert (outcome.severity, outcome.passed) == ("error", False)
    assert reasons(outcome) == {
        "SEX": "3 of 3 cells hold codes of 2017 to 2024, which 2026 does not have. The file seems to be of 2017 to "
        "2024. Upload it for its own year; if it is of 2026, mend SEX."
    }


def ended(*ends: str) -> list[dict[str, Any]]:
    """Episodes that began long ago."""
    return [episode(number, "01/01/2019", end) for number, end in enumerate(ends)]


def test_dates_that_cannot_lie_before_the_year_show_a_file_of_an_earlier_year() -> None:
    episodes = ended("01/04/2023", "31/03/2024", *[f"15/{month:02}/2023" for month in range(4, 13)], "01/02/2024")
    outcome = Tables(episodes=episodes).outcomes()["of_the_year_that_was_chosen"]
    assert reasons(outcome) == {
        "DEC": "12 of 12 dates lie in the year 2024. The file seems to be of 2024. Upload it for its own year; if it "
        "is of 2026, mend DEC."
    }


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"header": [child(1, SEX="1"), child(2, SEX="2")]}, "two cells may be slips"),
        ({"header": [child(number, SEX="1" if number else "M") for number in range(10)]}, "not nearly all cells"),
        ({"header": [child(number) for number in range(9)]}, "nothing tells the year"),
        ({"header": [child(number, SEX="?") for number in range(9)]}, "codes of no year"),
        ({"episodes": [episode(number, "01/01/2019") for number in range(12)]}, "an episode may go on for years"),
        ({"episodes": ended(*[f"{day}/05/{2019 + n}" for n in range(6) for day in (11, 12)])}, "many years"),
        ({"episodes": ended(*["31/03/2026"] * 12)}, "the last day of the year"),
        ({"episodes": ended(*["01/04/2025"] * 12)}, "the first day of the year"),
        ({"episodes": ended(*["01/05/2023"] * 9)}, "nine dates may be slips"),
        ({"episodes": ended(*["01/05/2023"] * 18, *["01/05/2025"] * 2)}, "not nearly all dates"),
        ({"episodes": ended("02/04/2026", "20/04/2026", "03/05/2026")}, "three that ended before a late extract"),
        ({"episodes": ended(*["02/05/2026"] * 12)}, "all of them ended before a late extract"),
        ({"missing": [child(n, MIS_START="01/03/2025") for n in range(12)]}, "missing since the year before"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_file_that_may_well_be_of_its_year_is_not_taken_for_another(
    tables: dict[str, list[dict[str, str]]], why: str
) -> None:
    assert Tables(**tables).outcomes()["of_the_year_that_was_chosen"].passed, why


def test_needed_columns_that_are_hardly_filled_are_named() -> None:
    outcome = Tables(header=[child(number, SEX="M") for number in range(20)]).outcomes()["needed_cells_are_filled"]
    assert outcome.findings["column"].to_list() == ["DOB", "ETHNIC", "UPN"]
    assert outcome.findings["reason"][0] == "20 of 20 rows have nothing here that can be used."


def test_no_finding_repeats_a_value() -> None:
    episodes = [episode(1, "02/04/2025", "01/04/2025"), episode(1, "01/04/2025")]
    outcomes = Tables(header=[child(1), child(1)], episodes=episodes).outcomes({"header": 9})
    said = str([outcome.findings.rows() for outcome in outcomes.values()])
    assert "TEST1" not in said
    assert "2025" not in said
