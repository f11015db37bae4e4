# SPDX-License-Identifier: GPL-3.0-or-later
"""What the local authorities' buckets look like from outside. One that is closed does not hold up the others.

An authority may share some datasets only. It refuses then to list its bucket as a whole, and lets each shared dataset
be listed by its folder. So whether an authority is closed is a question for each dataset, and sensor and run have to
answer it alike: otherwise a group would never look up to date.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from localgov_pipeline.defs.storage import PARALLEL, BucketClosedError, BucketUnreachableError, Storage
from localgov_pipeline.lib.manifests import ManifestName
from localgov_pipeline.lib.regional import Look, group_of_manifest

Manifests = dict[ManifestName, str]
NOTHING, CLOSED, UNREACHABLE = Look("nothing"), Look("closed"), Look("unreachable")


class Listing(NamedTuple):
    """Of one local authority: its manifests with their entity tags, and the datasets that it refuses to list."""

    manifests: Manifests
    refused: frozenset[str] = frozenset()
    is_reached: bool = True

    def look(self, group: ManifestName) -> Look:
        if not self.is_reached:
            return UNREACHABLE
        if group.dataset in self.refused:
            return CLOSED
        return Look("manifest", self.manifests[group]) if group in self.manifests else NOTHING


def listings(storage: Storage, datasets: Collection[str]) -> dict[str, Listing]:
    """Of all local authorities, many at a time."""
    members = storage.members
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = pool.map(lambda bucket: _listing(storage, bucket, datasets), members.values())
        return dict(zip(members, found, strict=True))


def _listing(storage: Storage, bucket: str, datasets: Collection[str]) -> Listing:
    try:
        return Listing(manifests_under(storage, bucket, ""))
    except BucketUnreachableError:
        return Listing({}, is_reached=False)
    except BucketClosedError:
        return _listing_by_dataset(storage, bucket, datasets)


def _listing_by_dataset(storage: Storage, bucket: str, datasets: Collection[str]) -> Listing:
    manifests: Manifests = {}
    refused = set()
    for dataset in sorted(datasets):
        try:
            manifests |= manifests_under(storage, bucket, f"{dataset}/")
        except BucketUnreachableError:
            return Listing({}, is_reached=False)
        except BucketClosedError:
            refused.add(dataset)
    return Listing(manifests, frozenset(refused))


def manifests_under(storage: Storage, bucket: str, prefix: str) -> Manifests:
    """Collected at once: a bucket that closes between two pages shares nothing."""
    entries = [*storage.objects(bucket, prefix)]
    return {group: entry.etag for entry in entries if (group := group_of_manifest(entry.key)) is not None}
