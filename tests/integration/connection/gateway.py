# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway before the emulator, which notes what is asked of STS and which secrets are handed out."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

_CREDENTIAL = re.compile(r"<(?:SecretAccessKey|SessionToken)>([^<]+)<")


@dataclass
class Gateway:
    endpoint: str
    calls: list[dict[str, str]] = field(default_factory=list)
    """The parameters of each call of STS."""
    secrets: set[str] = field(default_factory=set)
    answers_instead: list[tuple[int, bytes]] = field(default_factory=list)
    """What the next AssumeRole calls are answered, without reaching the emulator."""

    def assumed(self, account: str | None = None) -> int:
        """How often a role was assumed, or asked for, in that account or in any."""
        asked = [call["RoleArn"] for call in self.calls if call["Action"] == "AssumeRole"]
        return sum(account is None or f"::{account}:" in arn for arn in asked)

    def identified(self) -> int:
        """How often somebody asked who they are."""
        return sum(call["Action"] == "GetCallerIdentity" for call in self.calls)


@contextmanager
def gateway_before(emulator: str, certificate: Path | None = None) -> Iterator[Gateway]:
    """A running gateway; with a certificate (and its key, in one file) it speaks TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    gateway = Gateway(f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = _handler(gateway, emulator.removeprefix("http://"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(gateway: Gateway, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
            if call.get("Action") in ("AssumeRole", "GetCallerIdentity"):
                gateway.calls.append(call)
            if call.get("Action") == "AssumeRole" and gateway.answers_instead:
                status, content = gateway.answers_instead.pop(0)
                self._answer(status, [("Content-Type", "text/xml")], content)
                return
            connection = HTTPConnection(upstream, timeout=30)
            # The headers go on as they are, Host among them, or the signature would not fit.
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            if call.get("Action") == "AssumeRole":
                gateway.secrets.update(_CREDENTIAL.findall(content.decode()))
            self._answer(answer.status, answer.getheaders(), content)

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _forward  # noqa: N815  # the standard library's names

        def log_message(self, *_arguments: object) -> None:
            """Says nothing: pytest shows what matters."""

    return Handler
