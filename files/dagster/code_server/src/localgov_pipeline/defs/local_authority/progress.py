# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run has come, for the page that follows a submission."""

from __future__ import annotations

import json

import dagster as dg

from localgov_pipeline.defs.local_authority.submission import Facts
from localgov_pipeline.defs.storage import JSON


@dg.success_hook(required_resource_keys={"storage", "submission"})
def tell_progress(context: dg.HookContext) -> None:
    """The stage that is done, in `progress.json` beside the results; nothing of it stays when the run is at its end."""
    storage, identity = context.resources.storage, context.resources.submission.identity
    key = identity.result_key("progress.json")
    goes_on = any(isinstance(output, Facts) for output in context.op_output_values.values())
    if goes_on:
        storage.put(storage.data_store, key, json.dumps({"done": context.op.name}).encode(), JSON)
    else:
        storage.erase(storage.data_store, key)
