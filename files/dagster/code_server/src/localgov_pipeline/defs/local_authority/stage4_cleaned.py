# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables with typed cells that obey their rules, and the list of those that did not, in the workspace."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.rejection import reject
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import PARQUET, Storage

if TYPE_CHECKING:
    from localgov_pipeline.lib.cleaning import Counts

ROWS_ADD_UP = dg.AssetCheckSpec(
    "rows_add_up",
    asset="cleaned",
    blocking=True,
    description="No row is lost or doubled: rows read are rows kept plus rows whose key cannot be used.",
)

# Dagster guesses the columns of a table from its rows, and a good file has none.
ERRORS_BY_RULE = dg.TableSchema(
    [dg.TableColumn(name, "int" if name == "cells" else "string") for name in ("table", "column", "rule", "cells")]
)


@dg.asset(
    partitions_def=SUBMISSIONS,
    output_required=False,
    check_specs=[ROWS_ADD_UP],
    kinds={"s3", "parquet", "polars"},
    description="Each cell brought into its declared form, or blanked and listed with its row, its column and how to "
    "mend it (never with its value). Rows whose key cannot be used are left out: nothing could be joined to them.",
)
def cleaned(
    context: dg.AssetExecutionContext,
    parsed: Facts,
    storage: Storage,
    submission: SubmissionResource,
    scratch: Scratch,
) -> Iterator[dg.Output[Facts] | dg.AssetCheckResult]:
    from localgov_pipeline.lib.findings import FileRefusedError

    try:
        with values_kept_out_of_logs():
            counts = {table: _cleaned(table, storage, submission, scratch) for table in parsed.tables}
            _refuse_without_rows(parsed, counts, submission)
            facts = parsed.with_counts(
                written={table: count.written for table, count in counts.items()},
                errors={table: count.errors for table, count in counts.items()},
            )
            by_rule = dg.MetadataValue.table(_errors_by_rule(facts, scratch), ERRORS_BY_RULE)
    except FileRefusedError as refused:
        context.log.info("Refused: %s", refused)
        reject(storage, submission, refused, parsed)
        # Every row was left out. Dagster wants the outcome of the check also when nothing is put out.
        yield dg.AssetCheckResult(passed=True, metadata={"rows": 0})
        return
    metadata: dict[str, float | dg.TableMetadataValue] = {**_metadata(facts, submission), "errors by rule": by_rule}
    yield dg.Output(facts, metadata=metadata, data_version=facts.version())
    adds_up = all(facts.tables[table].read == count.written + count.left_out for table, count in counts.items())
    yield dg.AssetCheckResult(passed=adds_up)


def _refuse_without_rows(parsed: Facts, counts: "dict[str, Counts]", submission: SubmissionResource) -> None:
    """A census may well have no child with a disability. A file or a sheet of one table is about that table: without
    rows it would take the place of what is shared of it."""
    from localgov_pipeline.lib.cleaning import refuse_without_rows
    from localgov_pipeline.lib.declarations import declared

    dataset = declared(submission.dataset, submission.year)
    if dataset.format == "xml" and any(count.written for count in counts.values()):
        return
    # Of several without rows, the one that was read tells more about why.
    for table, facts in sorted(parsed.tables.items(), key=lambda found: -found[1].read):
        refuse_without_rows(facts.read, counts[table].written, dataset.tables[table])


def _cleaned(table: str, storage: Storage, submission: SubmissionResource, scratch: Scratch) -> "Counts":
    import polars as pl

    from localgov_pipeline.lib.cleaning import clean, counted, sink
    from localgov_pipeline.lib.declarations import declared

    identity = submission.identity
    rules = declared(identity.dataset, identity.year).tables[table]
    rows, errors = scratch.folder("cleaned") / f"{table}.parquet", scratch.folder("errors") / f"{table}.parquet"
    read = pl.scan_parquet(scratch.folder("parsed") / f"{table}.parquet")
    sink(clean(read, rules), rows, errors)
    storage.put_file(storage.workspace, identity.stage_key("cleaned", table), rows, PARQUET)
    storage.put_file(storage.workspace, identity.stage_key("cleaned", f"{table}.errors"), errors, PARQUET)
    return counted(read, rules, rows, errors)


def _errors_by_rule(facts: Facts, scratch: Scratch) -> list[dg.TableRecord]:
    """What was wrong, and how often; never the value that was."""
    import polars as pl

    found = []
    for table in facts.tables:
        errors = pl.scan_parquet(scratch.folder("errors") / f"{table}.parquet")
        counted = errors.group_by("column", "rule").len("cells").sort("cells", "column", descending=[True, False])
        found += [dg.TableRecord({"table": table, **row}) for row in counted.collect().to_dicts()]
    return found


def _metadata(facts: Facts, submission: SubmissionResource) -> dict[str, float]:
    from localgov_pipeline.lib.declarations import declared

    dataset = declared(submission.dataset, submission.year)
    metadata: dict[str, float] = {}
    for name, table in facts.tables.items():
        cells = table.read * len(dataset.tables[name].columns)
        metadata[f"rows of {name}"] = table.written
        metadata[f"rows left out of {name}"] = table.read - table.written
        metadata[f"errors of {name}"] = table.errors
        metadata[f"error rate of {name}"] = round(table.errors / cells, 6) if cells else 0.0
    return metadata
