# SPDX-License-Identifier: GPL-3.0-or-later
"""What came of trials of access, as people read it: a matrix of principals and places, see `docs/concepts.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypedDict

Trial = dict[str, Any]


class Column(TypedDict):
    """A place: `owner` is the inventory host, `place` a bucket with its folder, or a repository."""

    owner: str
    place: str


class Cell(TypedDict):
    """What a principal may do at a place: the actions let in, and the trials that surprised."""

    allowed: list[str]
    surprises: list[Trial]


class Row(TypedDict):
    account: str
    role: str
    cells: list[Cell | None]  # None where nothing was tried


class Matrix(TypedDict):
    columns: list[Column]
    rows: list[Row]
    surprises: list[Trial]
    counts: dict[str, int]
    lines: list[str]


def matrix(trials: Iterable[Trial]) -> Matrix:
    """Columns and rows in the order in which the trials name them, and the same as lines of text."""
    tried = list(trials)
    owners = list(dict.fromkeys(trial["owner"] for trial in tried))
    # Stable, so within an owner the places keep their order.
    columns = sorted(dict.fromkeys(map(_column, tried)), key=lambda column: owners.index(column[0]))
    surprises = [trial for trial in tried if is_surprise(trial)]
    cells: dict[tuple[str, str], dict[tuple[str, str], Cell]] = {}
    for trial in tried:
        row = cells.setdefault((trial["account"], trial["role"]), {})
        cell = row.setdefault(_column(trial), {"allowed": [], "surprises": []})
        if trial["outcome"] == "allowed":
            cell["allowed"].append(trial["action"])
        if is_surprise(trial):
            cell["surprises"].append(trial)
    rows: list[Row] = [
        {"account": account, "role": role, "cells": [row.get(column) for column in columns]}
        for (account, role), row in cells.items()
    ]
    return {
        "columns": [{"owner": owner, "place": place} for owner, place in columns],
        "rows": rows,
        "surprises": surprises,
        "counts": {"trials": len(tried), "surprises": len(surprises), **Counter(trial["outcome"] for trial in tried)},
        "lines": _lines(tried, surprises),
    }


def is_surprise(trial: Trial) -> bool:
    return bool(trial["outcome"] != trial["expected"])


def place(trial: Trial) -> str:
    """`localgov-012345670123-shared/ssda903` or `localgov/frontend`: the end of the ARN, and the folder."""
    name = trial["resource"].split(":", 5)[5].removeprefix("repository/")
    return f"{name}/{trial['prefix']}" if trial["prefix"] else str(name)


def _column(trial: Trial) -> tuple[str, str]:
    return trial["owner"], place(trial)


def _lines(trials: list[Trial], surprises: list[Trial]) -> list[str]:
    """A line for each principal with all that it was let into, then a line for each surprise."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(f"{trial['account']}/{trial['role']}", []).append(trial)
    width = max(map(len, found), default=0)
    lines = []
    for principal, tried in found.items():
        refused = sum(trial["outcome"] == "refused" for trial in tried)
        lines.append(f"{principal:{width}}  refused {refused:3} of {len(tried):3}  {_let_into(tried)}".rstrip())
    return lines + [_surprise(trial) for trial in surprises]


def _let_into(trials: list[Trial]) -> str:
    places: dict[str, list[str]] = {}
    for trial in trials:
        if trial["outcome"] == "allowed":
            places.setdefault(f"{trial['owner']}:{place(trial)}", []).append(trial["action"])
    return "; ".join(f"{'+'.join(actions)} {where}" for where, actions in places.items())


def _surprise(trial: Trial) -> str:
    return (
        f"SURPRISE: {trial['account']}/{trial['role']} {trial['action']} {trial['owner']}:{place(trial)} was "
        f"{trial['outcome']}, expected {trial['expected']} ({trial['because']}). {trial['reason']}"
    )
