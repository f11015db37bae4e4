# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of the roles that tasks run with, for demonstrations and tests that try what a task may do.

On AWS only ECS gets such a session. Here whoever can read the sandbox's control token may ask for one; the role must
exist and trust ECS all the same.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from http import HTTPStatus
from urllib.parse import parse_qs

from sandbox.emulator.gateway import Application, Message, Receive, Send
from sandbox.runtime import roles
from sandbox.settings import Settings

PATH = "/_sandbox/session"


def serve(application: Application, settings: Settings) -> Application:
    """*application*, and `GET /_sandbox/session?role=<arn>` with the control token as bearer."""
    token = secrets.token_urlsafe(32)
    settings.control_token.unlink(missing_ok=True)
    with os.fdopen(os.open(settings.control_token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    expected = f"Bearer {token}".encode()

    async def served(scope: Message, receive: Receive, send: Send) -> None:
        # Over TLS alone: what browsers use has no business here.
        if scope["type"] != "http" or scope["scheme"] != "https" or scope["path"] != PATH:
            await application(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, expected):
            status, body = _session(scope["query_string"].decode(), settings)
        else:
            status, body = HTTPStatus.FORBIDDEN, {"message": "This needs the sandbox's control token."}
        await _answer(send, status, body)

    return served


def _session(query: str, settings: Settings) -> tuple[HTTPStatus, dict[str, str]]:
    role = parse_qs(query).get("role", [""])[0]
    parts = role.split(":")
    if len(parts) != 6:
        return HTTPStatus.BAD_REQUEST, {"message": f"'{role}' is no role's ARN."}
    task = f"arn:aws:ecs:{settings.region}:{parts[4]}:task/sandbox/{secrets.token_hex(16)}"
    try:
        return HTTPStatus.OK, roles.assume(role, task).document()
    except roles.RoleError as reason:
        return HTTPStatus.BAD_REQUEST, {"message": str(reason)}


async def _answer(send: Send, status: HTTPStatus, body: dict[str, str]) -> None:
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})
