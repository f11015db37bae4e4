# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that the forks of one run share: each is sought by exactly one of them, the others wait for it."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


class SessionRefusedError(Exception):
    """AWS, or a check of ours, refuses the session; the text is one line without secrets."""


class RunCache:
    """JSON entries in a directory that only its owner can enter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def entry(self, key: str, is_current: Callable[[Entry], bool], seek: Callable[[], Entry]) -> Entry:
        """The entry of that key, sought anew when there is none that is current.

        A refusal is shared by those who were already waiting when it was given, so that it costs one call as well.
        It is not kept for later: what is refused now may be mended while the run goes on.
        """
        asked_at = time.monotonic()
        entry = self._read(key)
        if entry is not None and is_current(entry):
            return entry
        with self.lock(key):
            entry = self._read(key)
            if entry is not None and is_current(entry):
                return entry
            refusal = self._read(f"{key}.refused")
            if refusal is not None and refusal["at"] >= asked_at:
                raise SessionRefusedError(refusal["reason"])
            try:
                entry = seek()
            except SessionRefusedError as refused:
                self._write(f"{key}.refused", {"at": time.monotonic(), "reason": str(refused)})
                raise
            self._write(key, entry)
            return entry

    def forget(self, key: str) -> None:
        """The next one who asks seeks anew."""
        (self.directory / f"{key}.json").unlink(missing_ok=True)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Holds all other forks back; the kernel gives the lock up when its holder dies."""
        descriptor = os.open(self.directory / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, key: str) -> Entry | None:
        try:
            entry: Entry = json.loads((self.directory / f"{key}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return entry

    def _write(self, key: str, entry: Entry) -> None:
        # mkstemp makes the file for its owner only; readers without the lock see the old file or the new one.
        descriptor, name = tempfile.mkstemp(dir=self.directory)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(entry, file)
        Path(name).replace(self.directory / f"{key}.json")
