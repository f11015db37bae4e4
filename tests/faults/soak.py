# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: T201  a program for a terminal
"""Many seeded rollouts through faults, and kills at random moments, several at a time: `make soak`."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.faults.proxy import Faults
from tests.faults.rollouts import AUTHORITY, ORGANISATION, OverError, Rollouts, Verdict
from tests.sandbox.conftest import CHECKOUT

# Every so many seeds the organisation is rolled out with the authority, and calls stall for as long as the longest do,
# half a minute each. No client gives up before, so a shorter stall goes the same way.
_ORGANISATION_EVERY, _LONG_STALLS_EVERY = 4, 10
_SHORT_STALL_SECONDS = 2.0
_INTERRUPTION_EVERY, _KILL_OF_ORGANISATION_EVERY = 3, 5
_RUNS = CHECKOUT / "build" / "bench" / "soak-runs.jsonl"


def main(arguments: list[str] | None = None) -> int:
    """0 when every rollout went as it should."""
    given = _parsed(arguments)
    # Started in the background, playbooks would not hear of interruptions.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work = iter(_mixed([*range(given.first, given.first + given.seeds)], given.kills))
    taking, verdicts, over = threading.Lock(), list[Verdict](), threading.Event()
    deadline = time.monotonic() + given.minutes * 60
    moments = random.Random(given.first)  # noqa: S311 - moments of kills, no secrets

    def keep(verdict: Verdict, number: int) -> None:
        with taking:
            verdicts.append(verdict)
            print(f"{len(verdicts)} {_line(verdict)}", flush=True)
            with given.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps({**vars(verdict), "worker": number}) + "\n")

    def run(number: int) -> None:
        with suppress(OverError), Rollouts(given.folder / f"worker-{number}", over) as rollouts:
            for one in _shared(work, taking, deadline):
                if isinstance(one, End):
                    after = rollouts.usual_seconds * moments.uniform(0, len(one.accounts))
                    keep(rollouts.with_end(one.signal, after, one.accounts), number)
                else:
                    keep(rollouts.with_faults(*_trial(one, given.rate, given.stall_seconds)), number)

    given.log.parent.mkdir(parents=True, exist_ok=True)
    given.log.unlink(missing_ok=True)
    workers = [threading.Thread(target=run, args=(number,)) for number in range(given.workers)]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    finally:  # where this is interrupted, playbooks are too: none follows, and the sandboxes end
        over.set()
        for worker in workers:
            worker.join()
    figures = _figures(verdicts, given.seeds, given.kills)
    given.log.with_name("soak.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for figure in figures:
        print(f"{figure['name']}: {figure['value']} {figure['unit']}")
    return 0 if all(figure["met"] for figure in figures) else 1


def _trial(seed: int, rate: float, longest_stall: float) -> tuple[Faults, list[str]]:
    """The faults of a seed, and the accounts that are rolled out through them."""
    stall = longest_stall if seed % _LONG_STALLS_EVERY == 0 else min(longest_stall, _SHORT_STALL_SECONDS)
    accounts = [ORGANISATION, AUTHORITY] if seed % _ORGANISATION_EVERY == 0 else [AUTHORITY]
    return Faults(seed, rate, stall), accounts


class End(NamedTuple):
    """An end of the controller that nobody announced to it."""

    signal: signal.Signals
    accounts: list[str]


def _mixed(seeds: list[int], kills: int) -> list[int | End]:
    """Kills evenly among the seeds. The first and every third after it are interruptions, and every fifth is of the
    organisation too."""
    work: list[int | End] = [*seeds]
    for number in range(kills, 0, -1):
        by = signal.SIGINT if number % _INTERRUPTION_EVERY == 1 else signal.SIGKILL
        accounts = [ORGANISATION, AUTHORITY] if number % _KILL_OF_ORGANISATION_EVERY == 0 else [AUTHORITY]
        work.insert(number * len(seeds) // (kills + 1), End(by, accounts))
    return work


def _shared(work: Iterator[int | End], taking: threading.Lock, deadline: float) -> Iterator[int | End]:
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
        _figure("kills and interruptions", outcomes["killed"] + outcomes["interrupted"], goal=kills),
        _figure("of these killed", outcomes["killed"]),
        _figure("calls", sum(faults.values()), "calls"),
        *(_figure(f"calls {fault}", number, "calls") for fault, number in faults.most_common()),
        _figure("not as they should be", len(wrong), goal=0, which=wrong),
    ]


def _figure(name: str, value: int, unit: str = "runs", goal: int | None = None, **more: object) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "goal": goal, "met": goal in (None, value), **more}


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many rollouts through faults")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--kills", type=int, default=38, help="how many are killed or, every third, interrupted")
    parser.add_argument("--rate", type=float, default=0.2, help="the share of calls that go wrong")
    parser.add_argument("--stall-seconds", type=float, default=30, help="how long a call stalls, of every tenth seed")
    parser.add_argument("--workers", type=int, default=4, help="how many sandboxes at a time")
    parser.add_argument("--minutes", type=float, default=600, help="after how long no further rollout is begun")
    parser.add_argument("--folder", type=Path, default=CHECKOUT / "build" / "test" / "soak", help="where sandboxes are")
    parser.add_argument("--log", type=Path, default=_RUNS, help="one line for each run; soak.json beside it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
