# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the API that users are added to; it remembers who can sign in with what."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROLES = ("buyer", "supplier", "admin", "slow")


@dataclass
class Api:
    """On loopback, until it is closed."""

    token: str
    passwords: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)  # e-mail addresses, as they were asked for
    at_once: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def signs_in(self, email: str, password: str) -> bool:
        return self.passwords.get(email) == password

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, user: dict[str, Any]) -> tuple[int, str]:
        """A status and a body that, like the original's, repeats the user."""
        with self._lock:
            self.calls.append(user["emailAddress"])
            if user["role"] not in ROLES:
                return 400, f"no role like that of {user}"
            if user["emailAddress"] in self.passwords:
                return 409, f"{user} already exists"
            self.passwords[user["emailAddress"]] = user["password"]
            return 201, json.dumps(user)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.headers["Authorization"] != f"Bearer {api.token}":
                    self._answer(401, "who are you?")
                elif self.path == "/users":
                    self._answer(*api.add(body["users"]))
                else:
                    words = {201: "created", 409: "exists"}
                    added = [api.add(user) for user in body]
                    self._answer(200, json.dumps([[words.get(status, "failed"), text] for status, text in added]))

            def _answer(self, status: int, text: str) -> None:
                content = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nothing: tests say what they expect."""

        return Handler
