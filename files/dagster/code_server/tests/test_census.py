# SPDX-License-Identifier: GPL-3.0-or-later
"""The children in need census: every date of a case is an event, with what belongs to it, and no child is too many."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from census import write_census
from localgov_pipeline.lib.checks import CheckOutcome, check
from localgov_pipeline.lib.cleaning import clean
from localgov_pipeline.lib.declarations import Dataset, declared
from localgov_pipeline.lib.reading import read

CENSUS = declared("cin", 2026)
CASE = """
<Child>
 <ChildIdentifiers><LAchildID>TEST1</LAchildID><UPN>TESTUPN1</UPN><PersonBirthDate>2012-03-05</PersonBirthDate>
  <Sex>F</Sex></ChildIdentifiers>
 <ChildCharacteristics><Ethnicity>AIND</Ethnicity><Disabilities><Disability>LD</Disability><Disability>AUT</Disability>
  </Disabilities></ChildCharacteristics>
 <CINdetails>
  <CINreferralDate>2025-04-01</CINreferralDate><ReferralSource>2A</ReferralSource><PrimaryNeedCode>N1</PrimaryNeedCode>
  <CINclosureDate>2025-12-01</CINclosureDate><ReasonForClosure>RC7</ReasonForClosure>
  <DateOfInitialCPC>2025-06-01</DateOfInitialCPC>
  <Assessments><AssessmentActualStartDate>2025-04-02</AssessmentActualStartDate></Assessments>
  <Assessments><AssessmentActualStartDate>2025-05-02</AssessmentActualStartDate>
   <AssessmentInternalReviewDate>2025-05-12</AssessmentInternalReviewDate>
   <AssessmentAuthorisationDate>2025-05-30</AssessmentAuthorisationDate>
   <FactorsIdentifiedAtAssessment><AssessmentFactors>3B</AssessmentFactors><AssessmentFactors>16A</AssessmentFactors>
   </FactorsIdentifiedAtAssessment></Assessments>
  <CINPlanDates><CINPlanStartDate>2025-06-02</CINPlanStartDate><CINPlanEndDate>2025-06-03</CINPlanEndDate></CINPlanDates>
  <Section47><S47ActualStartDate>2025-06-04</S47ActualStartDate><InitialCPCtarget>2025-06-20</InitialCPCtarget>
   <DateOfInitialCPC>2025-06-18</DateOfInitialCPC><ICPCnotRequired>false</ICPCnotRequired></Section47>
  <ReferralNFA>0</ReferralNFA>
  <ChildProtectionPlans><CPPstartDate>2025-06-18</CPPstartDate><CPPendDate>2025-11-18</CPPendDate>
   <InitialCategoryOfAbuse>NEG</InitialCategoryOfAbuse><LatestCategoryOfAbuse>EMO</LatestCategoryOfAbuse>
   <NumberOfPreviousCPP>2</NumberOfPreviousCPP>
   <Reviews><CPPreviewDate>2025-09-01</CPPreviewDate><CPPreviewDate>2025-10-01</CPPreviewDate></Reviews>
  </ChildProtectionPlans>
 </CINdetails>
 <CINdetails><CINreferralDate>2026-01-05</CINreferralDate><ReferralSource>6</ReferralSource><ReferralNFA>1</ReferralNFA>
 </CINdetails>
</Child>
"""


def cleaned(path: Path, year: int = 2026) -> dict[str, pl.DataFrame]:
    """The tables of a census in which every cell is good."""
    tables = {}
    for table in read(path, declared("cin", year), path.parent):
        tables[table.table.name], errors = pl.collect_all(clean(table.rows, table.table))
        assert (table.notices, errors.rows()) == ((), [])
    return tables


def case(folder: Path) -> dict[str, pl.DataFrame]:
    path = folder / "census"
    path.write_text(f"<Message><Children>{CASE}</Children></Message>")
    return cleaned(path)


def test_every_date_of_a_case_is_an_event_of_its_child(tmp_path: Path) -> None:
    events = case(tmp_path)["events"].sort("EPISODE", "DATE", maintain_order=True)
    assert [
        (str(date), kind, episode, part)
        for date, kind, episode, part in events.select("DATE", "TYPE", "EPISODE", "PART").rows()
    ] == [
        ("2025-04-01", "REFERRAL", 1, None),
        ("2025-04-02", "ASSESSMENT_START", 1, 1),
        ("2025-05-02", "ASSESSMENT_START", 1, 2),
        ("2025-05-12", "ASSESSMENT_REVIEW", 1, 2),
        ("2025-05-30", "ASSESSMENT_END", 1, 2),
        ("2025-06-01", "INITIAL_CONFERENCE", 1, None),
        ("2025-06-02", "CIN_PLAN_START", 1, 1),
        ("2025-06-03", "CIN_PLAN_END", 1, 1),
        ("2025-06-04", "S47_START", 1, 1),
        ("2025-06-18", "S47_CONFERENCE", 1, 1),
        ("2025-06-18", "CP_PLAN_START", 1, 1),
        ("2025-09-01", "CP_PLAN_REVIEW", 1, 1),
        ("2025-10-01", "CP_PLAN_REVIEW", 1, 1),
        ("2025-11-18", "CP_PLAN_END", 1, 1),
        ("2025-12-01", "CLOSURE", 1, None),
        ("2026-01-05", "REFERRAL", 2, None),
    ]
    child = events.select("row", "CHILD", "UPN", pl.col("DOB").cast(pl.String), "SEX", "ETHNIC").unique().rows()
    assert child == [(1, "TEST1", "TESTUPN1", "2012-03-05", "F", "AIND")]


def test_what_belongs_to_an_event_stands_with_it_and_nowhere_else(tmp_path: Path) -> None:
    events = case(tmp_path)["events"]
    belongs = {
        "REFERRAL_SOURCE": {"REFERRAL": ["2A", "6"]},
        "REFERRAL_NFA": {"REFERRAL": ["0", "1"]},
        "PRIMARY_NEED": {"REFERRAL": ["N1"]},
        "CLOSURE_REASON": {"CLOSURE": ["RC7"]},
        "CONFERENCE_NOT_REQUIRED": {"S47_START": ["0"]},
        "CONFERENCE_TARGET": {"S47_START": ["2025-06-20"]},
        "FIRST_ABUSE": {"CP_PLAN_START": ["NEG"]},
        "LATEST_ABUSE": {"CP_PLAN_START": ["EMO"]},
        "PREVIOUS_PLANS": {"CP_PLAN_START": ["2"]},
    }
    for column, values in belongs.items():
        told = events.filter(pl.col(column).is_not_null()).select("TYPE", pl.col(column).cast(pl.String)).rows()
        assert told == [(kind, value) for kind, listed in values.items() for value in listed]


def test_factors_and_disabilities_are_tables_of_their_own(tmp_path: Path) -> None:
    tables = case(tmp_path)
    assert tables["factors"].drop("row").rows() == [("TEST1", 1, 2, "3B"), ("TEST1", 1, 2, "16A")]
    assert tables["disabilities"].drop("row").rows() == [("TEST1", "LD"), ("TEST1", "AUT")]


def test_a_table_without_a_row_is_there_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "census"
    path.write_text(f"<Message><Children>{CASE.replace('Disability>', 'Ignored>')}</Children></Message>")
    tables = {table.table.name: table.rows.collect() for table in read(path, declared("cin", 2026), tmp_path)}
    assert tables["disabilities"].is_empty()
    assert tables["disabilities"].columns == ["row", "CHILD", "DISABILITY"]


def checked(folder: Path, *children: str, dataset: Dataset = CENSUS) -> dict[str, CheckOutcome]:
    path = folder / "census"
    path.write_text(f"<Message><Children>{''.join(children)}</Children></Message>")
    tables = {name: rows.lazy() for name, rows in cleaned(path).items()}
    return {outcome.name: outcome for outcome in check(tables, dataset, None, {})}


OTHER = CASE.replace("TEST1", "TEST2").replace("TESTUPN1", "TESTUPN2")


def test_a_child_that_is_in_the_census_twice_is_an_error_in_the_later_one_which_is_named_once(tmp_path: Path) -> None:
    again = CASE.replace("TESTUPN1", "TESTUPN3")
    outcome = checked(tmp_path, CASE, OTHER, again, again.replace("TESTUPN3", ""))["one_child_per_number"]
    assert (outcome.severity, outcome.passed, outcome.counts["findings"]) == ("error", False, 2)
    assert outcome.findings["row"].to_list() == [3, 4]
    assert outcome.findings.row(0, named=True) == {
        "row": 3,
        "column": "CHILD",
        "rule": "one_child_per_number",
        "reason": "An earlier child has the same CHILD. Put both into one, or mend CHILD.",
        "table": "events",
    }


def test_records_that_nobody_has_named_are_told_apart_all_the_same(tmp_path: Path) -> None:
    reading = {key: value for key, value in CENSUS.reading.items() if key != "called"}
    unnamed = CENSUS.model_copy(update={"reading": reading})
    assert checked(tmp_path, CASE, OTHER, dataset=unnamed)["one_child_per_number"].passed, "its events are one record"
    outcome = checked(tmp_path, CASE, OTHER, CASE, dataset=unnamed)["one_child_per_number"]
    assert outcome.findings["row"].to_list() == [3]
    assert outcome.findings["reason"].to_list() == [
        "An earlier record has the same CHILD. Put both into one, or mend CHILD."
    ]


def test_two_children_with_one_pupil_number_are_a_warning_and_children_without_one_are_none(tmp_path: Path) -> None:
    without = CASE.replace("TESTUPN1", "")
    children = (
        CASE,
        CASE.replace("TEST1<", "TEST2<"),
        without.replace("TEST1<", "TEST3<"),
        without.replace("TEST1<", "TEST4<"),
    )
    outcomes = checked(tmp_path, *children)
    assert outcomes["one_child_per_number"].passed, "many events of one child are no second child"
    outcome = outcomes["one_child_per_pupil_number"]
    assert (outcome.severity, outcome.passed, outcome.findings["row"].to_list()) == ("warning", False, [2])


def test_a_census_of_an_earlier_year_is_read_by_its_own_rules(tmp_path: Path) -> None:
    write_census(tmp_path / "census", 20, year=2021)
    assert set(cleaned(tmp_path / "census", 2021)["events"]["SEX"]) <= {"1", "2"}


def test_children_are_numbered_in_the_order_of_the_file(tmp_path: Path) -> None:
    write_census(tmp_path / "census", 300)
    events = cleaned(tmp_path / "census")["events"]
    numbered = events.select("row", "CHILD").unique().sort("row")
    assert numbered["CHILD"].to_list() == [f"TEST{number:06}" for number in range(1, 301)]
    assert numbered["row"].to_list() == list(range(1, 301))
