# SPDX-License-Identifier: GPL-3.0-or-later
"""What reaches the emulator, and as what.

Two listeners share one application. Programs use the TLS one. A person's browser does not trust the sandbox's
certificate authority, so it uses the plain one, and what a browser sends there, a request presigned by somebody who
may, counts as sent over TLS. A program's signed request on the plain listener counts as what it is: plain HTTP, which
a policy that demands TLS refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

NEEDS = ("ministack.app.app",)

HEALTH = "/_ministack/health"
# The emulator's own switches, such as "forget everything": any web page could make a browser press them.
_SWITCHES = ("/_ministack/", "/_localstack/")
_CLOSED = b'{"message": "Not served by this sandbox. Use python -m sandbox."}'


def guard(application: Application) -> Application:
    """*application* behind honest transport marks and without the emulator's switches."""

    async def guarded(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"].startswith(_SWITCHES) and (scope["path"], scope["method"]) != (HEALTH, "GET"):
                await _refuse(send)
                return
            scope = {**scope, "headers": _honest_headers(scope)}
        await application(scope, receive, send)

    return guarded


def _honest_headers(scope: Message) -> list[tuple[bytes, bytes]]:
    """The request's headers with the mark that it came over TLS exactly when it counts as such."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-forwarded-proto"]
    signed_by_program = any(
        name.lower() == b"authorization" and value.startswith(b"AWS") for name, value in scope["headers"]
    )
    if scope["scheme"] == "https" or not signed_by_program:
        headers.append((b"x-forwarded-proto", b"https"))
    return headers


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_CLOSED)).encode())]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": _CLOSED})
