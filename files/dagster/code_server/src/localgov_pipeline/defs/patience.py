# SPDX-License-Identifier: GPL-3.0-or-later
"""How a step that failed for a reason that may pass is tried again: in the same run, each time after a longer wait.

S3's client has made its own attempts by then. What fails for good says so (`dg.Failure` without retries), and what a
run leaves undone is tried again as a whole by the instance's run retries.
"""

from __future__ import annotations

import dagster as dg

# About 5, 10 and 20 seconds, each by chance up to 5 longer or shorter, so that runs do not come back together.
BACK_OFF = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
