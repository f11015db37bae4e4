# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of the roles that tasks run with, for demonstrations and tests that try what a task may do; and mailboxes.

On AWS only ECS gets such a session. Here whoever can read the sandbox's control token may ask for one; the role must
exist and trust ECS all the same. With the same token anybody's mails are read.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from sandbox.emulator import mails
from sandbox.emulator.gateway import Application, Message, Receive, Send
from sandbox.runtime import roles
from sandbox.settings import Settings

PATH, MAILS = "/_sandbox/session", "/_sandbox/mails"

Answer = tuple[HTTPStatus, dict[str, Any]]


def serve(application: Application, settings: Settings) -> Application:
    """*application*, and with the control token as bearer `GET /_sandbox/session?role=<arn>`, `/_sandbox/mails?to=`."""
    token = secrets.token_urlsafe(32)
    settings.control_token.unlink(missing_ok=True)
    with os.fdopen(os.open(settings.control_token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token)
    expected = f"Bearer {token}".encode()

    async def served(scope: Message, receive: Receive, send: Send) -> None:
        # Over TLS alone: what browsers use has no business here.
        if scope["type"] != "http" or scope["scheme"] != "https" or scope["path"] not in (PATH, MAILS):
            await application(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        if not hmac.compare_digest(given, expected):
            answer: Answer = (HTTPStatus.FORBIDDEN, {"message": "This needs the sandbox's control token."})
        elif scope["path"] == MAILS:
            answer = (HTTPStatus.OK, {"mails": mails.sent_to(query.get("to", ""))})
        else:
            answer = _session(query.get("role", ""), settings)
        await _answer(send, *answer)

    return served


def _session(role: str, settings: Settings) -> Answer:
    parts = role.split(":")
    if len(parts) != 6:
        return HTTPStatus.BAD_REQUEST, {"message": f"'{role}' is no role's ARN."}
    task = f"arn:aws:ecs:{settings.region}:{parts[4]}:task/sandbox/{secrets.token_hex(16)}"
    try:
        return HTTPStatus.OK, roles.assume(role, task).document()
    except roles.RoleError as reason:
        return HTTPStatus.BAD_REQUEST, {"message": str(reason)}


async def _answer(send: Send, status: HTTPStatus, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})
