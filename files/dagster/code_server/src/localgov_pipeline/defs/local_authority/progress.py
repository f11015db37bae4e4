# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run has come, for the page that follows a submission."""

from __future__ import annotations

import dagster as dg

from localgov_pipeline.defs.local_authority.submission import Facts


@dg.success_hook(required_resource_keys={"storage", "submission"})
def tell_progress(context: dg.HookContext) -> None:
    """An empty object beside the results for each stage that is done: their names say all. None stays at the end."""
    storage, identity = context.resources.storage, context.resources.submission.identity
    goes_on = any(isinstance(output, Facts) for output in context.op_output_values.values())
    if goes_on:
        storage.put(storage.data_store, f"{identity.progress_prefix}{context.op.name}", b"")
    else:
        storage.erase(storage.data_store, identity.progress_prefix)
