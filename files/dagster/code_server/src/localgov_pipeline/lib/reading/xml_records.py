# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of an XML file, such as the children of a census, one after another, whatever the size of the file.

A file may be made to harm whoever reads it. Document types are refused, and with them every entity that could unfold or
fetch something; whatever is far larger than in any return is refused as soon as it is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from localgov_pipeline.lib.findings import FileRefusedError, Finding, refusal

# Text, or by name the elements that stand in an element.
Element = str | dict[str, list["Element"]]

_CHUNK = 1 << 18
_MAX_DEPTH = 30
_MAX_TEXT = 1 << 16
_MAX_TOKEN = 1 << 22
_MAX_ELEMENTS = 100_000
_MAX_NAMES = 10_000


class Expected(NamedTuple):
    """What the file has to say of itself, at a path of elements, for it to be the one that was meant."""

    path: tuple[str, ...]
    value: str
    rule: str


class Layout(NamedTuple):
    """`record`: the path of the elements that are records; `called`: what a person calls one."""

    record: tuple[str, ...]
    called: str
    expected: Sequence[Expected]


def records(path: Path, layout: Layout) -> Iterator[Element]:
    """Raises FileRefusedError in the midst of it when the file turns out to be damaged or another."""
    reading = _Reading(layout)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    parser.StartDoctypeDeclHandler = _refuse_document_type
    fed = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            try:
                parser.Parse(chunk, not chunk)
            except expat.ExpatError as error:
                raise FileRefusedError([_damage(error, chunk, path, parser, reading)], reading.count) from None
            fed += len(chunk)
            if chunk and fed - parser.CurrentByteIndex > _MAX_TOKEN:
                raise reading.too_large("a name, comment or attribute")
            yield from reading.taken()
            if not chunk:
                break
    if not reading.count:
        raise refusal("rows", f"The file has no {layout.called}. Export it again with its rows.")


def _refuse_document_type(*_: object) -> None:
    reason = (
        "The file declares a document type (DOCTYPE), which could hold anything. A return has none. Export it again."
    )
    raise refusal("xml", reason)


class _Reading:
    """What the parser is in the middle of."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.expected: Mapping[tuple[str, ...], Expected] = {expected.path: expected for expected in layout.expected}
        self.depth = len(layout.record)
        self.path: list[str] = []
        self.open: list[dict[str, list[Element]]] = []
        self.pieces: list[str] = []
        self.length = 0
        self.elements = 0
        self.count = 0
        self.ready: list[Element] = []
        self.names: dict[str, str] = {}

    def taken(self) -> list[Element]:
        ready, self.ready = self.ready, []
        return ready

    def start(self, name: str, _: object) -> None:
        path = self.path
        path.append(self.names.get(name) or self.known(name))
        self.pieces, self.length = [], 0
        if self.open or (len(path) == self.depth and tuple(path) == self.layout.record):
            self.open.append({})
            self.elements += 1
            if self.elements > _MAX_ELEMENTS:
                raise self.too_large(f"one {self.layout.called}")
        elif len(path) == 1 and path[0] != self.layout.record[0]:
            raise refusal("format", "This XML file is not this return. Check that it is the right file.")
        if len(path) > _MAX_DEPTH:
            raise self.too_large("the depth of its elements")

    def end(self, _: str) -> None:
        name = self.path.pop()
        if self.open:
            own = self.open.pop()
            value: Element = own or "".join(self.pieces).strip()
            if self.open:
                self.open[-1].setdefault(name, []).append(value)
            else:
                self.ready.append(own)
                self.count += 1
                self.elements = 0
        elif self.expected:
            self.compare((*self.path, name))
        self.pieces, self.length = [], 0

    def text(self, data: str) -> None:
        self.length += len(data)
        if self.length > _MAX_TEXT:
            raise self.too_large("the text of one element")
        self.pieces.append(data)

    def known(self, name: str) -> str:
        """Names without the prefix of their namespace; upper and lower case are the same."""
        if len(self.names) > _MAX_NAMES:
            raise self.too_large("the number of different names")
        return self.names.setdefault(name, name.rpartition(":")[2].lower())

    def compare(self, path: tuple[str, ...]) -> None:
        expected = self.expected.get(path)
        found = "".join(self.pieces).strip()
        if expected is not None and found and found.upper() != expected.value.upper():
            reason = (
                f"In its header the file says that it is of another {expected.rule} than {expected.value}, for which "
                "it was uploaded. Upload it for the right one, or the right file."
            )
            raise refusal(expected.rule, reason)

    def too_large(self, what: str) -> FileRefusedError:
        reason = f"The file was read no further than here: {what} is far larger than in any return. Export it again."
        return FileRefusedError([Finding(self.count + 1, None, "xml", reason)], self.count)


def _damage(
    error: expat.ExpatError, chunk: bytes, path: Path, parser: expat.XMLParserType, reading: _Reading
) -> Finding:
    place = f"line {error.lineno} of the file"
    called, row = reading.layout.called, reading.count + 1
    if not chunk:
        reason = f"The file ends too early, after {place}: it was not exported or sent as a whole. Export it again."
        return Finding(row, None, "xml", reason)
    if _is_encoding(error, path, parser.ErrorByteIndex):
        reason = f"{place.capitalize()} has a character that is not of the encoding that the file declares."
        return Finding(row, None, "encoding", f"{reason} Export it again as UTF-8.")
    reason = f"The file is not well-formed XML at {place}, in {called} {row}. Export it again."
    return Finding(row, None, "xml", reason)


def _is_encoding(error: expat.ExpatError, path: Path, index: int) -> bool:
    if error.code in (
        expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
        expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING],
    ):
        return True
    with path.open("rb") as file:
        file.seek(max(index, 0))
        return error.code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN] and file.read(1) >= b"\x80"
