# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes of a text file to UTF-8 with one kind of line end, or a refusal.

Windows-1252, in which Excel saves the plain type 'CSV', is read where it is beyond doubt: when every character outside
ASCII is a letter, a currency sign or a mark that people type. It is said in a notice. Nothing but free text can depend
on it: codes, dates and identifiers are ASCII.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from localgov_pipeline.lib.findings import FileRefusedError, Finding, refusal
from localgov_pipeline.lib.reading.shapes import SAVE_AS_CSV

MAX_BYTES = 2 << 30
MAX_LINE = 1 << 20
_CHUNK = 1 << 20
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")
# As bytes of Windows-1252: euro, ellipsis, quotation marks, dashes, no-break space, pound, degree, half, and letters.
_CERTAIN_IN_1252 = bytes([*range(128), 0x80, 0x85, *range(0x91, 0x95), 0x96, 0x97, 0xA0, 0xA3, 0xB0, 0xBD]) + bytes(
    byte for byte in range(0xC0, 0x100) if byte not in (0xD7, 0xF7)
)
_LIKE_UTF_8 = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")


class PlainText(NamedTuple):
    """`path` is of UTF-8 with `\\n` for a line end; the notices say what was taken for granted."""

    path: Path
    notices: list[Finding]


def plain_text(source: Path, target: Path) -> PlainText:
    """The source itself where it is as wanted already, else the target, to which it was written."""
    size = source.stat().st_size
    if size > MAX_BYTES:
        reason = f"The file has more than {MAX_BYTES >> 30} GB. Split it, with the header in each part."
        raise refusal("size", reason)
    if _is_plain(source):
        return PlainText(source, [])
    return PlainText(target, _rewrite(source, target))


def _is_plain(source: Path) -> bool:
    """ASCII with some text in it, `\\n` for a line end and no line that is too long. Whatever is not may still be
    right, or is refused when it is rewritten."""
    open_line, blank = 0, True
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK):
            first = chunk.find(b"\n")
            longest = open_line + (first if first >= 0 else len(chunk))
            if longest > MAX_LINE or not chunk.isascii() or b"\r" in chunk or b"\0" in chunk:
                return False
            open_line = len(chunk) - chunk.rfind(b"\n") - 1 if first >= 0 else longest
            blank = blank and not chunk.strip()
    return not blank


def _rewrite(source: Path, target: Path) -> list[Finding]:
    with source.open("rb") as file:
        marked = file.read(2) in _BYTE_ORDER_MARKS
    encoding = "utf-16" if marked else "utf-8-sig"
    try:
        _rewrite_as(encoding, source, target)
    except _UndecodableError as undecodable:
        if marked or not _is_certainly_1252(source):
            raise FileRefusedError([_not_utf_8(undecodable.line)]) from None
        _rewrite_as("cp1252", source, target)
        reason = (
            "The file is not UTF-8: from this line on it was read as Windows-1252, which fits. Check its accents. "
            f"{SAVE_AS_CSV}"
        )
        return [Finding(undecodable.line, None, "encoding", reason)]
    return []


class _UndecodableError(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _not_utf_8(line: int) -> Finding:
    reason = f"The file is not UTF-8: the first character that cannot be read is in this line. {SAVE_AS_CSV}"
    return Finding(line, None, "encoding", reason)


def _rewrite_as(encoding: str, source: Path, target: Path) -> None:
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=True)
    lines, open_line, blank = 0, 0, True
    with source.open("rb") as file, target.open("wb") as output:
        for chunk in _chunks(file):
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                raise _UndecodableError(lines + _line_ends(error.object[: error.start]) + 1) from None
            if "\0" in text:
                raise refusal("encoding", f"The file is not UTF-8 text (it may be UTF-16, or damaged). {SAVE_AS_CSV}")
            open_line = _refuse_long_line(text, lines, open_line)
            lines += text.count("\n")
            blank = blank and not text.strip()
            output.write(text.encode())
    if blank:
        raise refusal("empty", "The file is empty. Export it again and check that it opens with rows in it.")


def _line_ends(content: bytes) -> int:
    return max(content.count(b"\n"), content.count(b"\r"))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """The content in pieces, and an empty one at last: it flushes the decoder."""
    while chunk := file.read(_CHUNK):
        yield chunk
    yield b""


def _refuse_long_line(text: str, lines: int, open_line: int) -> int:
    """How long the last, unfinished line has become. Lines within one chunk cannot be too long."""
    first, last = text.find("\n"), text.rfind("\n")
    if open_line + (first if first >= 0 else len(text)) > MAX_LINE:
        reason = (
            f"This line has more than {MAX_LINE:,} characters. Check how the file was exported: its line ends are lost."
        )
        raise FileRefusedError([Finding(lines + 1, None, "line", reason)])
    return len(text) - last - 1 if last >= 0 else open_line + len(text)


def _is_certainly_1252(source: Path) -> bool:
    before = b""
    with source.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if chunk.translate(None, delete=_CERTAIN_IN_1252) or _LIKE_UTF_8.search(before + chunk):
                return False
            before = chunk[-2:]
    return True
