# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task reaches at 169.254.170.2 on ECS: its role's credentials and its metadata, here on a loopback address.

Plain HTTP, because the SDKs' credential providers trust no authority of ours, and allow plain HTTP to loopback.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

_CREDENTIALS = "/v2/credentials/"
_METADATA = "/v4/"


@dataclass(frozen=True)
class Grant:
    """Who may ask for credentials, and how they are made."""

    task: str
    token: str
    renew: Callable[[], dict[str, str]]


class Endpoint:
    """A listener on the first address of the task network."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._grants: dict[str, Grant] = {}
        self._server: ThreadingHTTPServer | None = None
        self._lock = threading.Lock()

    def grant(self, task: str, renew: Callable[[], dict[str, str]]) -> dict[str, str]:
        """Environment variables by which the SDKs of this task find its role's credentials and renew them."""
        identifier, token = secrets.token_hex(16), secrets.token_urlsafe(32)
        self._grants[identifier] = Grant(task, token, renew)
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self._url()}{_CREDENTIALS}{identifier}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        }

    def revoke(self, task: str) -> None:
        for identifier in [key for key, grant in list(self._grants.items()) if grant.task == task]:
            self._grants.pop(identifier, None)

    def metadata_url(self, path: str) -> str:
        return f"{self._url()}{path}"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        if path.startswith(_CREDENTIALS):
            return self._credentials(path.removeprefix(_CREDENTIALS), authorization)
        if path.startswith(_METADATA):
            return _metadata(path)
        return HTTPStatus.NOT_FOUND, _message("there is nothing here")

    def _credentials(self, identifier: str, authorization: str) -> tuple[int, bytes]:
        grant = self._grants.get(identifier)
        if grant is None:
            return HTTPStatus.NOT_FOUND, _message("no running task has these credentials")
        if not hmac.compare_digest(grant.token.encode(), authorization.encode()):
            return HTTPStatus.FORBIDDEN, _message("the authorisation token is not the task's")
        try:
            return HTTPStatus.OK, json.dumps(grant.renew()).encode()
        except Exception as reason:
            return HTTPStatus.BAD_REQUEST, _message(str(reason))

    def _url(self) -> str:
        with self._lock:
            if self._server is None:
                handler = type("Handler", (_Handler,), {"endpoint": self})
                self._server = ThreadingHTTPServer((self._address, 0), handler)
                self._server.daemon_threads = True
                threading.Thread(target=self._server.serve_forever, name="sandbox-endpoint", daemon=True).start()
            return f"http://{self._address}:{self._server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    endpoint: ClassVar[Endpoint]
    timeout = 30

    def do_GET(self) -> None:
        status, body = self.endpoint.answer(self.path, self.headers.get("Authorization", ""))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the paths are secrets."""


def _metadata(path: str) -> tuple[int, bytes]:
    from ministack.services import ecs_metadata

    status, _, body = asyncio.run(ecs_metadata.handle_request("GET", path, {}, b"", {}))
    return status, body if isinstance(body, bytes) else str(body).encode()


def _message(text: str) -> bytes:
    return json.dumps({"message": text}).encode()
