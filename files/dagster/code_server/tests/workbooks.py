# SPDX-License-Identifier: GPL-3.0-or-later
"""Workbooks as people make them, for the library of ugly files."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime

import xlsxwriter
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

COLUMNS = ["CHILD", "SEX", "DOB", "ETHNIC", "UPN", "MOTHER", "MC_DOB"]
EPISODE = {
    "CHILD": "TEST0001", "DECOM": "01/04/2025", "RNE": "S", "LS": "C2", "CIN": "N1", "PLACE": "U1",
    "PLACE_PROVIDER": "PR1", "DEC": "", "REC": "", "REASON_PLACE_CHANGE": "", "HOME_POST": "SW1A 2AA",
    "PL_POST": "M1 1AE", "URN": "SC123456",
}  # fmt: skip


def made(fill: Callable[[Workbook], object], **options: object) -> bytes:
    content = io.BytesIO()
    with xlsxwriter.Workbook(content, {"in_memory": True, **options}) as workbook:
        fill(workbook)
    return content.getvalue()


def header_sheet(workbook: Workbook, top: int = 0, left: int = 0) -> Worksheet:
    """Two children, with dates and numbers as Excel keeps them."""
    sheet = workbook.add_worksheet()
    date = workbook.add_format({"num_format": "dd/mm/yyyy"})
    sheet.write_row(top, left, COLUMNS)
    for number in (1, 2):
        sheet.write_row(top + number, left, [f"TEST000{number}", "M"])
        sheet.write_datetime(top + number, left + 2, datetime(2012, 3, number), date)
        sheet.write_row(top + number, left + 3, ["WBRI", f"TESTUPN000{number}", 1.0])
    return sheet


def notes(workbook: Workbook) -> Worksheet:
    sheet = workbook.add_worksheet()
    sheet.write_row(0, 0, ["Seen by", "Hernandez"])
    return sheet


def plain(**options: object) -> bytes:
    return made(header_sheet, **options)


def apart() -> bytes:
    return made(lambda workbook: header_sheet(workbook, top=3, left=2))


def merged() -> bytes:
    def fill(workbook: Workbook) -> None:
        sheet = header_sheet(workbook)
        sheet.merge_range(1, 1, 2, 1, "M")

    return made(fill)


def titled() -> bytes:
    def fill(workbook: Workbook) -> None:
        header_sheet(workbook, top=2).merge_range(0, 0, 1, 6, "Hernandez, March")

    return made(fill)


def with_hidden_sheet() -> bytes:
    return made(lambda workbook: (header_sheet(workbook), notes(workbook).hide()))


def with_notes() -> bytes:
    return made(lambda workbook: (header_sheet(workbook), notes(workbook)))


def with_empty_sheet() -> bytes:
    return made(lambda workbook: (header_sheet(workbook), workbook.add_worksheet()))


def two_tables() -> bytes:
    def fill(workbook: Workbook) -> None:
        header_sheet(workbook)
        sheet = workbook.add_worksheet()
        sheet.write_row(0, 0, EPISODE)
        sheet.write_row(1, 0, EPISODE.values())

    return made(fill)


def with_error() -> bytes:
    return made(lambda workbook: header_sheet(workbook).write_formula(2, 6, "=1/0", value="#DIV/0!"))


def with_time() -> bytes:
    def fill(workbook: Workbook) -> None:
        moment = workbook.add_format({"num_format": "dd/mm/yyyy hh:mm"})
        header_sheet(workbook).write_datetime(2, 2, datetime(2012, 3, 2, 14, 30), moment)

    return made(fill)


def with_totals() -> bytes:
    return made(lambda workbook: header_sheet(workbook).write_row(3, 0, ["Total", 2]))


def same_table_twice() -> bytes:
    return made(lambda workbook: (header_sheet(workbook), header_sheet(workbook)))


def only_hidden() -> bytes:
    def fill(workbook: Workbook) -> None:
        hidden, shown = header_sheet(workbook), notes(workbook)
        shown.activate()
        hidden.hide()

    return made(fill)


def only_notes() -> bytes:
    return made(notes)


def without_column() -> bytes:
    return made(lambda workbook: header_sheet(workbook).write(0, 3, "NOTES"))


def stray_cell() -> bytes:
    return made(lambda workbook: header_sheet(workbook).write(1_048_575, 16_383, "x"))
