# SPDX-License-Identifier: GPL-3.0-or-later
"""The report, and then the manifests that follow from it: only they make something shared, or supersede it."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority import comparison
from localgov_pipeline.defs.local_authority.rejection import finish, is_still_so
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import Storage

if TYPE_CHECKING:
    from localgov_pipeline.lib import outputs


@dg.asset(
    partitions_def=SUBMISSIONS,
    kinds={"s3", "json"},
    description="What became of the submission, for the person who uploaded it: rows, errors by rule, checks, what is "
    "shared. It never holds a value of the file.",
)
def report(
    context: dg.AssetExecutionContext, shared: Facts, storage: Storage, submission: SubmissionResource, scratch: Scratch
) -> dg.MaterializeResult[None]:
    document = _document(shared, submission, scratch)
    current = finish(storage, document).current
    with values_kept_out_of_logs():
        compared = comparison.compare_with_what_came(current, storage, submission, scratch, shared)
    if compared is not None and is_still_so(storage, document):
        with values_kept_out_of_logs():
            comparison.write_errors(storage, submission, scratch, compared)
        document = document._replace(checks=compared.checks, finished_at=datetime.now(UTC))
        finish(storage, document)
    _verify(storage, shared)
    failed = [check["title"] for check in document.checks if check["made"] and not check["passed"]]
    metadata: dict[str, int | str] = {
        "state": document.state,
        "rows": document.rows.written,
        "errors": document.errors.total,
        "warnings": "; ".join(failed) or "none",
        "report": f"s3://{storage.data_store}/{submission.identity.report_key}",
    }
    return dg.MaterializeResult(metadata=metadata, data_version=shared.version())


def _document(shared: Facts, submission: SubmissionResource, scratch: Scratch) -> "outputs.Report":
    from localgov_pipeline.lib import outputs
    from localgov_pipeline.lib.declarations import declared

    identity = submission.identity
    with values_kept_out_of_logs():
        errors = outputs.errors_of(comparison.cell_errors(scratch, shared))
    tables = {name: outputs.Rows(found.read, found.written, found.shared) for name, found in shared.tables.items()}
    return outputs.Report(
        identity,
        submission.version_id,
        "accepted",
        datetime.now(UTC),
        shared.sha256,
        shared.uploaded_at,
        table=next(iter(tables)) if len(tables) == 1 else None,
        rows=outputs.Rows(*(sum(counts) for counts in zip(*tables.values(), strict=True))),
        tables=tables,
        errors=errors,
        notices=shared.notices,
        checks=shared.checks,
        shared=shared.shared,
        schema_version=declared(identity.dataset, identity.year).schema_version,
    )


def _verify(storage: Storage, facts: Facts) -> None:
    """Two versions of one upload at once could take each other's files away; then the run as a whole is tried again."""
    for part in facts.shared:
        manifest = storage.fetch(storage.shared, part["manifest"])
        named = b"" if manifest is None else manifest.content
        for table in part["tables"].values():
            key = table["parquet"]["key"]
            if key.encode() in named and not storage.has(storage.shared, key):
                missing = f"s3://{storage.shared}/{key} is named by its manifest and is not there."
                raise dg.Failure(missing, allow_retries=False)
