# SPDX-License-Identifier: GPL-3.0-or-later
"""Invented returns of any size: episodes and their headers, about one cell in a hundred wrong; a census of children."""

from __future__ import annotations

from pathlib import Path

import polars as pl

YEAR = 2026
HEADERS_PER_EPISODE = 0.552
_EPISODE_DAYS = 120
_CODES: dict[str, list[str | None]] = {
    "RNE": ["S", "L", "P", "T", "B", "U"],
    "LS": ["C1", "C2", "D1", "E1", "V2", "V3", "V4", "L1"],
    "CIN": [f"N{number}" for number in range(1, 9)],
    "PLACE": ["A3", "A4", "K1", "P1", "R1", "T0", "U1", "U2", "U3", "U4", "U5", "Z11"],
    "PLACE_PROVIDER": ["PR0", "PR1", "PR2", "PR3", "PR4", "PR5", None],
    "REC": ["X1", "X1", "X1", "E11", "E4A", "E45", None],
    "REASON_PLACE_CHANGE": ["CARPL", "PLACE", "OTHER", None, None, None],
    "SEX": ["M", "F"],
    "ETHNIC": ["WBRI", "WBRI", "WBRI", "MWBC", "AIND", "BAFR", "NOBT"],
    "MOTHER": [None, None, None, "0", "1"],
}


def write_ssda903(folder: Path, episodes: int, *, wrong: bool = False) -> tuple[Path, Path]:
    """(episodes.csv, header.csv) of as many episodes and 55 % as many children. `wrong`: every cell breaks its rule but
    for the children's numbers and the blank ones."""
    tables = {"episodes": _episodes(episodes), "header": _header(episodes)}
    if wrong:
        tables = {name: rows.with_columns(pl.exclude("CHILD") + "?") for name, rows in tables.items()}
    written = [_written(folder / f"{name}.csv", rows) for name, rows in tables.items()]
    return written[0], written[1]


def _written(path: Path, rows: pl.LazyFrame) -> Path:
    rows.sink_csv(path)
    return path


def _number(below: int, seed: int) -> pl.Expr:
    return pl.col("n").hash(seed) % below


def _code(column: str, seed: int) -> pl.Expr:
    codes = _CODES[column]
    return _number(len(codes), seed).replace_strict(range(len(codes)), codes, return_dtype=pl.String).alias(column)


def _day(days: pl.Expr) -> pl.Expr:
    return (pl.date(2008, 1, 1) + pl.duration(days=days)).dt.strftime("%d/%m/%Y")


def _now_and_then(seed: int, otherwise: str | None, usual: pl.Expr) -> pl.Expr:
    return pl.when(_number(100, seed) == 0).then(pl.lit(otherwise)).otherwise(usual)


def _child(number: pl.Expr) -> pl.Expr:
    return pl.lit("C") + number.cast(pl.String).str.zfill(8)


def _postcode(seed: int) -> pl.Expr:
    areas = ["LS", "B", "M", "SW", "CR", "N"]
    area = _number(len(areas), seed).replace_strict(range(len(areas)), areas, return_dtype=pl.String)
    letters = _number(8, seed + 1).replace_strict(range(8), [*"ABDEFGHJ"], return_dtype=pl.String)
    numbers = _number(9, seed + 2).cast(pl.String)
    return _now_and_then(
        seed + 3, "none", area + (_number(29, seed + 4) + 1).cast(pl.String) + " " + numbers + letters + "A"
    )


def _episodes(count: int) -> pl.LazyFrame:
    rows = pl.LazyFrame({"n": pl.int_range(count, eager=True)})
    child = (pl.col("n") * HEADERS_PER_EPISODE).floor().cast(pl.Int64)
    begins = (pl.col("n") % 32) * _EPISODE_DAYS
    return rows.select(
        CHILD=_child(child),
        DECOM=_now_and_then(1, "2015-04-01", _day(begins)),
        RNE=_code("RNE", 2),
        LS=_code("LS", 3),
        CIN=_code("CIN", 4),
        PLACE=_now_and_then(13, "K2", _code("PLACE", 5)),
        PLACE_PROVIDER=_now_and_then(14, "pr5", _code("PLACE_PROVIDER", 6)),
        DEC=_now_and_then(7, None, _day(begins + _number(_EPISODE_DAYS, 8))),
        REC=_code("REC", 9),
        REASON_PLACE_CHANGE=_code("REASON_PLACE_CHANGE", 10),
        HOME_POST=_postcode(20),
        PL_POST=_postcode(30),
        URN=_now_and_then(11, "SC 1", pl.lit("SC") + _number(900_000, 12).cast(pl.String)),
    )


def _header(episodes: int) -> pl.LazyFrame:
    rows = pl.LazyFrame({"n": pl.int_range(int(episodes * HEADERS_PER_EPISODE), eager=True)})
    return rows.select(
        CHILD=_child(pl.col("n")),
        SEX=_now_and_then(11, "Female", _code("SEX", 1)),
        DOB=_now_and_then(2, "31/02/2012", _day(_number(5000, 3))),
        ETHNIC=_now_and_then(12, "white british", _code("ETHNIC", 4)),
        UPN=_now_and_then(5, "not known", pl.lit("U") + _number(10**12, 6).cast(pl.String)),
        MOTHER=_now_and_then(13, "1.0", _code("MOTHER", 7)),
        MC_DOB=pl.when(_number(50, 8) == 0).then(_day(_number(5000, 9))),
    )


def write_cin(folder: Path, sample: Path, children: int) -> Path:
    """A census of as many children: those of the sample, again and again, with numbers of their own."""
    before, opening, rest = sample.read_text(encoding="utf-8").partition("<Child>")
    inside, closing, after = rest.rpartition("</Child>")
    pattern = [f"{opening}{child}" for child in f"{inside}{closing}".split(opening)]
    path = folder / "cin.xml"
    with path.open("w", encoding="utf-8") as file:
        file.write(before)
        for number in range(children):
            file.write(pattern[number % len(pattern)].replace("TEST", f"TEST{number}X"))
        file.write(after)
    return path
