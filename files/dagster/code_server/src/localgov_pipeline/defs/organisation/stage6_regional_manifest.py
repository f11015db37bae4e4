# SPDX-License-Identifier: GPL-3.0-or-later
"""What was taken over from whom, written last of all: only then does a group look up to date."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import dagster as dg

from localgov_pipeline.defs.organisation.run import WantedGroup
from localgov_pipeline.defs.organisation.stage3_regional_tables import Combined
from localgov_pipeline.defs.storage import JSON, Storage
from localgov_pipeline.lib import all_years, regional


@dg.asset(
    kinds={"s3", "json"},
    description="Which manifest and which files of each local authority the regional tables hold, and who is left out "
    "and why. Parts that it no longer names are removed just before it is written.",
)
def regional_manifest(regional_years: Combined, storage: Storage, wanted: WantedGroup) -> dg.MaterializeResult[None]:
    gathered, group = regional_years.gathered, wanted.group
    stale = regional.part_keys(group, gathered.before.members) - regional.part_keys(group, gathered.members)
    storage.remove(storage.data_store, sorted(stale))
    state = regional.State(
        gathered.members,
        regional_years.digests,
        regional_years.finished_at,
        regional_years.retry_at,
        all_years.shape(group.dataset, group.profile),
    )
    storage.put(storage.data_store, regional.state_key(group), regional.state_json(group, state), JSON)
    left_out = regional.skipped(gathered.members)
    return dg.MaterializeResult(metadata={"parts removed": len(stale), "left out": len(left_out)})
