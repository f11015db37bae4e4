# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is, by its first bytes. Its name is never asked: people rename files to get them past a form."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from localgov_pipeline.lib.findings import refusal
from localgov_pipeline.lib.reading.shapes import SAVE_AS_CSV

Kind = Literal["text", "workbook", "xml"]

_HEAD = 4096
_CHUNK = 1 << 20
_EMPTY = "The file is empty. Export it again and check that it opens with rows in it."
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_NOT_DATA = {
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a compressed (gzip) file",
    b"7z\xbc\xaf": "a compressed (7-Zip) file",
    b"Rar!": "a compressed (RAR) file",
    b"{\\rtf": "a text document (RTF)",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"SQLite format 3": "a database",
    b"PAR1": "a parquet file",
}


def kind_of(path: Path) -> Kind:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        raise refusal("empty", _EMPTY)
    if head.startswith(b"PK"):
        return "workbook"
    if head.startswith(_OLD_OFFICE):
        raise refusal("format", _about_old_office(path))
    for signature, name in _NOT_DATA.items():
        if head.startswith(signature):
            raise refusal("format", f"This is {name}, not a file of data. Export the data again. {SAVE_AS_CSV}")
    return _text_kind(head)


def _text_kind(head: bytes) -> Kind:
    start = _decoded_start(head)
    if not start.startswith("<"):
        return "text"
    if start.startswith(("<html", "<!doctype html", "<table", "<div", "<style", "<meta")) or "<html" in start:
        reason = "This is a web page, which some systems call an Excel file. Open it in Excel and save it again."
        raise refusal("format", f"{reason} {SAVE_AS_CSV}")
    if "urn:schemas-microsoft-com:office:spreadsheet" in start:
        raise refusal(
            "format", f"This is a spreadsheet saved as XML. Open it in Excel and save it again. {SAVE_AS_CSV}"
        )
    return "xml"


def _decoded_start(head: bytes) -> str:
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return head.decode(encoding, errors="ignore").lstrip().lower()


def _about_old_office(path: Path) -> str:
    """Old workbooks and workbooks with a password are the same kind of container."""
    before = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if _ENCRYPTED in before + chunk:
                return "This workbook is protected by a password. Take the password off (File, Info) and save it again."
            before = chunk[-len(_ENCRYPTED) :]
    return "This is a workbook of an old kind (.xls). In Excel choose File, Save As, the type 'Excel Workbook (.xlsx)'."
