# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: T201  a program for a terminal
"""Many seeded rollouts through faults, and kills at random moments, several at a time: `make soak`."""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.faults.proxy import Faults
from tests.faults.rollouts import Rollouts, Verdict
from tests.sandbox.conftest import CHECKOUT

_RUNS = CHECKOUT / "build" / "bench" / "soak-runs.jsonl"


def main() -> int:
    """0 when every rollout went as it should."""
    given = _arguments()
    work = iter(_mixed([*range(given.first, given.first + given.seeds)], given.kills))
    taking, verdicts = threading.Lock(), list[Verdict]()
    deadline = time.monotonic() + given.minutes * 60
    moments = random.Random(given.first)  # noqa: S311 - moments of kills, no secrets

    def keep(verdict: Verdict, number: int) -> None:
        with taking:
            verdicts.append(verdict)
            print(f"{len(verdicts)} {_line(verdict)}", flush=True)
            with given.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({**vars(verdict), "worker": number}) + "\n")

    def run(number: int) -> None:
        with Rollouts(given.folder / f"worker-{number}") as rollouts:
            for one in _shared(work, taking, deadline):
                if one == "kill":
                    keep(rollouts.with_kill(moments.uniform(0, rollouts.usual_seconds)), number)
                else:
                    keep(rollouts.with_faults(Faults(int(one), given.rate, given.stall_seconds)), number)

    given.log.parent.mkdir(parents=True, exist_ok=True)
    given.log.unlink(missing_ok=True)
    workers = [threading.Thread(target=run, args=(number,)) for number in range(given.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    figures = _figures(verdicts, given.seeds, given.kills)
    given.log.with_name("soak.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']}")
    return 0 if all(figure["met"] for figure in figures) else 1


def _mixed(seeds: list[int], kills: int) -> list[int | str]:
    """Kills evenly among the seeds."""
    work: list[int | str] = [*seeds]
    for number in range(kills, 0, -1):
        work.insert(number * len(seeds) // (kills + 1), "kill")
    return work


def _shared(work: Iterator[int | str], taking: threading.Lock, deadline: float) -> Iterator[int | str]:
    """What nobody has begun, until the time is over."""
    while time.monotonic() < deadline:
        with taking:
            one = next(work, None)
        if one is None:
            return
        yield one


def _line(verdict: Verdict) -> str:
    faults = sum(verdict.faults.values()) - verdict.faults["passed"]
    line = f"{verdict.name}: {verdict.first}, {faults} faults, {verdict.seconds:.0f} s"
    if verdict.reason:
        line += f"\n    {verdict.reason[:300]}"
    return line + "".join(f"\n    WRONG {wrong[:200]}" for wrong in verdict.wrong[:5])


def _figures(verdicts: list[Verdict], seeds: int, kills: int) -> list[dict[str, object]]:
    outcomes = Counter(verdict.first for verdict in verdicts)
    faults: Counter[str] = sum((verdict.faults for verdict in verdicts), Counter())
    wrong = [verdict.name for verdict in verdicts if verdict.wrong]
    return [
        _figure("seeded rollouts", outcomes["converged"] + outcomes["failed"], goal=seeds),
        _figure("converged at once", outcomes["converged"]),
        _figure("failed and said why", outcomes["failed"]),
        _figure("kills", outcomes["killed"], goal=kills),
        _figure("calls", sum(faults.values()), "calls"),
        *(_figure(f"calls {fault}", number, "calls") for fault, number in faults.most_common()),
        _figure("not as they should be", len(wrong), goal=0, which=wrong),
    ]


def _figure(name: str, value: int, unit: str = "runs", goal: int | None = None, **more: object) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "goal": goal, "met": goal in (None, value), **more}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many rollouts through faults")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--kills", type=int, default=25, help="how many rollouts whose controller is killed")
    parser.add_argument("--rate", type=float, default=0.2, help="the share of calls that go wrong")
    parser.add_argument("--stall-seconds", type=float, default=30, help="how long a call that stalls takes")
    parser.add_argument("--workers", type=int, default=4, help="how many sandboxes at a time")
    parser.add_argument("--minutes", type=float, default=600, help="after how long no further rollout is begun")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "build" / "test" / "soak", help="where sandboxes are")
    parser.add_argument("--log", type=Path, default=_RUNS, help="one line for each run; soak.json beside it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
