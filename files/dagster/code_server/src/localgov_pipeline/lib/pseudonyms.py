# SPDX-License-Identifier: GPL-3.0-or-later
"""Pseudonyms: HMAC-SHA256 with a key that only the authority has. The same person has the same one in all its tables
and years; who has not the key can neither take one back to a person nor try persons out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

KEY_BYTES = 32
PSEUDONYM_DIGITS = 32
_BLOCK = 64


class KeyMissingError(Exception):
    pass


class Keys(NamedTuple):
    """`own` is the authority's; `linking`, if any, is shared by authorities, for profiles that link."""

    own: bytes
    linking: bytes | None = None

    def __repr__(self) -> str:
        """A record of Dagster or a trace may show what a function was given."""
        return "Keys(withheld)"

    def of(self, linked: bool) -> bytes:
        return self.linking if linked and self.linking is not None else self.own


def keys_from(environment: Mapping[str, str]) -> Keys:
    """PSEUDONYM_KEY, and LINKING_KEY where there is one: 64 or more hexadecimal digits, or any text of 32 bytes."""
    own = _key("PSEUDONYM_KEY", environment.get("PSEUDONYM_KEY", ""))
    linking = environment.get("LINKING_KEY", "")
    keys = Keys(own, _key("LINKING_KEY", linking) if linking else None)
    if keys.linking == keys.own:
        raise KeyMissingError("LINKING_KEY and PSEUDONYM_KEY are the same: the authority needs a key of its own.")
    return keys


def _key(name: str, text: str) -> bytes:
    stripped = text.strip()
    try:
        key = bytes.fromhex(stripped)
    except ValueError:
        key = b""
    key = key if len(key) >= KEY_BYTES else stripped.encode()
    if len(key) < KEY_BYTES:
        raise KeyMissingError(
            f"The environment variable {name} is {'too short' if stripped else 'missing'}: it has to hold at least "
            f"{KEY_BYTES} bytes. On AWS the secret of that name is handed to the run's task."
        )
    return key


class Pseudonymiser:
    """`entity`: of whom, such as `child`. Holds the states of the two hashes, so that each value costs little."""

    def __init__(self, key: bytes, entity: str) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + entity.encode() + b"\0")
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __repr__(self) -> str:
        return "Pseudonymiser(withheld)"

    def __call__(self, values: pl.Series) -> pl.Series:
        """Runs of the same value, as of a child's episodes, are hashed once."""
        runs = values.cast(pl.Binary).rle()
        digits = pl.Series(values.name, self._of(runs.struct.field("value").to_list()), dtype=pl.String)
        return digits.str.head(PSEUDONYM_DIGITS).gather(values.rle_id())

    def _of(self, values: list[bytes | None]) -> list[str | None]:
        inner, outer = self._inner.copy, self._outer.copy
        found: list[str | None] = []
        for value in values:
            if value is None:
                found.append(None)
                continue
            first = inner()
            first.update(value)
            second = outer()
            second.update(first.digest())
            found.append(second.hexdigest())
        return found
