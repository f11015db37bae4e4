# SPDX-License-Identifier: GPL-3.0-or-later
"""A compressed archive, before anything opens it: is it a workbook, and how large does it really unfold?

What an archive declares of its sizes may be a lie, so each member is unfolded once, in pieces that are counted and
thrown away.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from localgov_pipeline.lib.findings import FileRefusedError, refusal
from localgov_pipeline.lib.reading.shapes import SAVE_AS_CSV

MAX_BYTES = 256 << 20
MAX_UNFOLDED = 1 << 30
MAX_RATIO = 100
# A few repeated rows are compressed well and harm nobody.
_RATIO_COUNTS_FROM = 32 << 20
_MAX_MEMBERS = 10_000
_CHUNK = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENCRYPTED = 0x1


def refuse_unless_workbook(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        reason = f"The workbook has more than {MAX_BYTES >> 20} MB. Save each sheet as CSV. {SAVE_AS_CSV}"
        raise refusal("size", reason)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, struct.error, OSError):
        raise _damaged() from None
    _refuse_other_archives({member.filename for member in members})
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNFOLDED:
        raise _bomb()
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise refusal("format", "This archive is protected by a password. Save the workbook without one.")
    _refuse_bomb(path, members)


def _refuse_other_archives(names: set[str]) -> None:
    if "xl/workbook.xml" in names:
        return
    if "xl/workbook.bin" in names:
        what = "This is a binary workbook (.xlsb)."
    elif "word/document.xml" in names or "ppt/presentation.xml" in names:
        what = "This is a document, not a workbook."
    elif "content.xml" in names:
        what = "This is an OpenDocument file (.ods)."
    else:
        what = "This is a compressed folder (.zip). Take the files out and upload each."
    raise refusal("format", f"{what} Save the table as 'Excel Workbook (.xlsx)' or as CSV. {SAVE_AS_CSV}")


def _refuse_bomb(path: Path, members: list[zipfile.ZipInfo]) -> None:
    total = 0
    with path.open("rb") as file:
        for member in members:
            total += _unfolded_size(file, member, MAX_UNFOLDED - total)
            if total > MAX_UNFOLDED or (total > _RATIO_COUNTS_FROM and total > MAX_RATIO * path.stat().st_size):
                raise _bomb()


def _unfolded_size(file: BinaryIO, member: zipfile.ZipInfo, at_most: int) -> int:
    """Stops soon after `at_most`. Raises when it is not what the archive declares."""
    if member.header_offset < 0:
        raise _damaged()
    file.seek(member.header_offset)
    header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size:
        raise _damaged()
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _damaged()
    file.seek(name_length + extra_length, 1)
    size = member.compress_size if member.compress_type == zipfile.ZIP_STORED else _inflated(file, member, at_most)
    if size != member.file_size and size <= at_most:
        raise _damaged()
    return size


def _inflated(file: BinaryIO, member: zipfile.ZipInfo, at_most: int) -> int:
    inflating, size, left = zlib.decompressobj(-zlib.MAX_WBITS), 0, member.compress_size
    waiting = b""
    try:
        while size <= at_most and not inflating.eof:
            if not waiting:
                waiting = file.read(min(_CHUNK, left))
                left -= len(waiting)
                if not waiting:
                    break
            size += len(inflating.decompress(waiting, _CHUNK))
            waiting = inflating.unconsumed_tail
    except zlib.error:
        raise _damaged() from None
    return size


def _damaged() -> FileRefusedError:
    reason = "The workbook is damaged or was not sent as a whole. Open it in Excel, save it again, and upload that."
    return refusal("workbook", reason)


def _bomb() -> FileRefusedError:
    reason = "The workbook unfolds to far more than a return holds, so it was not opened. Save the table as CSV."
    return refusal("workbook", f"{reason} {SAVE_AS_CSV}")
