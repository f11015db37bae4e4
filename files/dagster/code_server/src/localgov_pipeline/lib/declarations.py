# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets as data: which tables and columns there are, what a cell may hold, and what of it may be shared."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Sharing = Literal["never", "unchanged", "month"]


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Declared):
    """`share` has no default: whoever adds a column decides what leaves the local authority."""

    type: Literal["text", "date", "code", "integer"]
    mandatory: bool
    share: Sharing
    pattern: Literal["alphanumeric", "postcode"] | None = None
    codes: dict[str, str | list[str] | None] = Field(default_factory=dict)
    minimum: int | None = None
    maximum: int | None = None

    @field_validator("codes", mode="before")
    @classmethod
    def _codes_without_words(cls, codes: object) -> object:
        return dict.fromkeys(codes) if isinstance(codes, list) else codes

    @model_validator(mode="after")
    def _fits_its_type(self) -> Column:
        if (self.type == "text") != (self.pattern is not None):
            raise ValueError("a text column, and no other, has a `pattern`")
        if (self.type == "code") != bool(self.codes):
            raise ValueError("a code column, and no other, has `codes`")
        if self.share == "month" and self.type != "date":
            raise ValueError("only a date can be shared as its `month`")
        return self

    def labels(self, code: str) -> list[str]:
        """Words that stand for the code in some exports, such as `Female` for `2`."""
        label = self.codes[code]
        if label is None:
            return []
        return [label] if isinstance(label, str) else label


class Table(_Declared):
    name: str
    title: str
    key: tuple[str, ...]
    columns: dict[str, Column]

    @model_validator(mode="after")
    def _has_its_key(self) -> Table:
        if missing := [column for column in self.key if column not in self.columns]:
            raise ValueError(f"key {missing} is not among the columns of table {self.name}")
        return self

    def shareable(self) -> list[str]:
        return [name for name, column in self.columns.items() if column.share != "never"]


class Dataset(_Declared):
    """The rules of one dataset in one year."""

    name: str
    title: str
    year: int
    tables: dict[str, Table]


class UnknownDatasetError(LookupError):
    pass


def dataset_for_year(document: dict[str, Any], year: int) -> Dataset:
    """Apply every change declared up to `year`. A `changes` entry replaces the keys that it names."""
    if year < document["first_year"]:
        raise UnknownDatasetError(
            f"No rules for {document['dataset']} in {year}: the first year with rules is {document['first_year']}."
        )
    tables = {name: _table_for_year(name, table, year) for name, table in document["tables"].items()}
    return Dataset(name=document["dataset"], title=document["title"], year=year, tables=tables)


def _table_for_year(name: str, table: dict[str, Any], year: int) -> Table:
    columns = {column: _column_for_year(rules, year) for column, rules in table["columns"].items()}
    return Table(name=name, title=table["title"], key=tuple(table["key"]), columns=columns)


def _column_for_year(rules: dict[str, Any], year: int) -> Column:
    merged = {key: value for key, value in rules.items() if key != "changes"}
    for since, change in sorted(rules.get("changes", {}).items()):
        if since <= year:
            merged.update(change)
    return Column.model_validate(merged)


_DATASETS = resources.files("localgov_pipeline") / "datasets"


def declared_datasets() -> list[str]:
    return sorted(file.name.removesuffix(".yaml") for file in _DATASETS.iterdir() if file.name.endswith(".yaml"))


@cache
def declared(dataset: str, year: int) -> Dataset:
    file = _DATASETS / f"{dataset}.yaml"
    if not dataset.replace("_", "").isalnum() or not file.is_file():
        raise UnknownDatasetError(f"No rules for the dataset {dataset}.")
    return dataset_for_year(yaml.safe_load(file.read_text(encoding="utf-8")), year)
