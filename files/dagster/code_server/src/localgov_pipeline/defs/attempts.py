# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a run is tried as a whole, and what is said after the last time."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import dagster as dg

from localgov_pipeline.defs.discretion import StepFailedError

_MAX_RETRIES = 2
# Every stage again: what passes between stages lives in the memory of one run.
RETRIED = {"dagster/max_retries": str(_MAX_RETRIES), "dagster/retry_strategy": "ALL_STEPS"}
NO_MORE_RUNS = {"dagster/max_retries": "0"}


@dg.failure_hook
def say_so_after_last_attempt(context: dg.HookContext) -> None:
    """In words that the operators' alarm listens to: of such a job no uploader would ever tell them. A failure that
    every run would repeat makes any attempt the last."""
    run = context.instance.get_run_by_id(context.run_id)
    retries = int(run.tags.get("dagster/retry_number", "0")) if run else 0
    is_for_good = isinstance(context.op_exception, StepFailedError)
    if is_for_good:
        context.instance.add_run_tags(context.run_id, NO_MORE_RUNS)
    if is_for_good or retries >= _MAX_RETRIES:
        attempts = "1 attempt" if retries == 0 else f"{retries + 1} attempts"
        context.log.error("Given up after %s: the job %s was not done.", attempts, context.job_name)
