# SPDX-License-Identifier: GPL-3.0-or-later
"""The data returns that can be uploaded, as the pipeline declares them: `datasets.json` is written by `make docs`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class FileKind:
    """`ending` is that of the object's key as well; what a file really is, the pipeline sees by its first bytes."""

    ending: str
    content_type: str
    words: str


_CSV = FileKind("csv", "text/csv", "a CSV file (.csv)")
_WORKBOOK = FileKind(
    "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "an Excel workbook (.xlsx)"
)
_XML = FileKind("xml", "application/xml", "an XML file (.xml)")
# By the format that is declared.
_KINDS = {"csv": (_CSV, _WORKBOOK), "xml": (_XML,)}


@dataclass(frozen=True)
class Table:
    name: str
    title: str
    years: range


@dataclass(frozen=True)
class Dataset:
    name: str
    title: str
    description: str
    years: range
    # Without a script nobody can tell which of them is sent: then it counts as the first.
    kinds: tuple[FileKind, ...]
    # To whom what is shared, in words.
    profiles: dict[str, str]
    all_tables: tuple[Table, ...]

    def tables(self, year: int) -> list[Table]:
        return [table for table in self.all_tables if year in table.years]

    def kind(self, ending: str) -> FileKind | None:
        return next((kind for kind in self.kinds if kind.ending == ending), None)

    @property
    def kinds_in_words(self) -> str:
        return " or ".join(kind.words for kind in self.kinds)


def _dataset(name: str, declared: dict[str, Any]) -> Dataset:
    years = _years(declared, declared)
    return Dataset(
        name=name,
        title=declared["title"],
        description=declared["description"],
        years=years,
        kinds=_KINDS[declared["format"]],
        profiles=declared["profiles"],
        all_tables=tuple(
            Table(table, rules["title"], _years(rules, declared)) for table, rules in declared["tables"].items()
        ),
    )


def _years(rules: dict[str, Any], of_dataset: dict[str, Any]) -> range:
    first, last = (rules.get(key, of_dataset[key]) for key in ("first_year", "last_year"))
    return range(first, last + 1)


_DECLARED = json.loads((resources.files("localgov_frontend") / "datasets.json").read_text(encoding="utf-8"))
DATASETS = {name: _dataset(name, declared) for name, declared in _DECLARED.items()}


def year_label(year: int) -> str:
    """A return is named after the year in which its period ends, on 31 March."""
    return f"{year} (1 April {year - 1} to 31 March {year})"
