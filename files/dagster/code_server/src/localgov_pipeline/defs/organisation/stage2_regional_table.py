# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of all local authorities, with a manifest that says how much came from whom, and who was left out."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.organisation.members import shares_of_dataset
from localgov_pipeline.defs.organisation.run import WantedTable
from localgov_pipeline.defs.organisation.stage1_member_shares import member_shares
from localgov_pipeline.defs.storage import BucketClosedError, Storage

if TYPE_CHECKING:
    import polars as pl

    from localgov_pipeline.lib.regional import SharedFile


class Gathered(NamedTuple):
    """`frames` and `unreadable` name the local authority first; `refused` maps one that closed to the reason."""

    frames: "list[tuple[str, pl.DataFrame]]"
    unreadable: list[tuple[str, str]]
    refused: dict[str, str]


@dg.asset(deps=[member_shares], kinds={"s3", "csv", "polars"})
def regional_table(
    context: dg.AssetExecutionContext, storage: Storage, wanted: WantedTable
) -> dg.MaterializeResult[None]:
    from localgov_pipeline.lib import concatenation, regional

    table = wanted.identity
    columns = concatenation.shareable_columns(table)
    shares = shares_of_dataset(storage, table.dataset, storage.members)
    files = [file for file in shares.files if regional.table_of_shared_key(file.key) == table]
    with values_kept_out_of_logs():
        gathered = _gathered(storage, files, columns)
        rows = concatenation.concatenated(gathered.frames, columns)
    left_out = [*shares.closed.items(), *gathered.refused.items(), *gathered.unreadable]
    for local_authority, reason in left_out:
        context.log.warning("%s is left out: %s.", local_authority, reason)
    mark = regional.fingerprint(files, shares.closed)
    skipped = [concatenation.Skipped(*entry) for entry in left_out]
    now = datetime.now(UTC)
    retry_at = now + regional.RETRY_AFTER if gathered.refused else None
    manifest = concatenation.manifest_json(table, mark, rows, skipped, now, retry_at)
    storage.put(storage.data_store, table.key("csv"), rows.write_csv().encode(), "text/csv")
    storage.put(storage.data_store, table.key("json"), manifest, "application/json")
    members = len({name for name, _ in gathered.frames})
    return dg.MaterializeResult(metadata={"rows": len(rows), "local authorities": members, "left out": len(skipped)})


def _gathered(storage: Storage, files: "list[SharedFile]", columns: list[str]) -> Gathered:
    """What can be read. A local authority that closes meanwhile is left out as a whole, with what was read before."""
    read: list[tuple[str, pl.DataFrame | str]] = []
    refused: dict[str, str] = {}
    for file in files:
        if file.local_authority in refused:
            continue
        try:
            read.append((file.local_authority, _read(storage, file, columns)))
        except BucketClosedError as error:
            refused[file.local_authority] = str(error)
    kept = [(name, outcome) for name, outcome in read if name not in refused]
    return Gathered(
        [(name, outcome) for name, outcome in kept if not isinstance(outcome, str)],
        [(name, outcome) for name, outcome in kept if isinstance(outcome, str)],
        refused,
    )


def _read(storage: Storage, file: "SharedFile", columns: list[str]) -> "pl.DataFrame | str":
    """The rows of one file, or why it is left out. It may go between listing and reading."""
    from localgov_pipeline.lib.concatenation import readable

    fetched = storage.fetch(storage.members[file.local_authority], file.key)
    return "a file was withdrawn" if fetched is None else readable(fetched.content, columns)
