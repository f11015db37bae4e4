# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen only between rows, tables and years; and the result for the person who uploaded the file."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority import comparison, preview
from localgov_pipeline.defs.local_authority.rejection import reject
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import CSV, Storage
from localgov_pipeline.lib.declarations import declared, declared_datasets, declared_years

SEVERITIES = {"error": dg.AssetCheckSeverity.ERROR, "warning": dg.AssetCheckSeverity.WARN}


def check_name(dataset: str, check: str) -> str:
    return f"{dataset}__{check}"


def _check_specs() -> list[dg.AssetCheckSpec]:
    titles = {
        check_name(name, check): found.title
        for name in declared_datasets()
        for year in {declared_years(name)[0], declared_years(name)[-1]}
        for check, found in declared(name, year).checks.items()
    }
    return [dg.AssetCheckSpec(name, asset="checked", description=title) for name, title in sorted(titles.items())]


CHECKS = _check_specs()


@dg.multi_asset(
    outs={
        "checked": dg.AssetOut(
            is_required=False,
            kinds={"s3", "csv", "polars"},
            description="The cleaned tables as CSV and `errors.csv`, for the person who uploaded the file, once the "
            "checks of the dataset are made: between rows, between tables, and with the year before. A check of the "
            "severity `error` that fails ends the submission here, one of the severity `warning` is reported.",
        )
    },
    ins={"cleaned": dg.AssetIn("cleaned")},
    partitions_def=SUBMISSIONS,
    check_specs=CHECKS,
    can_subset=True,
    name="checked",
)
def checked(
    context: dg.AssetExecutionContext,
    cleaned: Facts,
    storage: Storage,
    submission: SubmissionResource,
    scratch: Scratch,
) -> Iterator[dg.Output[Facts] | dg.AssetCheckResult]:
    with values_kept_out_of_logs():
        facts, refused = comparison.compare(storage, submission, scratch, cleaned)
    if refused is not None:
        context.log.info("Refused: %s", refused)
        reject(storage, submission, refused, facts)
    else:
        with values_kept_out_of_logs():
            _write_results(storage, submission, scratch, facts)
            columns = preview.columns(facts.tables, submission, scratch)
        made = [entry for entry in facts.checks if entry["made"]]
        metadata: dict[str, int | dg.TableMetadataValue] = {
            "checks made": len(made),
            "checks that failed": sum(not entry["passed"] for entry in made),
            "checks": preview.checks(facts.checks),
            "what the columns hold": columns,
        }
        yield dg.Output(facts, output_name="checked", metadata=metadata, data_version=facts.version())
    yield from _check_results(facts, submission)


def _check_results(facts: Facts, submission: SubmissionResource) -> Iterator[dg.AssetCheckResult]:
    known = {spec.name for spec in CHECKS}
    for entry in facts.checks:
        name = check_name(submission.dataset, entry["name"])
        if name in known and entry["made"]:
            yield dg.AssetCheckResult(
                asset_key="checked",
                check_name=name,
                passed=entry["passed"],
                severity=SEVERITIES[entry["severity"]],
                metadata={"findings": entry["findings"], "submission": submission.identity.path},
            )


def _write_results(storage: Storage, submission: SubmissionResource, scratch: Scratch, facts: Facts) -> None:
    import polars as pl

    from localgov_pipeline.lib import outputs

    identity, folder = submission.identity, scratch.folder("checked")
    tables = declared(identity.dataset, identity.year).tables
    for name in facts.tables:
        path = folder / f"{name}.csv"
        outputs.write_result(pl.scan_parquet(scratch.folder("cleaned") / f"{name}.parquet"), tables[name], path)
        storage.put_file(storage.data_store, identity.result_key(path.name), path, CSV)
    comparison.write_errors(storage, submission, scratch, facts)
    # A version before may have held other tables.
    kept = {
        identity.result_key(name) for name in ("report.json", "errors.csv", *(f"{name}.csv" for name in facts.tables))
    }
    listed = {entry.key for entry in storage.objects(storage.data_store, identity.result_key(""))}
    progress = {key for key in listed if key.startswith(identity.progress_prefix)}
    storage.remove(storage.data_store, sorted(listed - kept - progress))
