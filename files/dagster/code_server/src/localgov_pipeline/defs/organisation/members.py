# SPDX-License-Identifier: GPL-3.0-or-later
"""What the local authorities share at this moment. One that has closed its bucket does not hold up the others.

An authority may share some datasets only. It refuses then to list its bucket as a whole, and lets each shared dataset
be listed by its folder. So whether an authority is closed is a question for each dataset, and sensor and run have to
answer it alike: otherwise a table would never look up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from localgov_pipeline.defs.storage import BucketClosedError, Storage
from localgov_pipeline.lib.regional import SharedFile, table_of_shared_key


class DatasetShares(NamedTuple):
    """`closed` maps a local authority to the reason why nothing of the dataset could be listed."""

    files: list[SharedFile]
    closed: dict[str, str]


class Shares(NamedTuple):
    """`closed` maps a dataset to the local authorities that are closed for it."""

    files: list[SharedFile]
    closed: dict[str, list[str]]


def all_shares(storage: Storage, datasets: Iterable[str]) -> Shares:
    """Of all datasets. Where a bucket as a whole is refused, `datasets` and what others share is looked for there."""
    files: list[SharedFile] = []
    refused: dict[str, str] = {}
    for local_authority, bucket in storage.members.items():
        try:
            files += _listed(storage, local_authority, bucket, "")
        except BucketClosedError:
            refused[local_authority] = bucket
    tables = {table for file in files if (table := table_of_shared_key(file.key)) is not None}
    closed: dict[str, list[str]] = {}
    for dataset in sorted({*datasets, *(table.dataset for table in tables)}):
        of_dataset = shares_of_dataset(storage, dataset, refused)
        files += of_dataset.files
        closed[dataset] = [*of_dataset.closed]
    return Shares(files, closed)


def shares_of_dataset(storage: Storage, dataset: str, members: Mapping[str, str]) -> DatasetShares:
    """Of one dataset, by its folder: whoever may list a whole bucket may list that as well."""
    files: list[SharedFile] = []
    closed: dict[str, str] = {}
    for local_authority, bucket in sorted(members.items()):
        try:
            files += _listed(storage, local_authority, bucket, f"{dataset}/")
        except BucketClosedError as error:
            closed[local_authority] = str(error)
    return DatasetShares(files, closed)


def _listed(storage: Storage, local_authority: str, bucket: str, prefix: str) -> list[SharedFile]:
    """A list and no iterator: a bucket that closes between two pages shares nothing."""
    return [SharedFile(local_authority, entry.key, entry.etag) for entry in storage.objects(bucket, prefix)]
