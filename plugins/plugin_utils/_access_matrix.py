# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of trials of access, as people read it: a table for each owner, see `docs/concepts.md`, section 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils._tables import aligned

Trial = dict[str, Any]
# Not a trial of access, but whether a resource's own statements are the declared ones.
TRUST = "trust"


class Cell(TypedDict):
    """What a principal may do at a place: the actions let in, and whether any trial there surprised."""

    allowed: list[str]
    surprise: bool


class Group(TypedDict):
    """Trials of one principal at one place that were expected, and ended, alike for the same cause."""

    place: str
    actions: list[str]
    expected: str
    because: str
    outcome: str
    reason: str  # AWS's own words for the first of the actions


class Row(TypedDict):
    principal: str
    cells: list[Cell | None]  # by place; None where nothing was tried
    groups: list[Group]


class Table(TypedDict):
    """What one account owns: those who got in anywhere or surprised, and those who did neither."""

    owner: str
    places: list[str]
    let_in: list[Row]
    shut_out: list[Row]


class Matrix(TypedDict):
    tables: list[Table]
    surprises: list[Trial]
    counts: dict[str, int]
    lines: list[str]


def matrix(trials: Iterable[Trial]) -> Matrix:
    """Owners, places and principals are in the order in which the trials name them; `lines` are for a terminal."""
    tried = [{**trial, **_for_people(trial)} for trial in trials]
    surprises = [trial for trial in tried if is_surprise(trial)]
    of_access = [trial for trial in tried if trial["action"] != TRUST]
    return {
        "tables": [_table(owner, of_access) for owner in dict.fromkeys(trial["owner"] for trial in of_access)],
        "surprises": surprises,
        "counts": {"trials": len(tried), "surprises": len(surprises), **Counter(trial["outcome"] for trial in tried)},
        "lines": [*_lines(of_access), *map(_told, surprises)],
    }


def _for_people(trial: Trial) -> dict[str, str]:
    """Where, who and why; `mend` says what else has to be done about statements that are not the declared ones."""
    return {
        "place": place(trial),
        "principal": f"{trial['account']}/{trial['role']}",
        "reason": " ".join(filter(None, [trial["reason"], trial.get("mend")])),
    }


def is_surprise(trial: Trial) -> bool:
    return bool(trial["outcome"] != trial["expected"])


def place(trial: Trial) -> str:
    """`localgov-012345670123-shared/ssda903` or `localgov/frontend`: the end of the ARN, and the folder."""
    name = trial["resource"].split(":", 5)[5].removeprefix("repository/")
    return f"{name}/{trial['prefix']}" if trial["prefix"] else str(name)


def _table(owner: str, tried: list[Trial]) -> Table:
    here = [trial for trial in tried if trial["owner"] == owner]
    places = list(dict.fromkeys(trial["place"] for trial in here))
    let_in: list[Row] = []
    shut_out: list[Row] = []
    for principal, own in _by_principal(here).items():
        row: Row = {"principal": principal, "cells": [_cell(own, place) for place in places], "groups": _groups(own)}
        got_in = any(trial["outcome"] == "allowed" or is_surprise(trial) for trial in own)
        (let_in if got_in else shut_out).append(row)
    return {"owner": owner, "places": places, "let_in": let_in, "shut_out": shut_out}


def _by_principal(tried: list[Trial]) -> dict[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for trial in tried:
        found.setdefault(trial["principal"], []).append(trial)
    return found


def _groups(of_principal: list[Trial]) -> list[Group]:
    found: dict[tuple[str, ...], Group] = {}
    for trial in of_principal:
        alike = {key: trial[key] for key in ("place", "expected", "because", "outcome")}
        group = found.setdefault(
            tuple(alike.values()),
            Group(
                place=trial["place"],
                actions=[],
                expected=trial["expected"],
                because=trial["because"],
                outcome=trial["outcome"],
                reason=trial["reason"],
            ),
        )
        group["actions"].append(trial["action"])
    return list(found.values())


def _cell(of_principal: list[Trial], place: str) -> Cell | None:
    here = [trial for trial in of_principal if trial["place"] == place]
    if not here:
        return None
    allowed = [trial["action"] for trial in here if trial["outcome"] == "allowed"]
    return {"allowed": allowed, "surprise": any(map(is_surprise, here))}


def _lines(tried: list[Trial]) -> list[str]:
    """A table with a line for each principal and all that it was let into."""
    rows = [
        {
            "who": principal,
            "tried": len(own),
            "refused": sum(trial["outcome"] == "refused" for trial in own),
            "surprises": sum(map(is_surprise, own)),
            "let_into": _let_into(own),
        }
        for principal, own in _by_principal(tried).items()
    ]
    columns = {"who": "Who", "tried": "Tried", "refused": "Refused", "surprises": "Surprises", "let_into": "Let into"}
    return aligned(rows, columns)


def _let_into(own: list[Trial]) -> str:
    places: dict[str, list[str]] = {}
    for trial in own:
        if trial["outcome"] == "allowed":
            places.setdefault(f"{trial['owner']}:{trial['place']}", []).append(trial["action"])
    return "; ".join(f"{'+'.join(actions)} {where}" for where, actions in places.items())


def _told(trial: Trial) -> str:
    if trial["action"] == TRUST:
        return f"SURPRISE: {trial['owner']}:{trial['place']} {trial['outcome']} from its declaration. {trial['reason']}"
    what = "failed" if trial["outcome"] == "failed" else f"was {trial['outcome']}"
    return (
        f"SURPRISE: {trial['principal']} {trial['action']} {trial['owner']}:{trial['place']} {what}, "
        f"expected {trial['expected']} ({trial['because']}). {trial['reason']}"
    )
