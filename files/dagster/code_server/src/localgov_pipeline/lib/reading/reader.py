# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader that fits the file."""

from __future__ import annotations

from pathlib import Path

from localgov_pipeline.lib.declarations import Dataset
from localgov_pipeline.lib.findings import refusal
from localgov_pipeline.lib.reading.delimited import read_delimited
from localgov_pipeline.lib.reading.kinds import Kind, kind_of
from localgov_pipeline.lib.reading.plain_text import plain_text
from localgov_pipeline.lib.reading.shapes import SAVE_AS_CSV, ParsedTable, Sheet


def read(path: Path, dataset: Dataset, folder: Path) -> list[ParsedTable]:
    """The tables that the file holds, at least one; `folder` is empty, and kept as long as their rows are used.

    Raises FileRefusedError when the file cannot be trusted as a whole.
    """
    kind = kind_of(path)
    if dataset.format == "xml":
        return _read_xml(kind, path, dataset, folder)
    if kind == "workbook":
        from localgov_pipeline.lib.reading.workbook import read_workbook

        return read_workbook(path, dataset, folder)
    if kind == "xml":
        reason = f"This is an XML file. {dataset.title} is read from CSV files and workbooks. {SAVE_AS_CSV}"
        raise refusal("format", reason)
    return _read_text(path, dataset, folder)


def _read_xml(kind: Kind, path: Path, dataset: Dataset, folder: Path) -> list[ParsedTable]:
    if kind != "xml":
        raise refusal("format", f"This is not an XML file. {dataset.title}: upload the XML file of the return.")
    from localgov_pipeline.lib.reading.nested import read_nested

    return read_nested(path, dataset, folder)


def _read_text(path: Path, dataset: Dataset, folder: Path) -> list[ParsedTable]:
    text = plain_text(path, folder / "text.csv")
    table = read_delimited(Sheet(text.path), dataset, folder)
    return [table._replace(notices=(*text.notices, *table.notices))]
