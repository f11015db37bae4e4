# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured of one way through files of one size, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Figure(NamedTuple):
    """`goal` in words, and whether it is `met`; None where the figure has none."""

    name: str
    value: float
    unit: str
    goal: str | None = None
    met: bool | None = None


class Measured(NamedTuple):
    """In seconds and MiB; `steps` maps a step to its `cpu` and `wall`."""

    cpu: float
    wall: float
    peak_mib: float
    steps: Mapping[str, Mapping[str, float]]
