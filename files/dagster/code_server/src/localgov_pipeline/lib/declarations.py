# SPDX-License-Identifier: GPL-3.0-or-later
"""Datasets as data: which tables and columns there are, what a cell may hold, and what of it may be shared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from localgov_pipeline.lib.declaration_errors import DeclarationError, described

Share = Literal["never", "unchanged", "month", "year", "sector", "pseudonym"]
Severity = Literal["error", "warning"]
# Digits of a whole number that fits, whatever they are, into what polars and parquet hold.
LONGEST_NUMBER = 18
LARGEST_NUMBER = 10**LONGEST_NUMBER - 1


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Profile(_Declared):
    """To whom, and for what, something is shared. `linked`: pseudonyms are made with the linking key, where an
    authority has one, so that the same person can be followed from one authority to another."""

    title: str
    linked: bool = False


class Retention(_Declared):
    """Days after which what a submission left is removed."""

    workspace: int = Field(gt=0)
    results: int = Field(gt=0)
    shared: int = Field(gt=0)


class Column(_Declared):
    """`share` (profile to form) has no default: whoever adds a column decides what leaves the local authority.

    `other_codes` are those of other years, each with its years: whoever uses one may have chosen the wrong year. So may
    whoever has dates of an earlier year in a column that is `within_year`.
    """

    type: Literal["text", "date", "code", "integer"]
    mandatory: bool
    share: dict[str, Share]
    title: str = ""
    pattern: Literal["alphanumeric", "postcode", "free"] | None = None
    date_format: Literal["DD/MM/YYYY", "YYYY-MM-DD"] = "DD/MM/YYYY"
    codes: dict[str, str | list[str] | None] = Field(default_factory=dict)
    within_year: bool = False
    other_codes: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    minimum: int | None = Field(default=None, ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)
    maximum: int | None = Field(default=None, ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)
    identifier: bool = False
    entity: str | None = None
    reading: dict[str, Any] = Field(default_factory=dict)

    @field_validator("codes", mode="before")
    @classmethod
    def _codes_are_text(cls, codes: object) -> object:
        if not isinstance(codes, list | dict) or not all(isinstance(code, str) for code in codes):
            raise ValueError('put codes in quotation marks: without, YAML reads "NO" as false and "1" as a number')
        return dict.fromkeys(codes) if isinstance(codes, list) else codes

    @model_validator(mode="after")
    def _fits_its_type(self) -> Column:
        if (self.type == "text") != (self.pattern is not None):
            raise ValueError("a text column, and no other, has a `pattern`: alphanumeric, postcode or free")
        if (self.type == "code") != bool(self.codes):
            raise ValueError("a code column, and no other, has `codes`: a list, or a mapping of codes to their words")
        if self.type != "integer" and (self.minimum, self.maximum) != (None, None):
            raise ValueError("only an integer has a `minimum` and a `maximum`")
        if self.type != "date" and self.within_year:
            raise ValueError("only a date is `within_year`")
        if self.width is not None and self.width < 0:
            raise ValueError(f"no number fits: its `minimum` {self.minimum} is above its `maximum` {self.maximum}")
        return self

    @model_validator(mode="after")
    def _is_shared_in_a_form_that_protects(self) -> Column:
        allowed = self._forms()
        for profile, form in self.share.items():
            if form not in allowed:
                raise ValueError(
                    f"`share` for the profile {profile} is {form}, and this column may only be {' or '.join(allowed)}"
                )
        if ("pseudonym" in self.share.values()) != (self.entity is not None):
            raise ValueError("a column that is shared as a `pseudonym`, and no other, says whose: `entity: child`")
        return self

    def _forms(self) -> list[Share]:
        if self.identifier:
            return ["never", "pseudonym"] if self.pattern == "alphanumeric" else ["never"]
        if self.type == "date":
            return ["never", "unchanged", "month", "year"]
        if self.type == "code":
            return ["never", "unchanged"]
        if self.type == "integer":
            return ["never"] if self.width is None else ["never", "unchanged"]
        return ["never", "sector"] if self.pattern == "postcode" else ["never"]

    @property
    def width(self) -> int | None:
        """How far apart two numbers of the column may be; None where it has not both bounds."""
        return None if self.minimum is None or self.maximum is None else self.maximum - self.minimum

    def labels(self, code: str) -> list[str]:
        """Words that stand for the code in some exports, such as `Female` for `2`."""
        label = self.codes[code]
        if label is None:
            return []
        return [label] if isinstance(label, str) else label


class Table(_Declared):
    name: str
    title: str
    key: tuple[str, ...] = Field(min_length=1)
    columns: dict[str, Column] = Field(min_length=1)
    profiles: dict[str, Profile]
    reading: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_its_key(self) -> Table:
        if missing := [column for column in self.key if column not in self.columns]:
            raise ValueError(f"`key` names {', '.join(missing)}, which is not among its columns")
        return self

    @model_validator(mode="after")
    def _says_what_each_profile_gets(self) -> Table:
        for name, column in self.columns.items():
            if set(self.profiles) != set(column.share):
                raise ValueError(
                    f"column {name}: `share` names the profiles {', '.join(sorted(column.share)) or '(none)'}, and has "
                    f"to name every profile of the dataset and no other: {', '.join(sorted(self.profiles))}"
                )
        return self

    def shareable(self, profile: str) -> list[str]:
        """Columns of which something leaves the local authority under the profile; none under one that is not known."""
        return [name for name, column in self.columns.items() if column.share.get(profile, "never") != "never"]


_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "unique": ("table", "columns"),
    "refers": ("table", "columns", "to"),
    "no_overlap": ("table", "columns", "start", "end"),
    "order": ("table", "start", "end"),
    "row_count_change": (),
    "unknown_codes": (),
    "missing_mandatory": (),
    "another_year": (),
}
Kind = Literal[
    "unique",
    "refers",
    "no_overlap",
    "order",
    "row_count_change",
    "unknown_codes",
    "missing_mandatory",
    "another_year",
]


class Check(_Declared):
    """`threshold` is the share of rows (of cells, for codes and years) that may be at fault before the check fails; for
    the number of rows, by how much it may differ from the year before."""

    check: Kind
    title: str
    severity: Severity
    threshold: float = Field(default=0, ge=0)
    table: str | None = None
    columns: tuple[str, ...] = ()
    to: str | None = None
    start: str | None = None
    end: str | None = None

    @model_validator(mode="after")
    def _has_its_arguments(self) -> Check:
        wanted = _ARGUMENTS[self.check]
        given = {name for name in ("table", "columns", "to", "start", "end") if getattr(self, name)}
        if given != set(wanted):
            raise ValueError(f"a check of the kind {self.check} has {', '.join(wanted) or 'no table or columns'}")
        return self

    def columns_of(self, table: str) -> list[str]:
        """The columns of the table that the check looks at."""
        own = [name for name in (self.start, self.end) if name] if table == self.table else []
        return [*self.columns, *own]


class Dataset(_Declared):
    """The rules of one dataset in one year.

    `widest_shared_range`: how far apart the bounds of a number that is shared unchanged may be. A number that may be
    anything can carry an identifier, such as the ten digits of an NHS number; one among a million counts something.
    It limits what is shared, and never what a cell may hold.

    `year_ends`: month and day on which the year of a return ends; the year is called by that day.
    """

    name: str
    title: str
    description: str = ""
    year: int
    schema_version: int = Field(gt=0)
    format: Literal["csv", "xml"]
    widest_shared_range: int = Field(default=1_000_000, gt=0)
    year_ends: str = Field(default="12-31", pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$")
    profiles: dict[str, Profile] = Field(min_length=1)
    retention: Retention
    checks: dict[str, Check]
    tables: dict[str, Table]
    reading: dict[str, Any] = Field(default_factory=dict)

    @property
    def called(self) -> str | None:
        """What a person calls one of the records that rows are made of; None where a row is a row of the file."""
        return str(self.reading.get("called", "record")) if "record" in self.reading else None

    @model_validator(mode="after")
    def _checks_name_what_there_is(self) -> Dataset:
        for name, check in self.checks.items():
            for table in filter(None, (check.table, check.to)):
                if table not in self.tables:
                    raise ValueError(f"check {name}: there is no table {table}")
                columns = self.tables[table].columns
                if missing := [column for column in check.columns_of(table) if column not in columns]:
                    raise ValueError(f"check {name}: table {table} has no column {', '.join(missing)}")
        return self

    @model_validator(mode="after")
    def _numbers_that_leave_are_narrow(self) -> Dataset:
        for table in self.tables.values():
            for name, column in table.columns.items():
                if "unchanged" in column.share.values() and (column.width or 0) > self.widest_shared_range:
                    raise ValueError(
                        f"table {table.name}, column {name}: its `minimum` and `maximum` are {column.width} apart, "
                        f"and of a number that is shared unchanged they may be {self.widest_shared_range} apart. Share "
                        "it never, or declare a larger `widest_shared_range` if no number of it tells who somebody is"
                    )
        return self


class UnknownDatasetError(LookupError):
    pass


_OF_THE_DOCUMENT = {"dataset", "first_year", "last_year", "dates"}


def dataset_for_year(document: Mapping[str, Any], year: int, file: str = "the declaration") -> Dataset:
    """Apply every change declared up to `year`. A `changes` entry replaces the keys that it names."""
    first, last = _years(document, file)
    if not first <= year <= last:
        raise UnknownDatasetError(
            f"No rules for {document['dataset']} in {year}: there are rules for the years {first} to {last}."
        )
    try:
        return Dataset.model_validate(_for_year(document, year))
    except ValidationError as error:
        raise DeclarationError(file, described(error)) from None


def _years(document: Mapping[str, Any], file: str) -> tuple[int, int]:
    years = [document.get(name) for name in ("first_year", "last_year")]
    if not isinstance(document.get("dataset"), str) or not all(isinstance(year, int) for year in years):
        raise DeclarationError(file, ["It needs `dataset` (a name), `first_year` and `last_year` (such as 2026)."])
    return cast("tuple[int, int]", tuple(years))


def _for_year(document: Mapping[str, Any], year: int) -> dict[str, Any]:
    """The document as the model of a dataset wants it. What has another form is left for the model to refuse."""
    plain = {key: value for key, value in document.items() if key not in _OF_THE_DOCUMENT}
    all_tables = _mapping(document, "tables")
    tables = {
        name: _table_for_year(name, table, year, document) for name, table in all_tables.items() if _holds(table, year)
    }
    gone = set(all_tables) - set(tables)
    checks = {
        name: check
        for name, check in _mapping(document, "checks").items()
        if not isinstance(check, dict) or not {check.get("table"), check.get("to")} & gone
    }
    return {**plain, "name": document["dataset"], "year": year, "tables": tables, "checks": checks}


def _mapping(document: Mapping[Any, Any], key: str) -> dict[Any, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _holds(rules: object, year: int) -> bool:
    """Whether a table or column that says since or until when there is one is there in the year."""
    if not isinstance(rules, dict):
        return True
    first: int = rules.get("first_year", year)
    last: int = rules.get("last_year", year)
    return first <= year <= last


def _table_for_year(name: str, table: object, year: int, document: Mapping[str, Any]) -> object:
    if not isinstance(table, dict):
        return table
    plain = {key: value for key, value in table.items() if key not in {"first_year", "last_year"}}
    columns = {
        column: _column_for_year(rules, year, document)
        for column, rules in _mapping(table, "columns").items()
        if _holds(rules, year)
    }
    return {**plain, "name": name, "columns": columns, "profiles": document.get("profiles")}


def _column_for_year(rules: object, year: int, document: Mapping[str, Any]) -> object:
    if not isinstance(rules, dict):
        return rules
    merged = {key: value for key, value in rules.items() if key not in {"changes", "first_year", "last_year"}}
    if merged.get("type") == "date":
        merged.setdefault("date_format", document.get("dates", "DD/MM/YYYY"))
    changes = _mapping(rules, "changes")
    if not all(isinstance(since, int) and isinstance(change, dict) for since, change in changes.items()):
        return {**merged, "changes": changes}
    for since, change in sorted(changes.items()):
        if since <= year:
            merged.update(change)
    codes = _codes_by_year(rules, changes, range(document["first_year"], document["last_year"] + 1))
    if year in codes:
        others = frozenset[str]().union(*codes.values()) - codes[year]
        merged["other_codes"] = {code: [other for other in codes if code in codes[other]] for code in others}
    if isinstance(share := merged.get("share"), str):
        merged["share"] = dict.fromkeys(_mapping(document, "profiles"), share)
    return merged


def _codes_by_year(rules: Mapping[str, Any], changes: Mapping[int, Any], years: range) -> dict[int, frozenset[str]]:
    """The codes of a column that has others in other years, by year; of any other column nothing."""
    versions = [(years[0], rules), *sorted(changes.items())]
    listed = [(since, version.get("codes")) for since, version in versions]
    codes = {since: frozenset(found) for since, found in listed if isinstance(found, list | dict)}
    if len(codes) < 2:
        return {}
    known = [year for year in years if _holds(rules, year) and year >= min(codes)]
    return {year: codes[max(since for since in codes if since <= year)] for year in known}


DATASETS = resources.files("localgov_pipeline") / "datasets"
# Written in C where there is one, for a pure Python reader takes a quarter of a second for a long declaration.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def document_of(text: str, file: str) -> dict[str, Any]:
    try:
        document = yaml.load(text, _LOADER)  # noqa: S506  # a safe loader, both of them
    except yaml.YAMLError as error:
        raise DeclarationError(file, [f"It is not YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(document, dict):
        raise DeclarationError(file, ["It has to be a mapping that begins with `dataset:`."])
    return document


def every_year(document: Mapping[str, Any], file: str = "the declaration") -> Iterator[Dataset]:
    """The rules of each year that is declared: whoever goes through them has checked the whole declaration."""
    first, last = _years(document, file)
    for year in range(first, last + 1):
        yield dataset_for_year(document, year, file)


def declared_datasets() -> list[str]:
    return sorted(file.name.removesuffix(".yaml") for file in DATASETS.iterdir() if file.name.endswith(".yaml"))


@cache
def _document(dataset: str) -> dict[str, Any]:
    file = DATASETS / f"{dataset}.yaml"
    if not dataset.replace("_", "").isalnum() or not file.is_file():
        raise UnknownDatasetError(f"No rules for the dataset {dataset}.")
    return document_of(file.read_text(encoding="utf-8"), f"datasets/{dataset}.yaml")


def declared_years(dataset: str) -> range:
    first, last = _years(_document(dataset), f"datasets/{dataset}.yaml")
    return range(first, last + 1)


@cache
def declared(dataset: str, year: int) -> Dataset:
    return dataset_for_year(_document(dataset), year, f"datasets/{dataset}.yaml")


def retention_of(dataset: str, year: int) -> Retention:
    """Of what is not declared nobody has said why it would be kept: the shortest times that are declared at all."""
    try:
        return declared(dataset, year).retention
    except UnknownDatasetError:
        every = [declared(name, declared_years(name)[-1]).retention for name in declared_datasets()]
        return Retention(**{kind: min(getattr(found, kind) for found in every) for kind in Retention.model_fields})
