# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of a dataset over what this submission, the others of its year and the year before hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from localgov_pipeline.defs.local_authority.standing import standing
from localgov_pipeline.defs.local_authority.submission import Facts, SubmissionResource
from localgov_pipeline.defs.local_authority.thresholds import thresholds
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib.declarations import Dataset, declared
from localgov_pipeline.lib.submissions import DatasetYear, Submission

if TYPE_CHECKING:
    import polars as pl

    from localgov_pipeline.lib.checks import CheckOutcome
    from localgov_pipeline.lib.findings import FileRefusedError

_ROWS_SHOWN = 20


def outcomes(storage: Storage, submission: SubmissionResource, scratch: Scratch, facts: Facts) -> list[CheckOutcome]:
    import polars as pl

    from localgov_pipeline.lib.checks import check

    identity = submission.identity
    dataset = declared(identity.dataset, identity.year)
    own = {name: pl.scan_parquet(scratch.folder("cleaned") / f"{name}.parquet") for name in facts.tables}
    errors = {name: pl.scan_parquet(scratch.folder("errors") / f"{name}.parquet") for name in facts.tables}
    others = _others(storage, identity, scratch, _compared_with(dataset, facts.tables))
    before = _rows_before(storage, identity)
    return check({**others, **own}, dataset, before, thresholds(identity.dataset), about=[*own], errors=errors)


def _compared_with(dataset: Dataset, own: Mapping[str, object]) -> set[str]:
    """Tables that the checks of these tables look into, and that are in other submissions."""
    return {found.to for found in dataset.checks.values() if found.table in own and found.to} - {*own}


def _others(storage: Storage, identity: Submission, scratch: Scratch, tables: set[str]) -> dict[str, pl.LazyFrame]:
    """The cleaned tables that are current, as far as the workspace still has them."""
    import polars as pl

    found: dict[str, pl.LazyFrame] = {}
    current = standing(storage, identity.dataset_year).current if tables else {}
    for name in sorted(tables & set(current)):
        other = Submission(identity.dataset, identity.year, current[name]["submission"])
        key, path = other.stage_key("cleaned", name), scratch.folder("others") / f"{name}.parquet"
        if storage.has(storage.workspace, key) and storage.download(storage.workspace, key, path) is not None:
            found[name] = pl.scan_parquet(path)
    return found


def _rows_before(storage: Storage, identity: Submission) -> dict[str, int]:
    before = DatasetYear(identity.dataset, identity.year - 1)
    current = standing(storage, before).current
    return {table: report["tables"][table]["rows"]["written"] for table, report in current.items()}


def entry(outcome: CheckOutcome, submission: SubmissionResource) -> dict[str, Any]:
    """What the report says of a check."""
    title = declared(submission.dataset, submission.year).checks[outcome.name].title
    shown = outcome.findings.head(_ROWS_SHOWN).to_dicts()
    return {
        "name": outcome.name,
        "title": title,
        "severity": outcome.severity,
        "passed": outcome.passed,
        "findings": outcome.counts["findings"],
        "shown": shown,
    }


def refusal_of(found: Sequence[CheckOutcome], facts: Facts) -> FileRefusedError | None:
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


def write_findings(found: Sequence[CheckOutcome], scratch: Scratch) -> None:
    import polars as pl

    from localgov_pipeline.lib.checks import FINDING_SCHEMA

    frames = [outcome.findings.select(FINDING_SCHEMA.names()) for outcome in found]
    pl.concat([pl.DataFrame(schema=FINDING_SCHEMA), *frames]).write_parquet(scratch.folder("findings") / "all.parquet")


def findings(scratch: Scratch) -> pl.LazyFrame:
    import polars as pl

    return pl.scan_parquet(scratch.folder("findings") / "all.parquet")


def cell_errors(scratch: Scratch, facts: Facts) -> pl.LazyFrame:
    import polars as pl

    from localgov_pipeline.lib.outputs import labelled

    return pl.concat(
        [labelled(pl.scan_parquet(scratch.folder("errors") / f"{name}.parquet"), name) for name in facts.tables]
    )
