# SPDX-License-Identifier: GPL-3.0-or-later
"""The same rules as somebody would write them in pandas: whole columns at a time, nothing clever, all in memory."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pandas as pd
from localgov_pipeline.lib.declarations import Column, Dataset, Table
from localgov_pipeline.lib.rules import POSTCODE

KEY = b"a key that is used by benchmarks, and by nobody else"


def clean(path: Path, table: Table, folder: Path) -> Any:  # noqa: ANN401
    """Write `rows.csv` and `errors.csv`; give the rows that are kept."""
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    raw.index += 2
    raw = raw.apply(lambda cells: cells.str.strip()).replace("", None)
    values = pd.DataFrame({name: _clean(raw[name], column) for name, column in table.columns.items()})
    errors = [
        pd.DataFrame({"row": raw.index[faulty], "column": name, "rule": rule})
        for name, column in table.columns.items()
        for rule, faulty in _faults(raw[name], values[name], column).items()
    ]
    kept = values.dropna(subset=list(table.key))
    kept.to_csv(folder / "rows.csv", index=False, date_format="%d/%m/%Y")
    pd.concat(errors).sort_values("row", kind="stable").to_csv(folder / "errors.csv", index=False)
    return kept


def share(kept: Any, table: Table, folder: Path, profile: str) -> None:  # noqa: ANN401
    """Write `shared.csv`."""
    shared = {name: _degraded(kept[name], table.columns[name], profile) for name in table.shareable(profile)}
    pd.DataFrame(shared).to_csv(folder / "shared.csv", index=False)


def _faults(raw: Any, values: Any, column: Column) -> dict[str, Any]:  # noqa: ANN401
    broken = values.isna() & raw.notna()
    blank = raw.isna()
    return {"mandatory": blank, column.type: broken} if column.mandatory else {column.type: broken}


def _clean(cells: Any, column: Column) -> Any:  # noqa: ANN401
    if column.type == "date":
        right = cells.str.fullmatch(r"[0-9]{2}/[0-9]{2}/(19|20)[0-9]{2}", na=False)
        return pd.to_datetime(cells.where(right), format="%d/%m/%Y", errors="coerce")
    if column.type == "code":
        words = {label.upper(): code for code in column.codes for label in column.labels(code)}
        codes = {code.upper(): code for code in column.codes}
        return cells.str.upper().str.replace(r"^([0-9]+)\.0+$", r"\1", regex=True).map({**words, **codes})
    if column.type == "integer":
        numbers = pd.to_numeric(cells.str.extract(r"^(-?[0-9]{1,9})(?:\.0+)?$")[0])
        return numbers.where(numbers.between(column.minimum, column.maximum)).astype("Int64")
    if column.pattern == "postcode":
        compact = cells.str.upper().str.replace(r"\s+", "", regex=True)
        spaced = compact.str[:-3] + " " + compact.str[-3:]
        return spaced.where(spaced.str.match(POSTCODE, na=False))
    return cells.where(cells.str.fullmatch("[A-Za-z0-9]+", na=False))


def _degraded(values: Any, column: Column, profile: str) -> Any:  # noqa: ANN401
    form = column.share[profile]
    if form == "pseudonym":
        start = f"{column.entity}\0"
        return values.map(lambda value: hmac.new(KEY, (start + value).encode(), hashlib.sha256).hexdigest()[:32])
    if form == "month":
        return values.dt.strftime("%Y-%m")
    return values.str[:-2] if form == "sector" else values


def check(folders: dict[str, Path], dataset: Dataset) -> dict[str, int]:
    """The checks of SSDA903 between rows and tables, on what was written."""
    dates = {"parse_dates": ["DECOM", "DEC"], "date_format": "%d/%m/%Y"}
    header = pd.read_csv(folders["header"] / "rows.csv", dtype=str)
    episodes = pd.read_csv(folders["episodes"] / "rows.csv", dtype=str, **dates)  # type: ignore[call-overload]
    ordered = episodes.sort_values(["CHILD", "DECOM"], kind="stable")
    ends = ordered["DEC"].fillna(pd.Timestamp.max)
    child = ordered["CHILD"]
    latest = ends.groupby(child).cummax().groupby(child).shift()
    return {
        "unique": int(header["CHILD"].duplicated().sum()),
        "refers": int((~episodes["CHILD"].isin(header["CHILD"])).sum()),
        "order": int((episodes["DEC"] < episodes["DECOM"]).sum()),
        "no_overlap": int((latest > ordered["DECOM"]).sum()),
    }
