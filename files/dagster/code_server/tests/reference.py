# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pipeline has to do to a file, once more: cell by cell, slowly and plainly, without polars.

It reads the declarations for itself and shares no code with the pipeline: the two can only agree by being right, or by
both being wrong in the same way.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from typing import Any, NamedTuple

Cell = str | None
Value = str | int | datetime.date | None
ASCII_LETTERS_AND_DIGITS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


class Fault(NamedTuple):
    row: int
    column: str
    rule: str


class Expected(NamedTuple):
    """`rows`: number of the row and its values. `shared`: the same rows as they may leave the authority."""

    rows: list[tuple[int, dict[str, Value]]]
    faults: list[Fault]
    shared: list[dict[str, Value]]


def column_in(rules: dict[str, Any], year: int) -> dict[str, Any]:
    current = dict(rules)
    for since in sorted(rules.get("changes", {})):
        if since <= year:
            current.update(rules["changes"][since])
    return current


def expected(
    rows: list[tuple[int, dict[str, Cell]]], document: dict[str, Any], table: str, year: int, profile: str, key: bytes
) -> Expected:
    declared = document["tables"][table]
    kept: list[tuple[int, dict[str, Value]]] = []
    faults: list[Fault] = []
    shared: list[dict[str, Value]] = []
    for number, cells in rows:
        values: dict[str, Value] = {}
        for column, rules in declared["columns"].items():
            value, rule = clean_cell(cells[column], rules, year)
            values[column] = value
            if rule is not None:
                faults.append(Fault(number, column, rule))
        if all(values[column] is not None for column in declared["key"]):
            kept.append((number, values))
            shared.append(shared_row(values, declared["columns"], year, profile, key))
    return Expected(kept, faults, shared)


def clean_cell(cell: Cell, rules: dict[str, Any], year: int) -> tuple[Value, str | None]:
    """The value to keep, or nothing and the rule that is broken, if any is."""
    column = column_in(rules, year)
    if cell is None:
        return None, "mandatory" if column["mandatory"] else None
    if column["type"] == "date":
        day = date_of(cell)
        return day, "date" if day is None else None
    if column["type"] == "integer":
        number = integer_of(cell, column)
        return number, "integer" if number is None else None
    if column["type"] == "code":
        code = code_of(cell, column["codes"])
        return code, None if code is not None else code_fault(cell, rules)
    if column["pattern"] == "postcode":
        postcode = postcode_of(cell)
        return postcode, "postcode" if postcode is None else None
    if column["pattern"] == "alphanumeric":
        plain = len(cell) > 0 and all(character in ASCII_LETTERS_AND_DIGITS for character in cell)
        return (cell, None) if plain else (None, "text")
    wild = cell[0] in "=+-@＝＋－＠" or len(cell) > 200 or any(is_control(character) for character in cell)  # noqa: RUF001
    return (None, "text") if wild else (cell, None)


def is_control(character: str) -> bool:
    return ord(character) < 32 or 127 <= ord(character) < 160


def date_of(cell: str) -> datetime.date | None:
    if len(cell) != 10 or cell[2] != "/" or cell[5] != "/":
        return None
    parts = cell.split("/")
    if len(parts) != 3 or not all(character in "0123456789" for part in parts for character in part):
        return None
    day, month, year = (int(part) for part in parts)
    if not 1900 <= year <= 2099:
        return None
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def without_decimals(cell: str) -> str:
    """`1.0` and `1.00` are how a spreadsheet writes 1."""
    before, point, after = cell.partition(".")
    digits = "0123456789"
    if point and before and after and all(c in digits for c in before) and all(c == "0" for c in after):
        return before
    return cell


def integer_of(cell: str, column: dict[str, Any]) -> int | None:
    text = without_decimals(cell)
    digits = text.removeprefix("-")
    if not 1 <= len(digits) <= 18 or not all(character in "0123456789" for character in digits):
        return None
    number = int(text)
    return number if column.get("minimum", number) <= number <= column.get("maximum", number) else None


def code_of(cell: str, codes: Any) -> str | None:  # noqa: ANN401
    written = without_decimals(cell.upper())
    for code in codes:
        if code.upper() == written:
            return str(code)
    if isinstance(codes, dict):
        for code, label in codes.items():
            for word in label if isinstance(label, list) else [label]:
                if word is not None and word.upper() == written:
                    return str(code)
    return None


def code_fault(cell: str, rules: dict[str, Any]) -> str:
    """Whether another year knows the code."""
    written = without_decimals(cell.upper())
    versions = [rules, *rules.get("changes", {}).values()]
    known = any(written == code.upper() for version in versions for code in version["codes"])
    return "code_of_another_year" if known else "code"


def postcode_of(cell: str) -> str | None:
    compact = "".join(character for character in cell.upper() if character not in " \t\u00a0")
    outward, inward = compact[:-3], compact[-3:]
    if compact == "GIR0AA":
        return "GIR 0AA"
    if outward == "ZZ99" and re.fullmatch("[0-9][A-Z][A-Z]", inward):
        return f"{outward} {inward}"
    forms = [
        "[A-PR-UWYZ][0-9]",
        "[A-PR-UWYZ][0-9][0-9]",
        "[A-PR-UWYZ][A-HK-Y][0-9]",
        "[A-PR-UWYZ][A-HK-Y][0-9][0-9]",
        "[A-PR-UWYZ][A-HK-Y][0-9][ABEHMNPRV-Y]",
        "[A-PR-UWYZ][0-9][A-HJKPS-UW]",
    ]
    right = any(re.fullmatch(form, outward) for form in forms) and re.fullmatch("[0-9][ABD-HJLNP-UW-Z]{2}", inward)
    return f"{outward} {inward}" if right else None


def shared_row(
    values: dict[str, Value], columns: dict[str, Any], year: int, profile: str, key: bytes
) -> dict[str, Value]:
    shared: dict[str, Value] = {}
    for name, rules in columns.items():
        column = column_in(rules, year)
        form = column["share"] if isinstance(column["share"], str) else column["share"][profile]
        if form != "never":
            shared[name] = degraded(values[name], form, column, key)
    return shared


def degraded(value: Value, form: str, column: dict[str, Any], key: bytes) -> Value:
    if value is None or form == "unchanged":
        return value
    if form == "pseudonym":
        message = column["entity"].encode() + b"\0" + str(value).encode()
        return hmac.new(key, message, hashlib.sha256).digest()[:16].hex()
    if form == "sector":
        return str(value)[:-2]
    assert isinstance(value, datetime.date)
    assert form in ("month", "year")
    return value.year if form == "year" else f"{value.year:04}-{value.month:02}"
