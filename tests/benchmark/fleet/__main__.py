# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.benchmark.fleet [--authorities 1 3 10] [--ways A B C F] [--latency 100]`: measure, and tell.

Each number of authorities, each way and each latency is measured on an empty sandbox: first a deployment from nothing,
then one that finds nothing to change. What was measured is kept in `build/bench/fleet/<size>/<way>.json`, so that the
long ones can be measured one after the other; the table has all there is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.settings import ROOT
from tests.benchmark.fleet import report, stacks, ways
from tests.benchmark.fleet.fleet import Fleet

FOLDER = ROOT / "build" / "bench" / "fleet"
DOCUMENT = ROOT / "docs" / "performance.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How fast a fleet is rolled out.")
    parser.add_argument("--authorities", type=int, nargs="*", default=[1, 3, 10], metavar="N")
    parser.add_argument("--ways", nargs="*", default=list(report.WAYS), choices=list(report.WAYS))
    parser.add_argument("--latency", type=int, default=0, help="milliseconds that each call takes longer")
    parser.add_argument("--document", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} too")
    given = parser.parse_args(arguments)
    try:
        for authorities in given.authorities:
            for way in given.ways:
                measure(Fleet(FOLDER / f"{authorities}-{given.latency}", authorities, given.latency), way)
    finally:
        ways.tidy()
    measured = report.read(FOLDER)
    figures = report.figures(measured)
    (FOLDER.parent / "fleet.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(report.table(measured))
    print(report.goals(figures))
    if given.document:
        DOCUMENT.write_text(report.document(measured, figures))
    return 0


def measure(fleet: Fleet, way: str) -> None:
    captured = fleet.folder / "stacks.json"
    if way in ("C", "F") and not captured.exists():
        sys.exit(f"Way {way} deploys the stacks of way A: measure A with {fleet.authorities} authorities first.")
    outcome: dict[str, Any] = {}
    with fleet.running():
        if way in ("C", "F"):
            ways.prepare(fleet)
        for run in report.RUNS:
            before = fleet.calls_until_now()
            outcome[run] = _measured(fleet, way, run)
            calls = fleet.calls(since=before)
            outcome[run]["calls"] = {name: calls[name] for name in fleet.accounts}
        if way == "A":
            stacks.capture(fleet, captured)
            outcome["profile"] = _profile(fleet)
    result = {"authorities": fleet.authorities, "latency": fleet.latency, "way": way, **outcome}
    result["stacks"] = {name: len(declared) for name, declared in stacks.read(captured).items()}
    (fleet.folder / f"{way}.json").write_text(json.dumps(result, indent=2) + "\n")


def _command(fleet: Fleet, way: str, run: str) -> ways.Command:
    captured = fleet.folder / "stacks.json"
    if way == "A":
        return ways.ours(fleet)
    if way == "B":
        return ways.stock(fleet)
    if way == "C":
        return ways.command_line(fleet, captured)
    return ways.floor(fleet, "create" if run == "fresh" else "describe", captured)


def _measured(fleet: Fleet, way: str, run: str) -> dict[str, Any]:
    command = _command(fleet, way, run)
    print(f"{way}, {fleet.authorities} authorities, {run}", flush=True)
    figures, log = fleet.folder / "measured.json", fleet.folder / f"{way}-{run}.log"
    program = [sys.executable, str(Path(__file__).parent / "measured.py"), str(figures), *command.arguments]
    with log.open("w") as output:
        done = subprocess.run(
            program, cwd=ROOT, env=command.environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        sys.exit(f"Way {way} failed with {fleet.authorities} authorities, {run}: see {log}.")
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def _profile(fleet: Fleet) -> list[str]:
    """The slowest tasks of one more run without changes, as Ansible's own profile names them."""
    command = ways.ours(fleet)
    environment = {
        **command.environment,
        "ANSIBLE_CALLBACKS_ENABLED": "localgov.platform.loaded_once,ansible.posix.profile_tasks",
        "PROFILE_TASKS_TASK_OUTPUT_LIMIT": "12",
    }
    done = subprocess.run(
        command.arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=7200
    )
    return [line for line in done.stdout.partition("PLAY RECAP")[2].splitlines() if " --- " in line or "----" in line]


if __name__ == "__main__":
    sys.exit(main())
