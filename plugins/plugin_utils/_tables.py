# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of values as text: for a terminal, and as CSV that a spreadsheet may open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
# With these a cell would begin that a spreadsheet takes for a formula, and works out.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_GAP = "  "


def aligned(rows: Iterable[Row], columns: Mapping[str, str]) -> list[str]:
    """A line for the headings, one for each row, and columns as wide as they need; numbers to the right."""
    rows = list(rows)
    cells = [list(columns.values()), *([printable(row.get(key)) for key in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [bool(rows) and all(_is_number(row.get(key)) for row in rows) for key in columns]
    return [
        _GAP.join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]


def comma_separated(rows: Iterable[Row], columns: Mapping[str, str]) -> str:
    """CSV as in RFC 4180, with a heading; text that would be taken for a formula is kept from that by an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns.values())
    writer.writerows([_defused(row.get(key)) for key in columns] for row in rows)
    return text.getvalue()


def _defused(value: object) -> object:
    if _is_number(value):
        return value
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def printable(value: object) -> str:
    """Without what could move a terminal's cursor, or change what it has shown."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
