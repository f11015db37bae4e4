# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of all local authorities, with a manifest that says how much came from whom, and who was left out."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.organisation.members import current_shares
from localgov_pipeline.defs.organisation.run import WantedTable
from localgov_pipeline.defs.organisation.stage1_member_shares import member_shares
from localgov_pipeline.defs.storage import BucketClosedError, Storage

if TYPE_CHECKING:
    import polars as pl

    from localgov_pipeline.lib.regional import SharedFile


@dg.asset(deps=[member_shares], kinds={"s3", "csv", "polars"})
def regional_table(
    context: dg.AssetExecutionContext, storage: Storage, wanted: WantedTable
) -> dg.MaterializeResult[None]:
    from localgov_pipeline.lib import concatenation, regional

    table = wanted.identity
    columns = concatenation.shareable_columns(table)
    shares = current_shares(storage, table.prefix)
    skipped = [concatenation.Skipped(name, reason) for name, reason in shares.closed.items()]
    frames: list[tuple[str, pl.DataFrame]] = []
    with values_kept_out_of_logs():
        for file in shares.files:
            frame = _read(storage, file, columns)
            if isinstance(frame, str):
                skipped.append(concatenation.Skipped(file.local_authority, frame))
            else:
                frames.append((file.local_authority, frame))
        rows = concatenation.concatenated(frames, columns)
    for local_authority, reason in skipped:
        context.log.warning("%s is left out: %s.", local_authority, reason)
    mark = regional.fingerprint(shares.files, shares.closed)
    manifest = concatenation.manifest_json(table, mark, rows, skipped, datetime.now(UTC))
    storage.put(storage.data_store, table.key("csv"), rows.write_csv().encode(), "text/csv")
    storage.put(storage.data_store, table.key("json"), manifest, "application/json")
    members = len({name for name, _ in frames})
    return dg.MaterializeResult(metadata={"rows": len(rows), "local authorities": members, "left out": len(skipped)})


def _read(storage: Storage, file: "SharedFile", columns: list[str]) -> "pl.DataFrame | str":
    """The rows of one file, or why it is left out. A file may go, or a bucket close, between listing and reading."""
    from localgov_pipeline.lib.concatenation import readable

    try:
        fetched = storage.fetch(storage.members[file.local_authority], file.key)
    except BucketClosedError as error:
        return str(error)
    return "a file was withdrawn" if fetched is None else readable(fetched.content, columns)
