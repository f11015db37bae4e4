# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file of the library has the outcome that the library says, from the bytes to what the checks find."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
import workbooks
from buckets import SAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st
from localgov_pipeline.lib.checks import CheckOutcome, check
from localgov_pipeline.lib.cleaning import clean, refuse_without_rows
from localgov_pipeline.lib.declarations import Dataset, declared, declared_datasets
from localgov_pipeline.lib.findings import FileRefusedError, Finding
from localgov_pipeline.lib.reading import read
from ugly_files import LIBRARY, PLANTED, TWO, Accepted, Place, Refused, Ugly

WHAT_TO_DO = re.compile(
    r"\b(Add|Check|Delete|Export|Keep|Mend|Name|Open|Put|Save|Split|Take|Unhide|Upload|Write|choose|unhide|upload)\b"
)


class Told(NamedTuple):
    """What an uploader is told of a file that is not refused."""

    rows: dict[str, int]
    notices: list[Finding]
    errors: list[Finding]
    warnings: list[CheckOutcome]


def outcome(ugly: Ugly, folder: Path) -> tuple[Accepted | Refused, list[str]]:
    """What became of the file, and everything that is said about it."""
    path = folder / "upload"
    path.write_bytes(ugly.content if isinstance(ugly.content, bytes) else ugly.content())
    try:
        told = read_cleaned_and_checked(path, declared(ugly.dataset, 2026), folder)
    except FileRefusedError as refused:
        return Refused(places(refused.findings), said(refused.findings)), [
            finding.reason for finding in refused.findings
        ]
    reasons = [finding.reason for finding in (*told.notices, *told.errors)]
    reasons += [reason for warning in told.warnings for reason in warning.findings["reason"]]
    warnings = tuple(warning.name for warning in told.warnings)
    return Accepted(told.rows, places(told.notices), places(told.errors), warnings), reasons


def read_cleaned_and_checked(path: Path, dataset: Dataset, folder: Path) -> Told:
    tables, errors, told = {}, {}, Told({}, [], [], [])
    for table in read(path, dataset, folder):
        kept, broken = pl.collect_all(clean(table.rows, table.table))
        refuse_without_rows(table.rows.select(pl.len()).collect().item(), len(kept), table.table)
        name = table.table.name
        tables[name], errors[name] = kept.lazy(), broken.lazy()
        told.rows[name] = len(kept)
        told.notices.extend(table.notices)
        told.errors.extend(Finding(*error) for error in broken.rows())
    failed = [outcome for outcome in check(tables, dataset, None, {}, errors=errors) if not outcome.passed]
    refuse_by_checks(failed)
    told.warnings.extend(failed)
    return told


def refuse_by_checks(failed: list[CheckOutcome]) -> None:
    stopping = [outcome.findings.select(Finding._fields) for outcome in failed if outcome.severity == "error"]
    if stopping:
        raise FileRefusedError([Finding(*row) for row in pl.concat(stopping).iter_rows()])


def places(findings: list[Finding] | tuple[Finding, ...]) -> tuple[Place, ...]:
    return tuple((finding.row, finding.column, finding.rule) for finding in findings)


def said(findings: tuple[Finding, ...]) -> str:
    return " ".join(finding.reason for finding in findings)


@pytest.mark.parametrize("ugly", LIBRARY, ids=lambda ugly: f"{ugly.dataset}: {ugly.name}")
def test_an_ugly_file_has_its_outcome(ugly: Ugly, tmp_path: Path) -> None:
    found, reasons = outcome(ugly, tmp_path)
    if isinstance(ugly.outcome, Refused) and isinstance(found, Refused):
        assert found.findings == ugly.outcome.findings, found.words
        assert ugly.outcome.words in found.words
        assert WHAT_TO_DO.search(found.words), found.words
    else:
        assert found == ugly.outcome, reasons
    assert not any(PLANTED.upper() in reason.upper() for reason in reasons)


def test_the_library_is_large_and_each_file_in_it_is_there_once() -> None:
    names = [(ugly.dataset, ugly.name) for ugly in LIBRARY]
    assert len(names) == len(set(names)) >= 60


WHOLE = [ugly for ugly in LIBRARY if isinstance(ugly.outcome, Accepted) and isinstance(ugly.content, bytes)]
WORKBOOK = Ugly("a workbook", workbooks.two_tables(), TWO)
damages = st.lists(
    st.tuples(
        st.integers(0, 4000),
        st.integers(0, 40),
        st.sampled_from(
            [
                b"",
                b"\0",
                b'"',
                b'""',
                b"\r\n",
                b"\n\n",
                b"<",
                b"&",
                b"&#0;",
                b"]]>",
                b"\xef\xbb\xbf",
                b"\xe9",
                b";;",
                b"PK",
            ]
        ),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(("whole", "examples"), [(WHOLE, 100), ([WORKBOOK], 15)], ids=["text and XML", "a workbook"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(whole: list[Ugly], examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(st.sampled_from(whole), damages)
    def damaged(ugly: Ugly, edits: list[tuple[int, int, bytes]]) -> None:
        content = bytearray(ugly.content if isinstance(ugly.content, bytes) else ugly.content())
        for place, removed, added in edits:
            at = place % (len(content) + 1)
            content[at : at + removed] = added
        with tempfile.TemporaryDirectory() as folder:
            _, reasons = outcome(ugly._replace(content=bytes(content)), Path(folder))
        assert all(reasons)

    damaged()


SAMPLES_TABLE = re.findall(
    r"^\| `(\S+)` \| (accepted|rejected)(, every cell)?", (SAMPLES / "README.md").read_text(), re.M
)


@pytest.mark.parametrize(("name", "state", "whole"), SAMPLES_TABLE)
def test_a_sample_becomes_what_is_said_beside_it(name: str, state: str, whole: str, tmp_path: Path) -> None:
    dataset = next((known for known in declared_datasets() if name.startswith(known)), "ssda903")
    found, _ = outcome(Ugly(name, (SAMPLES / name).read_bytes(), TWO, dataset), tmp_path)
    assert isinstance(found, Accepted if state == "accepted" else Refused)
    if whole:
        assert isinstance(found, Accepted)
        assert (found.notices, found.errors) == ((), ())


def test_every_sample_is_in_the_table() -> None:
    assert {name for name, _, _ in SAMPLES_TABLE} == {file.name for file in SAMPLES.iterdir()} - {"README.md"}
