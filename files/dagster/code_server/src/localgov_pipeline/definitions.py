# SPDX-License-Identifier: GPL-3.0-or-later
"""The code location. `PIPELINE` says which pipeline this account runs."""

from __future__ import annotations

import os
from importlib import import_module

import dagster as dg

PIPELINES = ("local_authority", "organisation")


@dg.definitions
def definitions() -> dg.Definitions:
    pipeline = os.environ.get("PIPELINE", "")
    if pipeline not in PIPELINES:
        raise ValueError(f"The environment variable PIPELINE is {pipeline!r}: set it to {' or '.join(PIPELINES)}.")
    loaded: dg.Definitions = import_module(f"localgov_pipeline.defs.{pipeline}").definitions()
    return loaded
