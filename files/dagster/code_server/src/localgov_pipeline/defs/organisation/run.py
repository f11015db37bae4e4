# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that brings one group of regional tables up to date, and the configuration that names it."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.attempts import RETRIED, say_so_after_last_attempt
from localgov_pipeline.defs.patience import BACK_OFF
from localgov_pipeline.lib.manifests import ManifestName


class WantedGroup(dg.ConfigurableResource[None]):
    """`members` are the local authorities to look at again; the others stay as they are."""

    dataset: str
    profile: str
    year: int
    members: list[str]

    @property
    def group(self) -> ManifestName:
        return ManifestName(self.dataset, self.profile, self.year)


gather_shares = dg.define_asset_job(
    "gather_shares",
    selection=dg.AssetSelection.assets(
        "regional_parts", "regional_tables", "regional_summary", "regional_years", "regional_manifest"
    ),
    hooks={say_so_after_last_attempt},
    tags=RETRIED,
    op_retry_policy=BACK_OFF,
    description="Take over what some local authorities share anew of one dataset, profile and year.",
)
