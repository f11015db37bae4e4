# SPDX-License-Identifier: GPL-3.0-or-later
"""One table of all local authorities: parquet and CSV, with a JSON file that accounts for the rows."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.organisation.run import WantedGroup
from localgov_pipeline.defs.organisation.stage2_regional_parts import Gathered
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import CSV, JSON, PARQUET, Storage
from localgov_pipeline.lib import regional
from localgov_pipeline.lib.manifests import ManifestName, in_utc


class Combined(NamedTuple):
    """`digests` of the combined files by table, of those that did not change as well."""

    gathered: Gathered
    digests: dict[str, str]
    finished_at: str
    # When what did not answer, or closed meanwhile, is tried again.
    retry_at: str | None


@dg.asset(
    kinds={"s3", "parquet", "csv", "polars"},
    description="The rows of all local authorities in one table, with the columns `local_authority` and `submission` "
    "in front, so that each row can be traced to the upload that it comes from.",
)
def regional_tables(
    context: dg.AssetExecutionContext, regional_parts: Gathered, storage: Storage, wanted: WantedGroup, scratch: Scratch
) -> dg.Output[Combined]:
    now = datetime.now(UTC)
    finished_at = in_utc(now)
    retry_at = in_utc(now + regional.RETRY_AFTER) if regional_parts.is_passing else None
    digests = dict(regional_parts.before.combined)
    rows = {}
    for table in regional_parts.changed:
        writer = _Writer(storage, wanted.group, table, scratch.folder("combined"), scratch.folder("parts"))
        with values_kept_out_of_logs():
            digests[table] = writer.write(regional_parts)
        account = regional.table_json(wanted.group, table, regional_parts.members, finished_at, retry_at)
        storage.put(storage.data_store, regional.table_key(wanted.group, table, "json"), account, JSON)
        parts = regional.authorities_of_table(regional_parts.members, table)
        rows[table] = sum(part.rows for part in parts.values())
        context.log.info("%s: %d rows of %d local authorities.", table, rows[table], len(parts))
    result = Combined(regional_parts, digests, finished_at, retry_at)
    _accounts_of_unchanged(storage, wanted.group, result)
    return dg.Output(result, metadata={f"rows of {table}": count for table, count in rows.items()})


def _accounts_of_unchanged(storage: Storage, group: ManifestName, result: Combined) -> None:
    """Who is left out is said beside each table, also where none of its rows changed."""
    gathered = result.gathered
    is_as_before = regional.skipped(gathered.members) == regional.skipped(gathered.before.members)
    if is_as_before and result.retry_at == gathered.before.retry_at:
        return
    for table in gathered.before.combined:
        if table not in gathered.changed:
            account = regional.table_json(group, table, gathered.members, result.finished_at, result.retry_at)
            storage.put(storage.data_store, regional.table_key(group, table, "json"), account, JSON)


class _Writer(NamedTuple):
    storage: Storage
    group: ManifestName
    table: str
    folder: Path
    parts: Path

    def write(self, gathered: Gathered) -> str:
        """The combined table; its digest. It is written from what it was where that is sound, else from all parts."""
        import hashlib

        from localgov_pipeline.lib import concatenation

        before = self._before(gathered)
        now = regional.authorities_of_table(gathered.members, self.table)
        replaced = gathered.replaced(self.table)
        wanted = {name: part for name, part in now.items() if before is None or name in replaced}
        files = {name: (part.submission, self._file(name, part)) for name, part in wanted.items()}
        columns = concatenation.shareable_columns(self.group, self.table)
        path = self.folder / f"{self.table}.parquet"
        concatenation.combined(before, replaced, files, columns).sink_parquet(path)
        concatenation.as_csv(path, path.with_suffix(".csv"))
        bucket = self.storage.data_store
        csv_key, parquet_key = (regional.table_key(self.group, self.table, form) for form in ("csv", "parquet"))
        self.storage.put_file(bucket, csv_key, path.with_suffix(".csv"), CSV)
        self.storage.put_file(bucket, parquet_key, path, PARQUET)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _before(self, gathered: Gathered) -> Path | None:
        known = gathered.before.combined.get(self.table)
        key = regional.table_key(self.group, self.table, "parquet")
        if known is None or not self.storage.has(self.storage.data_store, key):
            return None
        path = self.folder / f"{self.table}-before.parquet"
        downloaded = self.storage.download(self.storage.data_store, key, path)
        return path if downloaded is not None and downloaded.sha256 == known else None

    def _file(self, name: str, part: regional.Part) -> Path:
        """The part on this disk: copied in this run, or before and fetched now."""
        path = self.parts / self.table / f"{name}.parquet"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            key = regional.part_key(self.group, self.table, name, part.submission)
            if self.storage.download(self.storage.data_store, key, path) is None:
                raise FileNotFoundError(
                    f"s3://{self.storage.data_store}/{key} is missing. Remove {regional.state_key(self.group)} "
                    "there, and everything is taken over again."
                )
        return path
