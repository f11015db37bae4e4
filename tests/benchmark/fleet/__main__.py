# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.benchmark.fleet [--authorities 1 3 10] [--ways A B C F] [--latency 100]`: measure, and tell.

Each number of authorities and each latency begins with an empty sandbox, on which way A deploys everything. Then each
way is measured on what is there, where it finds nothing to change. With `--fresh` the other ways also deploy
everything, each on an empty sandbox of its own.

What was measured is kept in `build/bench/fleet/<size>/<way>.json`, so that the long ones can be measured one after the
other; the table has all there is, and names what there is not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
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
    parser.add_argument("--fresh", action="store_true", help="measure also how the ways B, C and F deploy from nothing")
    parser.add_argument("--document", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} too")
    given = parser.parse_args(arguments)
    # What is under way is ended, and the sandbox with it, also where a time limit ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    try:
        for authorities in given.authorities:
            measure(
                Fleet(FOLDER / f"{authorities}-{given.latency}", authorities, given.latency), given.ways, given.fresh
            )
    finally:
        ways.tidy()
    measured = report.read(FOLDER)
    figures = report.figures(measured)
    (FOLDER.parent / "fleet.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(report.table(measured))
    print(report.goals(figures))
    if given.document:
        DOCUMENT.write_text(report.document(measured, figures, FOLDER))
    return 0


def measure(fleet: Fleet, asked: Sequence[str], fresh: bool) -> None:
    with fleet.running():
        _keep(fleet, "A", "fresh", ways.ours(fleet))
        stacks.capture(fleet, _captured(fleet), _buckets(fleet))
        for way in asked:
            _keep(fleet, way, "again", _commands(fleet)[way])
    for way in asked if fresh else []:
        if way != "A":
            with fleet.running():
                if way != "B":
                    ways.prepare(fleet, _buckets(fleet))
                _keep(fleet, way, "fresh", _commands(fleet, "create")[way])


def _captured(fleet: Fleet) -> Path:
    return fleet.folder / "stacks.json"


def _buckets(fleet: Fleet) -> Path:
    return fleet.folder / "buckets.json"


def _commands(fleet: Fleet, verb: str = "describe") -> dict[str, ways.Command]:
    return {
        "A": ways.ours(fleet),
        "B": ways.stock(fleet),
        "C": ways.command_line(fleet, _captured(fleet), verb),
        "F": ways.floor(fleet, verb, _captured(fleet)),
    }


def _keep(fleet: Fleet, way: str, run: str, command: ways.Command) -> None:
    """Measure a run, and write it to what there is of its way."""
    before = fleet.calls_until_now()
    found = _measured(fleet, way, run, command)
    calls = fleet.calls(since=before)
    found["calls"] = {name: calls[name] for name in fleet.accounts}
    found["kinds"] = dict(fleet.kinds_of_calls(since=before).most_common())
    found["of"] = date.today().isoformat()
    file = fleet.folder / f"{way}.json"
    result = {"authorities": fleet.authorities, "latency": fleet.latency, "way": way}
    # A deployment from nothing begins anew.
    if file.exists() and (way, run) != ("A", "fresh"):
        result = json.loads(file.read_text())
    result[run] = found
    if _captured(fleet).exists():
        result["stacks"] = {name: len(declared) for name, declared in stacks.read(_captured(fleet)).items()}
    if (way, run) == ("A", "again"):
        result["profile"] = _profile((fleet.folder / "A-again.log").read_text())
    file.write_text(json.dumps(result, indent=2) + "\n")


def _measured(fleet: Fleet, way: str, run: str, command: ways.Command) -> dict[str, Any]:
    print(f"{way}, {fleet.authorities} authorities, {run}", flush=True)
    figures, log = fleet.folder / "measured.json", fleet.folder / f"{way}-{run}.log"
    program = [sys.executable, str(Path(__file__).parent / "measured.py"), str(figures), *command.arguments]
    with log.open("w") as output:
        process = subprocess.Popen(
            program,
            cwd=ROOT,
            env={**command.environment, "LOCALGOV_ROLLOUT_REPORT_FOLDER": str(fleet.folder / f"{way}-{run}-report")},
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)
    if code != 0:
        sys.exit(f"Way {way} failed with {fleet.authorities} authorities, {run}: see {log}.")
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def _profile(log: str) -> list[str]:
    """The slowest tasks, as Ansible's own profile names them at the end of a run."""
    return [line for line in log.partition("PLAY RECAP")[2].splitlines() if " --- " in line or "----" in line]


if __name__ == "__main__":
    sys.exit(main())
