# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a declaration, in words for the person who writes it: where, what, and what is expected there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_PLACES = {"tables": "table", "columns": "column", "profiles": "profile", "checks": "check"}
# What each key of a declaration holds; docs/datasets.md has the same.
FORMS = {
    "dataset": "its name: lower-case letters, digits and underscores",
    "title": "a few words in plain English",
    "description": "a sentence or two in plain English",
    "first_year": "the first year with rules, such as 2024",
    "last_year": "the last year with rules, such as 2026",
    "dates": "DD/MM/YYYY or YYYY-MM-DD: how dates are written in this dataset",
    "schema_version": "a number that grows when what is shared takes another form, such as 1",
    "format": "csv or xml",
    "widest_shared_range": "how far apart the bounds of a number may be that is shared unchanged; 1000000 if not given",
    "year_ends": 'month and day on which the year of a return ends, such as "03-31"; 12-31 if not given',
    "profiles": "a mapping of at least one profile, such as `regional: {title: For the organisation}`",
    "linked": "true or false",
    "retention": "days, as `{workspace: 30, results: 1095, shared: 2190}`",
    "workspace": "a number of days above 0",
    "results": "a number of days above 0",
    "shared": "a number of days above 0",
    "tables": "a mapping of at least one table",
    "key": "a list of the columns without which a row is of no use, such as [CHILD]",
    "columns": "a mapping of at least one column",
    "type": "text, date, code or integer",
    "mandatory": "true or false",
    "share": "never, unchanged, month, year, sector or pseudonym, or a mapping that gives one for every profile",
    "pattern": "alphanumeric, postcode or free",
    "within_year": "true for a date that never lies before the year of the return; false if not given",
    "date_format": "DD/MM/YYYY or YYYY-MM-DD",
    "codes": "a list of codes, or a mapping of codes to their words",
    "changes": "years, each with the keys that are different from it on, such as `2025: {codes: [A, B]}`",
    "minimum": "a whole number of at most 18 digits",
    "maximum": "a whole number of at most 18 digits",
    "identifier": "true or false",
    "reading": "for XML, where in the file a value stands, such as {from: Child/Name}",
    "entity": "whom the column identifies, such as child",
    "check": "unique, refers, no_overlap, order, row_count_change, unknown_codes, missing_mandatory or another_year",
    "severity": "error or warning",
    "threshold": "a share of 0 or more, such as 0.05; of another_year, a share of what is filled of a column",
}


class DeclarationError(ValueError):
    """`problems` says each thing that is wrong, with its place in the file."""

    def __init__(self, file: str, problems: Sequence[str]) -> None:
        super().__init__("\n".join(f"{file}: {problem}" for problem in problems))
        self.file = file
        self.problems = tuple(problems)


def described(error: ValidationError) -> list[str]:
    return [_problem(detail["loc"], detail["type"], detail["msg"]) for detail in error.errors()]


def _problem(location: tuple[int | str, ...], kind: str, message: str) -> str:
    place, field = _place(location)
    before = f"{place}: " if place else ""
    if kind == "value_error":
        return f"{before}{message.removeprefix('Value error, ')}."
    if kind == "extra_forbidden" and field not in FORMS:
        return f"{before}`{field}` is not known here. Take it out, or mend its spelling."
    fault = "is missing" if kind == "missing" else "has not the expected form"
    expected = f" Expected: {FORMS[field]}." if field in FORMS else ""
    return f"{before}`{field}` {fault}.{expected}"


def _place(location: tuple[int | str, ...]) -> tuple[str, str]:
    """(`table header, column SEX`, `share`) for ("tables", "header", "columns", "SEX", "share", "regional")."""
    parts = [str(part) for part in location]
    words: list[str] = []
    while len(parts) > 1 and parts[0] in _PLACES:
        words.append(f"{_PLACES[parts[0]]} {parts[1]}")
        parts = parts[2:]
    if len(parts) > 1 and parts[0] == "retention":
        return "retention", parts[1]
    return ", ".join(words), parts[0] if parts else ""
