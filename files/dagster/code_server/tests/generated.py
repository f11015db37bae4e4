# SPDX-License-Identifier: GPL-3.0-or-later
"""Invented tables: cells as they should be, as people write them, and as nobody should."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

from reference import Cell, column_in

# What people, spreadsheets and other programs have put into cells.
ODD = [
    "nan", "NULL", "None", "#N/A", "-", "0", "1", "1.0", "2.00", "1.5", "01", "+1", "-1", "1e3", "1,000", "999999999",
    "9999999999", "Male", "female", "M", "U", "YES", "no", "white british", "WBRI ", "x1", "E43", "E45", "K3", "H5",
    "Z11", "31/02/2020", "29/02/2019", "29/02/2020", "1/2/2020", "2020-02-01", "01/02/20", "01/02/2020 00:00:00",
    "01-02-2020", "12/31/2020", "31/12/1899", "01/01/1900", "31/12/2099", "01/01/2100", " 1/ 2/2020", "5/ 3/ 2012",
    "\u0660\u0661/\u0660\u0662/\u0662\u0660\u0662\u0660",
    "sw1a2aa", "SW1A  2AA", "m1 1ae", "EC1A\t1BB", "W1A\u00a00AX", "ZZ99 3VZ", "GIR 0AA", "gir0aa",
    "QQ1 1AA", "SW1A", "B33 8TH", "CR2 6XH", "=1+1", "@SUM(A1)", "+44", "\u202e", "e\u0301",
    "\u017f", "\u0131", "\u00df", "a b",
    "A-B", "A_B", "Zo\u00eb", "\U0001f642", "line\nbreak", "\t", "0" * 40, "x" * 201,
    "TEST0001\u200b", "\uff21\uff22\uff11", "\u2167",
]  # fmt: skip


def table_of_rows(
    chance: random.Random, document: dict[str, Any], table: str, year: int
) -> list[tuple[int, dict[str, Cell]]]:
    """Rows with their numbers, which have gaps, as blank lines leave them."""
    columns = {name: column_in(rules, year) for name, rules in document["tables"][table]["columns"].items()}
    number, rows = 1, []
    for _ in range(chance.randint(1, 8)):
        number += chance.choice([1, 1, 1, 2, 7])
        rows.append((number, {name: _cell(chance, column) for name, column in columns.items()}))
    return rows


def good_rows(
    chance: random.Random, document: dict[str, Any], table: str, year: int
) -> list[tuple[int, dict[str, Cell]]]:
    """Rows in which every cell is right, and every date one of the return's year."""
    columns = {name: column_in(rules, year) for name, rules in document["tables"][table]["columns"].items()}
    first = date(year - 1, 4, 1)
    return [
        (number, {name: _good_of_the_year(chance, column, first) for name, column in columns.items()})
        for number in range(2, chance.randint(3, 10))
    ]


def _good_of_the_year(chance: random.Random, column: dict[str, Any], first: date) -> str:
    if column["type"] == "date":
        return (first + timedelta(days=chance.randrange(365))).strftime("%d/%m/%Y")
    return _good(chance, column)


def _cell(chance: random.Random, column: dict[str, Any]) -> Cell:
    kind = chance.random()
    if kind < 0.1:
        return None
    if kind < 0.25:
        return chance.choice(ODD)
    good = _good(chance, column)
    if kind < 0.35:
        return chance.choice([good.lower(), good.title(), f"{good}.0", f"{good}x", good.replace(" ", "")])
    return good


def _good(chance: random.Random, column: dict[str, Any]) -> str:
    if column["type"] == "date":
        return f"{chance.randint(1, 28):02}/{chance.randint(1, 12):02}/{chance.randint(1990, 2026)}"
    if column["type"] == "integer":
        return str(chance.randint(column.get("minimum", -5), column.get("maximum", 50)))
    if column["type"] == "code":
        codes = column["codes"]
        words = [word for word in codes.values() if isinstance(word, str)] if isinstance(codes, dict) else []
        return str(chance.choice([*codes, *words]))
    if column["pattern"] == "postcode":
        return chance.choice(["SW1A 2AA", "M1 1AE", "B33 8TH", "ZZ99 3AA", "EC1A 1BB"])
    return f"TEST{chance.randint(0, 40):04}"
