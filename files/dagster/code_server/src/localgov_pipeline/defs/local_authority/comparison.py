# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a dataset over what this submission, the others of its year and the year before hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localgov_pipeline.defs.local_authority.standing import standing
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.local_authority.thresholds import thresholds
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import CSV, Storage
from localgov_pipeline.lib.declarations import Dataset, declared
from localgov_pipeline.lib.submissions import DatasetYear, Submission

if TYPE_CHECKING:
    import polars as pl

    from localgov_pipeline.lib.checks import CheckOutcome
    from localgov_pipeline.lib.findings import FileRefusedError

_ROWS_SHOWN = 20
# Table to the report of the submission that is shared of it now.
Current = Mapping[str, Mapping[str, Any]]


def compare(
    storage: Storage, submission: SubmissionResource, scratch: Scratch, facts: Facts
) -> tuple[Facts, FileRefusedError | None]:
    """Make the checks: the facts with what they found, and what of it stops the submission."""
    identity = submission.identity
    dataset = declared(identity.dataset, identity.year)
    others: Current = {}
    if _compared_with(dataset, facts.tables):
        others = _others(dataset, facts.tables, identity, standing(storage, identity.dataset_year).current)
    outcomes = _outcomes(dataset, others, storage, submission, scratch, facts)
    found = _with_checks(facts, outcomes, others, submission)
    return found, _refusal_of(outcomes, found)


def compare_with_what_came(
    current: Current, storage: Storage, submission: SubmissionResource, scratch: Scratch, facts: Facts
) -> Facts | None:
    """Two runs at the same time do not see each other's tables. Each looks again after its report, so that the one
    that ends last makes the checks between them; None where nothing came.

    Checks between submissions stop none, so that what is accepted stays so.
    """
    identity = submission.identity
    dataset = declared(identity.dataset, identity.year)
    others = _others(dataset, facts.tables, identity, current)
    if not _contents(others).items() - facts.compared.items():
        return None
    between = {name: check for name, check in dataset.checks.items() if check.to}
    dataset = dataset.model_copy(update={"checks": between})
    return _with_checks(facts, _outcomes(dataset, others, storage, submission, scratch, facts), others, submission)


def _with_checks(
    facts: Facts, outcomes: Sequence[CheckOutcome], others: Current, submission: SubmissionResource
) -> Facts:
    entries = {entry["name"]: entry for entry in facts.checks} | {
        outcome.name: _entry(outcome, submission) for outcome in outcomes
    }
    return facts._replace(checks=tuple(entries.values()), compared=_contents(others))


def _outcomes(
    dataset: Dataset,
    others: Current,
    storage: Storage,
    submission: SubmissionResource,
    scratch: Scratch,
    facts: Facts,
) -> list[CheckOutcome]:
    import polars as pl

    from localgov_pipeline.lib.checks import FINDING_SCHEMA, check

    own = {name: pl.scan_parquet(scratch.folder("cleaned") / f"{name}.parquet") for name in facts.tables}
    outcomes = check(
        {**_kept(others, storage, submission.identity, scratch), **own},
        dataset,
        _rows_before(storage, submission.identity),
        thresholds(dataset.name),
        about=[*own],
        sent_as={name: report["submission"] for name, report in others.items()},
        errors={name: pl.scan_parquet(scratch.folder("errors") / f"{name}.parquet") for name in own},
    )
    for outcome in outcomes:
        outcome.findings.select(FINDING_SCHEMA.names()).write_parquet(_findings_path(outcome.name, scratch))
    return outcomes


def _findings_path(check: str, scratch: Scratch) -> Path:
    return scratch.folder("findings") / f"{check}.parquet"


def _compared_with(dataset: Dataset, own: Collection[str]) -> set[str]:
    """Tables of other submissions that the checks of these tables look into, or from which checks look into these."""
    pairs = [{str(check.table), check.to} for check in dataset.checks.values() if check.to]
    return {table for pair in pairs if pair & {*own} for table in pair} - {*own}


def _others(dataset: Dataset, own: Collection[str], identity: Submission, current: Current) -> Current:
    """Those of them that are current. What the upload held before it was replaced is not compared with."""
    wanted = _compared_with(dataset, own)
    return {
        name: report
        for name, report in current.items()
        if name in wanted and report["submission"] != identity.submission
    }


def _contents(others: Current) -> dict[str, str]:
    return {name: report["sha256"] for name, report in others.items()}


def _kept(others: Current, storage: Storage, identity: Submission, scratch: Scratch) -> dict[str, pl.LazyFrame]:
    """Their cleaned rows, as far as the workspace still has them."""
    import polars as pl

    found: dict[str, pl.LazyFrame] = {}
    for name, report in others.items():
        other = Submission(identity.dataset, identity.year, report["submission"])
        key, path = other.stage_key("cleaned", name), scratch.folder("others") / f"{name}.parquet"
        if storage.has(storage.workspace, key) and storage.download(storage.workspace, key, path) is not None:
            found[name] = pl.scan_parquet(path)
    return found


def _rows_before(storage: Storage, identity: Submission) -> dict[str, int]:
    before = DatasetYear(identity.dataset, identity.year - 1)
    current = standing(storage, before).current
    return {table: report["tables"][table]["rows"]["written"] for table, report in current.items()}


def _entry(outcome: CheckOutcome, submission: SubmissionResource) -> dict[str, Any]:
    """What the report says of a check."""
    title = declared(submission.dataset, submission.year).checks[outcome.name].title
    shown = outcome.findings.head(_ROWS_SHOWN).to_dicts()
    return {
        "name": outcome.name,
        "title": title,
        "severity": outcome.severity,
        "made": outcome.made,
        "passed": outcome.passed,
        "findings": outcome.counts["findings"],
        "shown": shown,
    }


def _refusal_of(found: Sequence[CheckOutcome], facts: Facts) -> FileRefusedError | None:
    """The findings of the checks that stop a submission."""
    from localgov_pipeline.lib.findings import FileRefusedError, Finding

    findings = [
        Finding(*row)
        for outcome in found
        if outcome.severity == "error" and not outcome.passed
        for row in outcome.findings.select(Finding._fields).iter_rows()
    ]
    if not findings:
        return None
    read = sum(table.read for table in facts.tables.values())
    return FileRefusedError(findings, read, next(iter(facts.tables)) if len(facts.tables) == 1 else None)


def write_errors(storage: Storage, submission: SubmissionResource, scratch: Scratch, facts: Facts) -> None:
    """The cells that were blanked, and then what the checks found."""
    import polars as pl

    path = scratch.folder("checked") / "errors.csv"
    findings = [pl.scan_parquet(_findings_path(check["name"], scratch)) for check in facts.checks]
    pl.concat([cell_errors(scratch, facts), *findings]).sink_csv(path)
    storage.put_file(storage.data_store, submission.identity.result_key(path.name), path, CSV)


def cell_errors(scratch: Scratch, facts: Facts) -> pl.LazyFrame:
    import polars as pl

    from localgov_pipeline.lib.outputs import labelled

    return pl.concat(
        [labelled(pl.scan_parquet(scratch.folder("errors") / f"{name}.parquet"), name) for name in facts.tables]
    )
