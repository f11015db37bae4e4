# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure every way through files of every size, print a table and write it as JSON, and as a page with `--document`.

`python -m benchmark <pipeline.json> [--rows 10000 ...] [--children 20000] [--document]`. Each measurement is a process
of its own, so that its peak of memory is its own. The ways take turns on the same files, and of each the turn counts
that took the least CPU: the others say how busy the machine was.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.figures import Figure, Measured
from benchmark.invented import HEADERS_PER_EPISODE, write_cin, write_ssda903
from benchmark.page import page

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
CHILDREN = 20_000
WRONG = 1_000_000
MOST_MIB = 2048
TURNS = 3
WAYS = ("copy", "cleaning", "pipeline", "pandas")
GOAL_SIZE, LARGE = 1_000_000, 5_000_000
SAMPLE = Path(__file__).parent.parent / "samples" / "cin_census.xml"
DOCUMENT = Path(__file__).parents[4] / "docs" / "pipeline_performance.md"


def measure(way: str, folder: Path) -> Measured:
    command = [sys.executable, "-m", "benchmark.measured", way, str(folder)]
    outcome = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    cpu, wall = (sum(step[kind] for step in outcome["steps"].values()) for kind in ("cpu", "wall"))
    return Measured(cpu, wall, outcome["peak_mib"], outcome["steps"])


def rows_of(episodes: int) -> int:
    return episodes + int(episodes * HEADERS_PER_EPISODE)


def of_size(episodes: int, measured: Mapping[str, Measured]) -> Iterator[Figure]:
    label = f"{episodes:,} episodes"
    for way, result in measured.items():
        yield Figure(f"{way}, {label}: CPU", round(result.cpu, 3), "s")
        yield Figure(f"{way}, {label}: rows per CPU second", round(rows_of(episodes) / result.cpu), "rows/s")
        yield Figure(f"{way}, {label}: wall", round(result.wall, 3), "s")
        yield _peak(f"{way}, {label}: peak memory", way, episodes, result)
    for way in ("pipeline", "pandas"):
        for step, spent in measured[way].steps.items() if way in measured else ():
            yield Figure(f"{way}, {label}: CPU of {step}", round(spent["cpu"], 3), "s")
    yield from _ratios(label, episodes, measured)


def _peak(name: str, way: str, episodes: int, result: Measured) -> Figure:
    has_goal = episodes == LARGE and way in ("cleaning", "pipeline")
    met = result.peak_mib <= MOST_MIB if has_goal else None
    return Figure(name, round(result.peak_mib), "MiB", f"<= {MOST_MIB}" if has_goal else None, met)


def _ratios(label: str, episodes: int, measured: Mapping[str, Measured]) -> Iterator[Figure]:
    has_goal = episodes == GOAL_SIZE
    for way in ("cleaning", "pipeline"):
        ratio = measured[way].cpu / measured["copy"].cpu
        goal = ("<= 4", ratio <= 4) if has_goal else (None, None)
        yield Figure(f"{way}, {label}: CPU by that of reading and writing", round(ratio, 2), "times", *goal)
    if "pandas" in measured:
        plain = measured["pandas"]
        compared = {"cleaning": plain.steps["cleaned"]["cpu"], "pipeline": plain.cpu}
        for way, cpu in compared.items():
            ratio = cpu / measured[way].cpu
            goal = (">= 8", ratio >= 8) if has_goal else (None, None)
            yield Figure(f"{way}, {label}: faster than the same in pandas by", round(ratio, 2), "times", *goal)


def growth(results: Mapping[int, Mapping[str, Measured]]) -> Iterator[Figure]:
    """CPU per row between the two largest sizes: 1 is linear. Small ones mostly show what every start costs."""
    sizes = sorted(results)
    if len(sizes) < 2:
        return
    small, large = sizes[-2:]
    for way in ("cleaning", "pipeline"):
        ratio = (results[large][way].cpu / large) / (results[small][way].cpu / small)
        name = f"{way}: CPU per row at {large:,} by that at {small:,} episodes"
        yield Figure(name, round(ratio, 2), "times", "<= 1.3", ratio <= 1.3)


def of_census(children: int, folder: Path) -> Iterator[Figure]:
    write_cin(folder, SAMPLE, children)
    result = measure("cin", folder)
    speed = children / result.cpu
    yield Figure(f"CIN, {children:,} children: per CPU second", round(speed), "children/s", ">= 2000", speed >= 2000)
    yield Figure(f"CIN, {children:,} children: peak memory", round(result.peak_mib), "MiB")


def of_wrong(episodes: int, folder: Path) -> Iterator[Figure]:
    """A file of which most cells are wrong, and so has ten errors to a row."""
    write_ssda903(folder, episodes, wrong=True)
    result = measure("pipeline", folder)
    label = f"pipeline, {episodes:,} episodes with most cells wrong"
    yield Figure(f"{label}: CPU", round(result.cpu, 3), "s")
    peak = round(result.peak_mib)
    yield Figure(f"{label}: peak memory", peak, "MiB", f"<= {MOST_MIB}", peak <= MOST_MIB)


def best(ways: Sequence[str], folder: Path, turns: int) -> dict[str, Measured]:
    taken = [{way: measure(way, folder) for way in ways} for _ in range(turns)]
    return {way: min((turn[way] for turn in taken), key=lambda measured: measured.cpu) for way in ways}


def figures(options: argparse.Namespace, results: dict[int, dict[str, Measured]]) -> Iterator[Figure]:
    """Of every size, of which the measurements are put into `results`, and of the census and the wrong file."""
    for episodes in options.rows:
        ways = [way for way in options.ways if way != "pandas" or episodes <= options.pandas_rows]
        with tempfile.TemporaryDirectory() as folder:
            write_ssda903(Path(folder), episodes)
            results[episodes] = best(ways, Path(folder), options.turns if episodes < LARGE else 1)
            yield from of_size(episodes, results[episodes])
    yield from growth(results)
    for size, others in ((options.children, of_census), (options.wrong, of_wrong)):
        if size:
            with tempfile.TemporaryDirectory() as folder:
                yield from others(size, Path(folder))


def line(figure: Figure) -> str:
    verdict = "" if figure.met is None else f"{figure.goal}: {'met' if figure.met else 'NOT MET'}"
    return f"{figure.name:<72} {figure.value:>14,} {figure.unit:<11} {verdict}".rstrip()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmark")
    parser.add_argument("result", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--children", type=int, default=CHILDREN)
    parser.add_argument("--wrong", type=int, default=WRONG, help="rows of a file of which most cells are wrong")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--ways", nargs="+", default=WAYS)
    parser.add_argument("--pandas-rows", type=int, default=LARGE, help="the most of which pandas is measured")
    parser.add_argument("--document", action="store_true", help=f"write docs/{DOCUMENT.name} too")
    options = parser.parse_args(arguments)
    results: dict[int, dict[str, Measured]] = {}
    found: list[Figure] = []
    for figure in figures(options, results):
        sys.stdout.write(f"{line(figure)}\n")
        sys.stdout.flush()
        found.append(figure)
    written: list[dict[str, Any]] = [figure._asdict() for figure in found]
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if options.document:
        DOCUMENT.write_text(page(found, results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
