# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that are no workbook, or are made to harm whoever opens them, for the library of ugly files."""

from __future__ import annotations

import io
import struct
import zipfile

import workbooks

_WORKBOOK = "xl/workbook.xml"


def archive(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content.getvalue()


def bomb() -> bytes:
    """Forty kilobytes that unfold to forty megabytes."""
    return archive({_WORKBOOK: b"<x/>", "xl/worksheets/sheet1.xml": bytes(40 << 20)})


def lying_bomb() -> bytes:
    """The same, declared as one kilobyte in both places in which an archive declares sizes."""
    content = bytearray(bomb())
    declared = struct.pack("<L", 40 << 20)
    while (at := content.find(declared)) >= 0:
        content[at : at + 4] = struct.pack("<L", 1 << 10)
    return bytes(content)


def many_members() -> bytes:
    return archive({_WORKBOOK: b"<x/>", **{f"xl/{number}.xml": b"" for number in range(10_001)}})


def damaged_workbook() -> bytes:
    """A whole archive, in which the workbook itself is nonsense."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbooks.plain())) as good, zipfile.ZipFile(content, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, b"<nonsense" if name == _WORKBOOK else good.read(name))
    return content.getvalue()
