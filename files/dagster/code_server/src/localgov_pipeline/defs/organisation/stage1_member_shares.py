# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared buckets of the local authorities in the inventory, and the sensor that notices when they change."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg

from localgov_pipeline.defs.organisation.members import Listing, listings
from localgov_pipeline.defs.organisation.run import WantedGroup, gather_shares
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib import regional
from localgov_pipeline.lib.declarations import declared_datasets
from localgov_pipeline.lib.manifests import ManifestName

member_shares = dg.AssetSpec(
    "member_shares",
    description="What each local authority shares: the manifests in its shared bucket, and the files that they name.",
    kinds={"s3", "parquet"},
)


@dg.sensor(
    job=gather_shares,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares the manifests of all local authorities with what was taken over, and asks for what differs.",
)
def changed_shares(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """A group is asked for until its state says what is shared now, so a failed run is not forgotten."""
    storage = Storage.from_environment()
    states = _states(storage)
    found = listings(storage, {*declared_datasets(), *(group.dataset for group in states)})
    for name in (name for name, listing in found.items() if not listing.is_reached):
        context.log.warning("%s cannot be reached: what was taken over of it stays.", name)
    requests = _requests(states, found, datetime.now(UTC), storage.agreements)
    return dg.SensorResult(run_requests=[*requests])


def _requests(
    states: dict[ManifestName, regional.State],
    found: dict[str, Listing],
    now: datetime,
    agreements: Mapping[str, str],
) -> Iterator[dg.RunRequest]:
    groups = {*states, *(group for listing in found.values() for group in listing.manifests)}
    for group in sorted(groups):
        state = states.get(group, regional.EMPTY)
        looks = {name: listing.look(group) for name, listing in found.items()}
        changed = regional.changed_members(state, looks, now, agreements)
        if changed:
            mark = regional.digest_of(looks, changed)
            yield dg.RunRequest(
                # With the time of the last writing, for a state that comes back after another is a new one.
                run_key=f"{group.prefix}@{mark}~{state.finished_at}",
                run_config=dg.RunConfig(resources={"wanted": WantedGroup(**group._asdict(), members=changed)}),
                # The instance runs one at a time for each value.
                tags={"localgov/regional_table": group.prefix},
            )


def _states(storage: Storage) -> dict[ManifestName, regional.State]:
    found: dict[ManifestName, regional.State] = {}
    for entry in storage.objects(storage.data_store, regional.REGIONAL_PREFIX):
        group = regional.group_of_state(entry.key)
        fetched = storage.fetch(storage.data_store, entry.key) if group else None
        if group and fetched:
            found[group] = regional.read_state(fetched.content)
    return found
