# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the upload as text cells, in the workspace."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.rejection import reject
from localgov_pipeline.defs.local_authority.stage2_uploaded import upload_path
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource, TableFacts
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import PARQUET, Storage

if TYPE_CHECKING:
    from localgov_pipeline.lib.reading import ParsedTable


@dg.asset(
    partitions_def=SUBMISSIONS,
    output_required=False,
    kinds={"s3", "parquet"},
    description="What the file says, before it is judged: each table that it holds, each cell as text, each row with "
    "the number that a spreadsheet shows for it. A file that cannot be trusted as a whole ends here, with a reason.",
)
def parsed(
    context: dg.AssetExecutionContext,
    uploaded: Facts,
    storage: Storage,
    submission: SubmissionResource,
    scratch: Scratch,
) -> Iterator[dg.Output[Facts]]:
    from localgov_pipeline.lib.findings import FileRefusedError

    try:
        with values_kept_out_of_logs():
            found = _read(upload_path(scratch, submission), submission, scratch.folder("read"))
            rows = {table.table.name: _kept(table, storage, submission, scratch) for table in found}
    except FileRefusedError as refused:
        context.log.info("Refused: %s", refused)
        reject(storage, submission, refused, uploaded)
        return
    notices = tuple({"table": table.table.name, **notice._asdict()} for table in found for notice in table.notices)
    facts = uploaded._replace(tables={table: TableFacts(count) for table, count in rows.items()}, notices=notices)
    counts = {f"rows of {table}": count for table, count in rows.items()}
    metadata: dict[str, int | str] = {"tables": ", ".join(rows), "notices": len(notices), **counts}
    yield dg.Output(facts, metadata=metadata, data_version=facts.version())


def _read(path: Path, submission: SubmissionResource, folder: Path) -> "list[ParsedTable]":
    from localgov_pipeline.lib.declarations import UnknownDatasetError, declared
    from localgov_pipeline.lib.findings import refusal
    from localgov_pipeline.lib.reading import read

    try:
        dataset = declared(submission.dataset, submission.year)
    except UnknownDatasetError as error:
        raise refusal("dataset", str(error)) from None
    return read(path, dataset, folder)


def _kept(found: "ParsedTable", storage: Storage, submission: SubmissionResource, scratch: Scratch) -> int:
    """In the workspace and on this disk; how many rows."""
    import polars as pl

    path = found.path.rename(scratch.folder("parsed") / f"{found.table.name}.parquet")
    key = submission.identity.stage_key("parsed", found.table.name)
    storage.put_file(storage.workspace, key, path, PARQUET)
    count: int = pl.scan_parquet(path).select(pl.len()).collect().item()
    return count
