# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures as a page of the documentation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from benchmark.figures import Figure, Measured

_BEGINNING = """# How fast the pipeline is

Written by `make bench-pipeline BENCH_FLAGS=--document` on a machine with {cores} cores. All ways take turns on the same
invented SSDA903 return, an episodes file and a header file with 55 % as many rows, about one cell in a hundred wrong.
CPU seconds are compared, for other work on the machine makes wall times longer. The time from an upload until it is
shared, with buckets and Dagster, is measured by `make bench`: `build/bench/journey.json` has the median of three files
of 5 MB beside its goal of 15 seconds, and where the seconds go.

* **copy**: read both files with polars and write them again, the least that can be done
* **cleaning**: from the uploaded file to the cleaned file and the list of its errors
* **pipeline**: all that the stages do from `uploaded` to `report`, but for the buckets and Dagster itself
* **pandas**: the same rules and outputs in plain pandas, but for parquet
"""


def page(figures: Iterable[Figure], results: Mapping[int, Mapping[str, Measured]]) -> str:
    parts = [_BEGINNING.format(cores=os.cpu_count()), "## Goals", _goals(figures), "## By size", _sizes(results)]
    if results:
        parts += ["## Where the CPU goes", _steps(results)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _goals(figures: Iterable[Figure]) -> str:
    rows = [
        [figure.name, f"{figure.value:,} {figure.unit}", str(figure.goal), "yes" if figure.met else "**no**"]
        for figure in figures
        if figure.goal
    ]
    return _table(["what", "measured", "goal", "met"], rows)


def _sizes(results: Mapping[int, Mapping[str, Measured]]) -> str:
    headings = ["episodes", "way", "CPU s", "CPU by that of copy", "wall s", "peak MiB"]
    names = dict.fromkeys(way for ways in results.values() for way in ways)
    return _table(headings, [_of_way(size, way, ways) for size, ways in sorted(results.items()) for way in names])


def _of_way(size: int, way: str, ways: Mapping[str, Measured]) -> list[str]:
    if way not in ways:
        return [f"{size:,}", way, "not measured", "", "", ""]
    found = ways[way]
    ratio = f"{found.cpu / ways['copy'].cpu:.1f}"
    return [f"{size:,}", way, f"{found.cpu:.2f}", ratio, f"{found.wall:.2f}", f"{found.peak_mib:,.0f}"]


def _steps(results: Mapping[int, Mapping[str, Measured]]) -> str:
    """Of the pipeline, at the largest size."""
    size = max(results)
    ways = results[size]
    rows = [
        [step, f"{spent['cpu']:.2f}", f"{spent['cpu'] / ways['copy'].cpu:.2f}"]
        for step, spent in ways["pipeline"].steps.items()
    ]
    table = _table(["step", "CPU s", "by that of copy"], rows)
    return f"Of the pipeline with {size:,} episodes:\n\n{table}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
