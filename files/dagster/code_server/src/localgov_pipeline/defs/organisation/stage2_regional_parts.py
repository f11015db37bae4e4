# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of what local authorities share, in the organisation's own bucket, in folders by local authority."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.organisation.run import WantedGroup
from localgov_pipeline.defs.organisation.stage1_member_shares import member_shares
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib import regional

if TYPE_CHECKING:
    from localgov_pipeline.lib.manifests import ManifestName


class Gathered(NamedTuple):
    """What was taken over before this run, and what is now; `is_passing` where something is to be tried again."""

    before: regional.State
    members: dict[str, regional.Member]
    is_passing: bool

    @property
    def changed(self) -> list[str]:
        """Tables to be written again."""
        tables = {table for member in self.members.values() for table in member.parts}
        missing = [table for table in tables if table not in self.before.combined]
        return sorted({*regional.changed_tables(self.before, self.members), *missing})

    def replaced(self, table: str) -> list[str]:
        """Local authorities of which the combined table that is there no longer holds the right rows."""
        before, now = (
            {name: member.parts.get(table) for name, member in members.items()}
            for members in (self.before.members, self.members)
        )
        return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


@dg.asset(
    deps=[member_shares],
    kinds={"s3", "parquet"},
    description="One parquet file for each local authority and table, copied when its manifest changed; the parts of "
    "an authority that shares no longer go, unless keeping them was agreed.",
)
def regional_parts(
    context: dg.AssetExecutionContext, storage: Storage, wanted: WantedGroup, scratch: Scratch
) -> dg.Output[Gathered]:
    from localgov_pipeline.defs.organisation.gathering import Gatherer

    before = _state(storage, wanted.group)
    members, passing = dict(before.members), []
    gatherer = Gatherer(storage, wanted.group, scratch.folder("parts"))
    for name in wanted.members:
        with values_kept_out_of_logs():
            outcome = gatherer.gathered(name, before.members.get(name))
        members.pop(name, None)
        if outcome.member is not None:
            members[name] = outcome.member
            if outcome.member.reason is not None:
                context.log.warning("%s: %s.", name, outcome.member.reason)
        if outcome.is_passing:
            passing.append(name)
    # Of one that has left the inventory and left nothing there is nothing more to say.
    members = {name: member for name, member in members.items() if name in storage.members or member.parts}
    gathered = Gathered(before, members, bool(passing))
    facts: dict[str, int | str] = {
        "local authorities looked at": len(wanted.members),
        "local authorities with rows": sum(bool(member.parts) for member in members.values()),
        "left out": len(regional.skipped(members)),
        "tables that changed": ", ".join(gathered.changed) or "none",
    }
    return dg.Output(gathered, metadata=facts)


def _state(storage: Storage, group: "ManifestName") -> regional.State:
    key = regional.state_key(group)
    fetched = storage.fetch(storage.data_store, key) if storage.has(storage.data_store, key) else None
    return regional.EMPTY if fetched is None else regional.read_state(fetched.content)
