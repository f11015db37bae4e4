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
# By the beginning of their names; where there is no figure of one, it was not measured.
GOALS = {
    "A/B, CPU without a change, 10 authorities": "<= 0.25",
    "A/C, wall without a change, 10 authorities": "<= 0.20",
    "A/F, wall without a change, 50 authorities": "<= 5",
    "A, calls of an authority": "<= 2 x stacks + 10",
    "A, CPU per account without a change at 150 by that at 10 authorities": "<= 1.15",
    "A, memory with 150 authorities": "<= 1536 MiB",
}
# Of which the goals speak.
SIZES, LATENCIES = (1, 3, 10, 50, 150), (0, 100)
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
        for run, explained in _runs(one):
            label = f"{way}, {authorities} authorities, {explained}{_at(latency)}"
            yield _figure(f"{label}: wall", one[run]["wall"], "s")
            yield _figure(f"{label}: CPU", one[run]["cpu"], "s")
            yield _figure(f"{label}: peak memory", one[run]["peak"] / MIB, "MiB")
            yield _figure(f"{label}: calls per account", calls_per_account(one, run), "calls")


def _runs(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Those that were measured of a way, and what they are called."""
    return ((run, explained) for run, explained in RUNS.items() if run in one)


def calls_per_account(one: dict[str, Any], run: str) -> float:
    """The mean over the local authorities."""
    calls = [count for account, count in one[run]["calls"].items() if account != "hub"]
    return float(sum(calls)) / len(calls)


def _goals(measured: Measured) -> Iterator[Figure]:
    for latency in sorted({key[1] for key in measured}):
        late = _at(latency)
        yield from _ratios(measured, latency)
        if ratio := _ratio(measured, 10, latency, "A", "B", "cpu"):
            yield _figure(f"A/B, CPU without a change, 10 authorities{late}", ratio, "", "<= 0.25", met=ratio <= 0.25)
        if ratio := _ratio(measured, 10, latency, "A", "C", "wall"):
            yield _figure(f"A/C, wall without a change, 10 authorities{late}", ratio, "", "<= 0.20", met=ratio <= 0.20)
        if ratio := _ratio(measured, 50, latency, "A", "F", "wall"):
            yield _figure(f"A/F, wall without a change, 50 authorities{late}", ratio, "", "<= 5", met=ratio <= 5)
        ours = {key[0]: one for key, one in measured.items() if key[1:] == (latency, "A") and "again" in one}
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
            peak = max(ours[150][run]["peak"] for run, _explained in _runs(ours[150])) / MIB
            yield _figure(f"A, memory with 150 authorities{late}", peak, "MiB", "<= 1536", met=peak <= 1536)


def _ratios(measured: Measured, latency: int) -> Iterator[Figure]:
    """At the sizes of which no goal speaks."""
    for other, what, size_of_goal in (("B", "cpu", 10), ("C", "wall", 10), ("F", "wall", 50)):
        for size in SIZES:
            ratio = _ratio(measured, size, latency, "A", other, what)
            if ratio and size != size_of_goal:
                yield _figure(f"A/{other}, {what} without a change, {size} authorities{_at(latency)}", ratio, "")


def _ratio(measured: Measured, authorities: int, latency: int, way: str, other: str, what: str) -> float | None:
    one, another = measured.get((authorities, latency, way)), measured.get((authorities, latency, other))
    if not one or not another or "again" not in one or "again" not in another:
        return None
    ratio: float = one["again"][what] / another["again"][what]
    return ratio


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
        "load before",
        "measured on",
    ]
    by_latency = sorted(measured.items(), key=lambda item: (item[0][1], item[0][0], item[0][2]))
    rows = [
        [
            *(str(authorities), f"{latency} ms", way, explained),
            *(f"{one[run]['wall']:.1f}", f"{one[run]['cpu']:.1f}", f"{one[run]['cpu'] / (authorities + 1):.2f}"),
            *(f"{one[run]['peak'] / MIB:.0f}", f"{calls_per_account(one, run):.0f}"),
            f"{one[run]['load']:.0f}" if "load" in one[run] else "not known",
            one[run].get("of", "not known"),
        ]
        for (authorities, latency, way), one in by_latency
        for run, explained in _runs(one)
    ]
    return _markdown(header, rows)


def not_measured(measured: Measured) -> list[str]:
    """Every goal needs these sizes; what of them is missing, in words."""
    missing = []
    for latency in LATENCIES:
        if not any(key[1] == latency for key in measured):
            missing.append(f"anything with {latency} ms")
            continue
        for way in WAYS:
            sizes = [size for size in SIZES if "again" not in measured.get((size, latency, way), {})]
            if sizes:
                missing.append(f"{way} with {_listed(sizes)} authorities{_at(latency)}")
    return missing


def _listed(sizes: list[int]) -> str:
    *most, last = map(str, sizes)
    return f"{', '.join(most)} and {last}" if most else last


def goals(all_figures: list[Figure]) -> str:
    rows = [
        [
            figure["name"],
            f"{figure['value']:g} {figure['unit']}".strip(),
            figure["goal"],
            "yes" if figure["met"] else "no",
        ]
        for figure in all_figures
        if figure["goal"]
    ]
    rows += [
        [figure["name"], f"{figure['value']:g}", "none at this size", ""]
        for figure in all_figures
        if "/" in figure["name"] and not figure["goal"]
    ]
    told = "\n".join(figure["name"] for figure in all_figures if figure["goal"])
    rows += [[name, "not measured", goal, "not known"] for name, goal in GOALS.items() if name not in told]
    return _markdown(["what", "measured", "goal", "met"], rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document(measured: Measured, all_figures: list[Figure], folder: Path) -> str:
    ways = "".join(f"* **{way}**: {explained}\n" for way, explained in WAYS.items())
    missing = not_measured(measured)
    gaps = f"Not measured without a change: {'; '.join(missing)}.\n" if missing else ""
    return f"""# How fast a fleet is rolled out

Written by `make bench-fleet BENCH_FLAGS="--authorities 1 3 10 --document"`, with 50 and 150 authorities for ways A
and F, and once more with `--latency 100`, on a machine with {os.cpu_count()} cores, which the sandbox shares. The
sandbox runs no tasks meanwhile: what is measured is the rollout. CPU and memory are those of the way itself,
without the sandbox; a call is a request that the sandbox answered. The organisation's own account is there beside
the authorities and counts as one more account. With a latency every call takes so much longer, as at a real control
plane.

What the machine does beside makes all of it slower, wall time much more than CPU. The load, how many processes ran or
waited in the minute before, says how much that was: on an idle machine it is below 1, and above the number of cores
wall times say little.

{ways}
B is the same playbook, and so has everything that the playbook itself saves; what it lacks is the connection.

## Goals

{goals(all_figures)}
{_not_met(all_figures)}## Everything measured

{gaps}
{table(measured)}
{_chart(measured)}
{_profile(measured)}
{_rollout(measured, folder)}"""


def _not_met(all_figures: list[Figure]) -> str:
    if not any(figure["met"] is False and figure["name"].startswith(("A/C", "A/F")) for figure in all_figures):
        return ""
    return """Why those beside C and F are not met: every run looks at all that is declared, also at what no stack
holds, so that what somebody has changed by hand is put right. That makes more than a hundred tasks for each
account, and for each Ansible forks its own process, which takes some twenty milliseconds of CPU before it has done
anything. A program that only describes the stacks (C and F) does not know whether they are as declared. Passing
over accounts that look as they did after the last rollout would come near to those goals; it was left out, as it
would take for good what nobody has looked at.

"""


def _rollout(measured: Measured, folder: Path) -> str:
    """What the largest deployment from nothing told at its end, in short; nothing where there was none."""
    size = max((key[0] for key, one in measured.items() if key[1:] == (0, "A") and "fresh" in one), default=0)
    log = folder / f"{size}-0" / "A-fresh.log"
    if not log.exists():
        return ""
    lines = log.read_text().partition("ROLLOUT REPORT")[2].partition("\n\nTASKS RECAP")[0].splitlines()[1:]
    accounts = [line for line in lines if line.strip() and not line.startswith("The page")]
    first, between, last = accounts[:5], accounts[5:-3], accounts[-3:]
    if between:
        told = "\n".join([*first, f"({len(between)} more, each {_outcomes(between)})", *last])
    else:
        told = "\n".join(accounts)
    return f"""## What a rollout tells at its end

The end of the log of `site.yml` over the organisation and {size} authorities, from nothing:

```text
{told}
```

The same as a page, which is kept beside it (`build/rollout/site.html`):

![The report's page, its first accounts](images/rollout.png)
"""


def _outcomes(lines: list[str]) -> str:
    return " or ".join(sorted({line.split()[1] for line in lines}))


def _chart(measured: Measured) -> str:
    ours = sorted((key[0], one) for key, one in measured.items() if key[1:] == (0, "A") and "again" in one)
    bars = {size: _per_account(one, "cpu") for size, one in ours}
    highest = max(bars.values())
    lines = [f"{size:>4} | {'█' * round(40 * value / highest)} {value:.1f}" for size, value in bars.items()]
    text = "\n".join(lines)
    return f"""## How it grows

CPU seconds per account of way A without a change, by the number of authorities:

```text
{text}
```
"""


def _profile(measured: Measured) -> str:
    found = [(key[0], one) for key, one in measured.items() if key[2] == "A" and key[1] == 0 and "profile" in one]
    size, one = max(found, key=lambda entry: entry[0])
    lines = "\n".join(one["profile"])
    return f"""## Where the time goes

{_parts(size, one)}

{_kinds(size, one)}

The slowest tasks of that run, by Ansible's own `profile_tasks`. The seconds are those of all accounts together, also
while they wait for each other:

```text
{lines}
```
"""


def _parts(size: int, one: dict[str, Any]) -> str:
    run = one["again"]
    own, workers, modules = (100 * run["cpu_of"][part] / run["cpu"] for part in ("own", "waited for", "others"))
    return f"""A run of way A without a change, authorities: {size}, takes {run["cpu"]:.0f} s of CPU. Of these
{own:.0f} % go into Ansible's own process, which orders tasks and accounts; {workers:.0f} % into its workers, a fork for
each task of each account, which renders what the task is told, also where it is skipped then; and {modules:.0f} % into
the modules, forks of the warm Python that call AWS."""


def _kinds(size: int, one: dict[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {count / size:g}" for kind, count in one["again"]["kinds"].items())
    return f"""The calls of one authority in that run:
{kinds}.

Each bucket has six settings or more that are declared.
S3 tells of each by a call of its own, and what somebody has changed there by hand has to be put right; so the goal for
calls, which leaves ten for all that is no stack, is not within reach."""
