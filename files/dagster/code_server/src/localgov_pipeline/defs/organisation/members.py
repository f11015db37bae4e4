# SPDX-License-Identifier: GPL-3.0-or-later
"""What the local authorities' buckets look like from outside. One that is closed does not hold up the others.

An authority may share some datasets only. It refuses then to list its bucket as a whole, and lets each shared dataset
be listed by its folder. So whether an authority is closed is a question for each dataset, and sensor and run have to
answer it alike: otherwise a group would never look up to date.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from localgov_pipeline.defs.storage import PARALLEL, BucketClosedError, BucketUnreachableError, Storage, bucket_of
from localgov_pipeline.lib.manifests import ManifestName
from localgov_pipeline.lib.regional import Look, group_of_manifest

Manifests = dict[ManifestName, str]
NOTHING, CLOSED, UNREACHABLE = Look("nothing"), Look("closed"), Look("unreachable")
# For all authorities. Dagster gives a sensor a minute, for what comes before and after as well.
LOOK_SECONDS = 40
NO_TURN = "not asked, as others took the time of this look"


class Listing(NamedTuple):
    """Of one local authority: its manifests with their entity tags, and the datasets that it refuses to list; or why it
    could not be reached."""

    manifests: Manifests
    refused: frozenset[str] = frozenset()
    not_reached: str = ""

    def look(self, group: ManifestName) -> Look:
        if self.not_reached:
            return UNREACHABLE
        if group.dataset in self.refused:
            return CLOSED
        return Look("manifest", self.manifests[group]) if group in self.manifests else NOTHING


def listings(storage: Storage, datasets: Collection[str], last: Sequence[str] = ()) -> dict[str, Listing]:
    """Of all local authorities, many at a time, and those of `last` at the end, in its order: who does not answer takes
    half a minute of a thread, and many of those take no time from the others. Whose turn has not come in LOOK_SECONDS
    is not reached.
    """
    members = storage.members
    # Built here, for each thread would build one of its own.
    _ = storage.client_of_members
    pool = ThreadPoolExecutor(PARALLEL)
    place = {name: number for number, name in enumerate(last, start=1)}
    ordered = sorted(members, key=lambda name: place.get(name, 0))
    asked = {name: pool.submit(_listing, storage, members[name], datasets) for name in ordered}
    wait(asked.values(), LOOK_SECONDS)
    # What is under way hears by itself, soon, that there is no answer.
    pool.shutdown(wait=False, cancel_futures=True)
    return {name: _heard(asked[name]) for name in members}


def _heard(listing: Future[Listing]) -> Listing:
    if listing.cancelled():
        return Listing({}, not_reached=NO_TURN)
    return listing.result() if listing.done() else Listing({}, not_reached="no answer in the time of one look")


def _listing(storage: Storage, location: str, datasets: Collection[str]) -> Listing:
    try:
        bucket = bucket_of(location)
        try:
            return Listing(manifests_under(storage, bucket, ""))
        except BucketClosedError:
            return _listing_by_dataset(storage, bucket, datasets)
    except BucketUnreachableError as unreachable:
        return Listing({}, not_reached=str(unreachable))


def _listing_by_dataset(storage: Storage, bucket: str, datasets: Collection[str]) -> Listing:
    manifests: Manifests = {}
    refused = set()
    for dataset in sorted(datasets):
        try:
            manifests |= manifests_under(storage, bucket, f"{dataset}/")
        except BucketClosedError:
            refused.add(dataset)
    return Listing(manifests, frozenset(refused))


def manifests_under(storage: Storage, bucket: str, prefix: str) -> Manifests:
    """Collected at once: a bucket that closes between two pages shares nothing."""
    entries = [*storage.objects(bucket, prefix)]
    return {group: entry.etag for entry in entries if (group := group_of_manifest(entry.key)) is not None}
