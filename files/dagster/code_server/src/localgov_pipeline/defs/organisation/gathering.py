# SPDX-License-Identifier: GPL-3.0-or-later
"""Take over what one local authority shares of one group, or find out why that cannot be done."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from localgov_pipeline.defs.organisation.members import manifests_under
from localgov_pipeline.defs.storage import PARQUET, BucketClosedError, BucketUnreachableError, Storage, bucket_of
from localgov_pipeline.lib.manifests import ManifestError, ManifestName, read_manifest
from localgov_pipeline.lib.regional import Member, Part, keeps_published, part_key

_KEPT = "what was published is kept by agreement"


class Outcome(NamedTuple):
    """`member` is None where nothing is, or was, there. `is_passing`: to be tried again although it may look alike."""

    member: Member | None
    is_passing: bool = False


class Gatherer(NamedTuple):
    storage: Storage
    group: ManifestName
    # Parts that were taken over in this run lie here as well, by table and local authority.
    folder: Path

    def local_path(self, table: str, name: str) -> Path:
        return self.folder / table / f"{name}.parquet"

    def gathered(self, name: str, before: Member | None) -> Outcome:
        location = self.storage.members.get(name)
        if location is None:
            return Outcome(self._closed(name, before, "no longer in the inventory"))
        looked_open = False
        try:
            bucket = bucket_of(location)
            # By the dataset, as the sensor looks: a narrower share than that counts as closed.
            etag = manifests_under(self.storage, bucket, f"{self.group.dataset}/").get(self.group)
            looked_open = True
            return Outcome(None if etag is None else self._taken_over(name, bucket, etag, before))
        except BucketClosedError as refused:
            closed = self._closed(name, before, str(refused))
            # Listed and not readable: it would look as if there were something new, again and again.
            return Outcome(closed._replace(is_open=True, etag=etag) if looked_open else closed, looked_open)
        except BucketUnreachableError as unreachable:
            unchanged = before or Member(True, None, {})
            return Outcome(unchanged._replace(reason=f"{unreachable}: what was there stays"), is_passing=True)

    def _closed(self, name: str, before: Member | None, reason: str) -> Member:
        if before is not None and before.parts and keeps_published(self.storage.agreements, name):
            return Member(False, None, before.parts, f"{reason}; {_KEPT}")
        return Member(False, None, {}, reason)

    def _taken_over(self, name: str, bucket: str, etag: str, before: Member | None) -> Member:
        fetched = self.storage.fetch(bucket, self.group.key)
        if fetched is None:
            return Member(True, etag, {}, "its manifest was removed")
        try:
            entries = read_manifest(fetched.content, self.group)
        except ManifestError as error:
            return Member(True, etag, {}, str(error))
        parts: dict[str, Part] = {}
        reasons = []
        for table, entry in entries.items():
            part = Part(entry["submission"], entry["rows"], entry["sha256"])
            is_known = before is not None and before.parts.get(table) == part
            reason = None if is_known else self._copied(name, bucket, table, entry["key"], part)
            if reason is None:
                parts[table] = part
            else:
                reasons.append(f"{table}: {reason}")
        return Member(True, etag, parts, "; ".join(reasons) or None)

    def _copied(self, name: str, bucket: str, table: str, key: str, part: Part) -> str | None:
        """One file into the organisation's own bucket; why not, where it is left out."""
        from localgov_pipeline.lib.concatenation import shareable_columns, unreadable

        columns = shareable_columns(self.group, table)
        if not columns:
            return "the table is not declared"
        path = self.local_path(table, name)
        path.parent.mkdir(exist_ok=True)
        downloaded = self.storage.download(bucket, key, path)
        if downloaded is None:
            reason: str | None = "a file was withdrawn"
        elif downloaded.sha256 != part.sha256:
            reason = "a file is not the one that its manifest names"
        else:
            reason = unreadable(path, columns, part.rows)
        if reason is not None:
            path.unlink(missing_ok=True)
            return reason
        own = part_key(self.group, table, name, part.submission)
        self.storage.put_file(self.storage.data_store, own, path, PARQUET)
        return None
