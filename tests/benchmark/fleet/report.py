# SPDX-License-Identifier: GPL-3.0-or-later
"""What the measurements say: figures with their goals, a table, and the page in the documentation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WAYS = {
    "A": "`site.yml` with the connection `aws_account`",
    "B": "`site.yml` with the connection `local` and sessions of `sts_assume_role`",
    "C": "the same stacks by `aws cloudformation deploy`, one after the other",
    "F": "the floor: one boto3 process that only creates or describes the stacks",
}
RUNS = {"fresh": "from nothing", "again": "without a change"}
MIB = 2**20
Measured = dict[tuple[int, int, str], dict[str, Any]]  # by authorities, latency and way
Figure = dict[str, Any]


def read(folder: Path) -> Measured:
    found = [json.loads(file.read_text()) for way in WAYS for file in sorted(folder.glob(f"*/{way}.json"))]
    return {(one["authorities"], one["latency"], one["way"]): one for one in found}


def figures(measured: Measured) -> list[Figure]:
    """Name, value, unit, goal and whether it is met; goal and met are null where there is no goal."""
    return [*_plain(measured), *_goals(measured)]


def _figure(name: str, value: float, unit: str, goal: str | None = None, *, met: bool | None = None) -> Figure:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": goal, "met": met}


def _at(latency: int) -> str:
    return f", {latency} ms later" if latency else ""


def _plain(measured: Measured) -> Iterator[Figure]:
    for (authorities, latency, way), one in sorted(measured.items()):
        for run, explained in RUNS.items():
            label = f"{way}, {authorities} authorities, {explained}{_at(latency)}"
            yield _figure(f"{label}: wall", one[run]["wall"], "s")
            yield _figure(f"{label}: CPU", one[run]["cpu"], "s")
            yield _figure(f"{label}: peak memory", one[run]["peak"] / MIB, "MiB")
            yield _figure(f"{label}: calls per account", calls_per_account(one, run), "calls")


def calls_per_account(one: dict[str, Any], run: str) -> float:
    """The mean over the local authorities."""
    calls = [count for account, count in one[run]["calls"].items() if account != "hub"]
    return float(sum(calls)) / len(calls)


def _goals(measured: Measured) -> Iterator[Figure]:
    for latency in sorted({key[1] for key in measured}):
        late = _at(latency)
        if ratio := _ratio(measured, 10, latency, "A", "B", "cpu"):
            yield _figure(f"A/B, CPU without a change, 10 authorities{late}", ratio, "", "<= 0.25", met=ratio <= 0.25)
        if ratio := _ratio(measured, 10, latency, "A", "C", "wall"):
            yield _figure(f"A/C, wall without a change, 10 authorities{late}", ratio, "", "<= 0.20", met=ratio <= 0.20)
        if ratio := _ratio(measured, 50, latency, "A", "F", "wall"):
            yield _figure(f"A/F, wall without a change, 50 authorities{late}", ratio, "", "<= 5", met=ratio <= 5)
        ours = {key[0]: one for key, one in measured.items() if key[1:] == (latency, "A")}
        if not ours:
            continue
        largest = ours[max(ours)]
        account = next(name for name in largest["stacks"] if name != "hub")
        most, calls = 2 * largest["stacks"][account] + 10, calls_per_account(largest, "again")
        name = f"A, calls of an authority with {largest['stacks'][account]} stacks without a change{late}"
        yield _figure(name, calls, "calls", f"<= {most}", met=calls <= most)
        if {10, 150} <= ours.keys():
            growth = _per_account(ours[150], "cpu") / _per_account(ours[10], "cpu")
            name = f"A, CPU per account without a change at 150 by that at 10 authorities{late}"
            yield _figure(name, growth, "", "<= 1.15", met=growth <= 1.15)
        if 150 in ours:
            peak = max(ours[150][run]["peak"] for run in RUNS) / MIB
            yield _figure(f"A, memory with 150 authorities{late}", peak, "MiB", "<= 1536", met=peak <= 1536)


def _ratio(measured: Measured, authorities: int, latency: int, way: str, other: str, what: str) -> float | None:
    one, another = measured.get((authorities, latency, way)), measured.get((authorities, latency, other))
    return one["again"][what] / another["again"][what] if one and another else None


def _per_account(one: dict[str, Any], what: str) -> float:
    value: float = one["again"][what] / (one["authorities"] + 1)
    return value


def table(measured: Measured) -> str:
    """In Markdown: a line for each way, number of authorities and run."""
    header = [
        "authorities",
        "latency",
        "way",
        "run",
        "wall s",
        "CPU s",
        "CPU s per account",
        "memory MiB",
        "calls per account",
    ]
    by_latency = sorted(measured.items(), key=lambda item: (item[0][1], item[0][0], item[0][2]))
    rows = [
        [
            *(str(authorities), f"{latency} ms", way, explained),
            *(f"{one[run]['wall']:.1f}", f"{one[run]['cpu']:.1f}", f"{one[run]['cpu'] / (authorities + 1):.2f}"),
            *(f"{one[run]['peak'] / MIB:.0f}", f"{calls_per_account(one, run):.0f}"),
        ]
        for (authorities, latency, way), one in by_latency
        for run, explained in RUNS.items()
    ]
    return _markdown(header, rows)


def goals(all_figures: list[Figure]) -> str:
    met = {True: "yes", False: "no"}
    rows = [
        [figure["name"], f"{figure['value']:g} {figure['unit']}".strip(), figure["goal"], met[figure["met"]]]
        for figure in all_figures
        if figure["goal"]
    ]
    return _markdown(["what", "measured", "goal", "met"], rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document(measured: Measured, all_figures: list[Figure]) -> str:
    ways = "".join(f"* **{way}**: {explained}\n" for way, explained in WAYS.items())
    return f"""# How fast a fleet is rolled out

Written by `make bench-fleet` on a machine with {os.cpu_count()} cores, which the sandbox shares. The sandbox runs no
tasks meanwhile: what is measured is the rollout. CPU and memory are those of the way itself, without the sandbox; a
call is a request that the sandbox answered. The organisation's own account is there beside the authorities and counts
as one more account. With a latency every call takes so much longer, as at a real control plane.

{ways}
## Goals

{goals(all_figures)}
## Everything measured

{table(measured)}
{_chart(measured)}
{_profile(measured)}"""


def _chart(measured: Measured) -> str:
    ours = sorted((key[0], one) for key, one in measured.items() if key[1:] == (0, "A"))
    sizes = ", ".join(str(size) for size, _ in ours)
    per_account = ", ".join(f"{one['again']['cpu'] / (size + 1):.2f}" for size, one in ours)
    return f"""## How it grows

```mermaid
xychart-beta
    title "CPU seconds per account, way A, without a change"
    x-axis "authorities" [{sizes}]
    y-axis "seconds" 0 --> {max(one["again"]["cpu"] / (size + 1) for size, one in ours) * 1.2:.1f}
    bar [{per_account}]
```
"""


def _profile(measured: Measured) -> str:
    size, one = max((key[0], one) for key, one in measured.items() if key[2] == "A" and key[1] == 0)
    lines = "\n".join(one["profile"])
    return f"""## Where the time goes

The slowest tasks of a run of way A without a change, with {size} authorities, by Ansible's own `profile_tasks`:

```text
{lines}
```
"""
