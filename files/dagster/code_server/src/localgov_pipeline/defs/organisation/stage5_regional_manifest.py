# SPDX-License-Identifier: GPL-3.0-or-later
"""What was taken over from whom, written last of all: only then does a group look up to date."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import dagster as dg

from localgov_pipeline.defs.organisation.run import WantedGroup
from localgov_pipeline.defs.organisation.stage3_regional_tables import Combined
from localgov_pipeline.defs.storage import JSON, Storage
from localgov_pipeline.lib import regional


@dg.asset(
    kinds={"s3", "json"},
    description="Which manifest and which files of each local authority the regional tables hold, and who is left out "
    "and why. Parts that it no longer names are removed just before it is written.",
)
def regional_manifest(regional_summary: Combined, storage: Storage, wanted: WantedGroup) -> dg.MaterializeResult[None]:
    gathered = regional_summary.gathered
    stale = regional.part_keys(wanted.group, gathered.before.members) - regional.part_keys(
        wanted.group, gathered.members
    )
    storage.remove(storage.data_store, sorted(stale))
    state = regional.State(
        gathered.members, regional_summary.digests, regional_summary.finished_at, regional_summary.retry_at
    )
    storage.put(storage.data_store, regional.state_key(wanted.group), regional.state_json(wanted.group, state), JSON)
    left_out = regional.skipped(gathered.members)
    return dg.MaterializeResult(metadata={"parts removed": len(stale), "left out": len(left_out)})
