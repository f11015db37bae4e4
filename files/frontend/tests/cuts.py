# SPDX-License-Identifier: GPL-3.0-or-later
"""A network that can be cut: a relay on loopback that drops its connections in the middle and takes no new ones."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK_BYTES = 64 * 1024


class Relay:
    """Between a browser and S3. Once `cut_after` bytes have passed towards S3 it is cut, until it is mended."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut_at: int | None = None
        self.passed = 0
        self.is_cut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut_after(self, more: int) -> None:
        with self._lock:
            self._cut_at = self.passed + more

    def mend(self) -> None:
        with self._lock:
            self._cut_at = None
        self.is_cut.clear()

    def close(self) -> None:
        self._listener.close()
        self._drop()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                browser, _ = self._listener.accept()
                if self.is_cut.is_set():
                    browser.close()
                    continue
                s3 = socket.create_connection(self._target)
                with self._lock:
                    self._open |= {browser, s3}
                threading.Thread(target=self._relay, args=(browser, s3, True), daemon=True).start()
                threading.Thread(target=self._relay, args=(s3, browser, False), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                if counts and self._is_cut_by(len(chunk)):
                    self._drop()
                    return
                target.sendall(chunk)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_cut_by(self, size: int) -> bool:
        with self._lock:
            self.passed += size
            if self._cut_at is not None and self.passed >= self._cut_at:
                self.is_cut.set()
        return self.is_cut.is_set()

    def _drop(self) -> None:
        with self._lock:
            dropped, self._open = self._open, set()
        for end in dropped:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def relay(host: str, port: int) -> Iterator[Relay]:
    running = Relay((host, port))
    try:
        yield running
    finally:
        running.close()
