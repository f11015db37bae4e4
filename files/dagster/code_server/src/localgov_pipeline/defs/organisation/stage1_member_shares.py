# SPDX-License-Identifier: GPL-3.0-or-later
"""The shared buckets of the local authorities in the inventory, and the sensor that notices when they change."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

import dagster as dg

from localgov_pipeline.defs.organisation.members import NO_TURN, Listing, listings
from localgov_pipeline.defs.organisation.run import WantedGroup, gather_shares
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib import all_years, regional
from localgov_pipeline.lib.declarations import declared_datasets
from localgov_pipeline.lib.manifests import ManifestName

# The context's log would open Dagster's instance, and the code server, which evaluates sensors, has no database.
_log = logging.getLogger(__name__)

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
    """A group is asked for until its state says what is shared now, once a day again if its run failed for good."""
    storage = Storage.from_environment()
    states = _states(storage)
    datasets = {*declared_datasets(), *(group.dataset for group in states)}
    last: list[str] = json.loads(context.cursor or "[]")
    found = listings(storage, datasets, last)
    missed = {name: listing.not_reached for name, listing in found.items() if listing.not_reached}
    for name, reason in missed.items():
        _log.warning("%s: %s: what was taken over of it stays.", name, reason)
    requests = _requests(states, found, datetime.now(UTC), storage.agreements)
    return dg.SensorResult(run_requests=[*requests], cursor=json.dumps(_last_of_the_next_look(missed, last)))


def _last_of_the_next_look(missed: Mapping[str, str], last: Iterable[str]) -> list[str]:
    """Those who did not answer, after those of `last` whose turn had not come again: each has its turn in the end."""
    waiting = [name for name in last if missed.get(name) == NO_TURN]
    return waiting + [name for name, reason in missed.items() if reason != NO_TURN]


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
        if changed or _is_of_another_shape(state, group):
            mark = regional.digest_of(looks, changed)
            yield dg.RunRequest(
                # With the time of the last writing, for a state that comes back after another is a new one; and with
                # the day, for all attempts of a run may have been lost or have failed for a reason that is gone.
                run_key=f"{group.prefix}@{mark}~{state.finished_at}~{now:%Y-%m-%d}",
                run_config=dg.RunConfig(resources={"wanted": WantedGroup(**group._asdict(), members=changed)}),
                # The instance runs one at a time for each value.
                tags={"localgov/regional_table": group.prefix},
            )


def _is_of_another_shape(state: regional.State, group: ManifestName) -> bool:
    """A new declaration has given the tables over all years other columns."""
    return bool(state.combined) and state.shape != all_years.shape(group.dataset, group.profile)


def _states(storage: Storage) -> dict[ManifestName, regional.State]:
    found: dict[ManifestName, regional.State] = {}
    for entry in storage.objects(storage.data_store, regional.REGIONAL_PREFIX):
        group = regional.group_of_state(entry.key)
        fetched = storage.fetch(storage.data_store, entry.key) if group else None
        if group and fetched:
            found[group] = regional.read_state(fetched.content)
    return found
