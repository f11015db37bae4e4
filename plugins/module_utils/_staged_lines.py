# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a file of one JSON object per line, said by line numbers and never by content.

The workflow's function that looks at an upload and the module that hands a file over both use this, so it needs nothing
but Python itself. The role packs it as ``staging/lines.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Contract:
    """What a file must be like. With no required field anything that is not too large will do."""

    max_bytes: int = 50_000_000
    max_lines: int = 10_000
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    allowed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Contract:
        """From its JSON form, in which every tuple is a list."""
        return cls(
            max_bytes=int(document["max_bytes"]),
            max_lines=int(document["max_lines"]),
            required=tuple(document.get("required") or ()),
            optional=tuple(document.get("optional") or ()),
            unique=tuple(document.get("unique") or ()),
            allowed={name: tuple(values) for name, values in (document.get("allowed") or {}).items()},
        )

    @property
    def has_lines(self) -> bool:
        return bool(self.required)


@dataclass(frozen=True)
class Problem:
    """Why a line is refused; line 0 stands for the file as a whole."""

    line: int
    reason: str


def lines_of(content: bytes) -> list[bytes]:
    """The lines, without what ends them. A last line may end or not."""
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def problems(content: bytes, contract: Contract) -> list[Problem]:
    """Everything that is wrong with the file, in the order of its lines."""
    if len(content) > contract.max_bytes:
        return [Problem(0, f"the file is larger than {contract.max_bytes} bytes")]
    if not content.strip():
        return [Problem(0, "the file is empty")]
    if not contract.has_lines:
        return []
    if content.startswith(_BYTE_ORDER_MARKS):
        return [Problem(1, "the file begins with a byte-order mark; save it as UTF-8 without one")]
    lines = lines_of(content)
    if len(lines) > contract.max_lines:
        return [Problem(0, f"the file has more than {contract.max_lines} lines; hand it over in parts")]
    return list(_problems_of(lines, contract))


def _problems_of(lines: list[bytes], contract: Contract) -> Iterator[Problem]:
    seen: dict[str, dict[str, int]] = {name: {} for name in contract.unique}
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if isinstance(entry, str):
            yield Problem(number, entry)
            continue
        for reason in (*_wrong_fields(entry, contract), *_repeated(entry, number, seen)):
            yield Problem(number, reason)


def _entry(line: bytes) -> dict[str, Any] | str:
    """The line's object, or why it is none. A parser's own words could quote the line."""
    if not line.strip():
        return "is empty"
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8"
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except _RepeatedNameError:
        return "names a field twice"
    except (ValueError, RecursionError):
        return "is not JSON"
    return found if isinstance(found, dict) else "is not a JSON object"


class _RepeatedNameError(Exception):
    """An object has a name twice; which value counts would be a guess."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise _RepeatedNameError
    return entry


def _wrong_fields(entry: dict[str, Any], contract: Contract) -> Iterator[str]:
    for name in contract.required:
        if name not in entry:
            yield f"lacks the field {name}"
    known = (*contract.required, *contract.optional)
    if set(entry) - set(known):
        yield "has a field that is not known"
    for name in known:
        if name in entry:
            yield from _wrong_value(name, entry[name], contract)


def _wrong_value(name: str, value: object, contract: Contract) -> Iterator[str]:
    if name in contract.optional and (value is None or (isinstance(value, int) and not isinstance(value, bool))):
        return
    if not isinstance(value, str) or not value.strip() or not _is_text(value):
        yield f"has no text in the field {name}"
    elif name in contract.allowed and value not in contract.allowed[name]:
        yield f"has a value in the field {name} that is not one of {', '.join(contract.allowed[name])}"


def _is_text(value: str) -> bool:
    """Half of a surrogate pair can be written in JSON and is no character; a null ends a text elsewhere."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _repeated(entry: dict[str, Any], number: int, seen: dict[str, dict[str, int]]) -> Iterator[str]:
    for name, lines in seen.items():
        value = entry.get(name)
        if isinstance(value, str):
            first = lines.setdefault(value.strip().casefold(), number)
            if first != number:
                yield f"has the same {name} as line {first}"
