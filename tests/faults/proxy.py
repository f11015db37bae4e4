# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy between boto3 and the sandbox that does what AWS and networks do on a bad day, by a seed."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# How often each fault is drawn. A session that has expired stays so, and a clock that is wrong fails any task at once:
# both end an account's rollout, so they are rare.
WEIGHTS = {
    "throttled": 40,
    "server error": 25,
    "reset before": 12,
    "reset after": 12,
    "stalled": 10,
    "session expired": 0.4,
    "clock skewed": 0.4,
}
_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}
_RESET = struct.pack("ii", 1, 0)  # closing sends RST instead of FIN


@dataclass
class Faults:
    """Which calls go wrong, and how: the same seed draws the same faults in the same order."""

    seed: int
    rate: float = 0.2
    stall_seconds: float = 30.0
    weights: dict[str, float] = field(default_factory=lambda: dict(WEIGHTS))
    counted: Counter[str] = field(default_factory=Counter)
    """How many calls came, by fault; those that went well are `passed`."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - draws faults, keeps no secret
        self._expired: set[str] = set()
        self._lock = threading.Lock()

    def draw(self, access_key: str, service: str) -> str:
        with self._lock:
            fault = self._drawn(access_key, service)
            self.counted[fault] += 1
            return fault

    def _drawn(self, access_key: str, service: str) -> str:
        if access_key in self._expired:
            return "session expired"
        if self._random.random() >= self.rate:
            return "passed"
        kinds = list(self.weights)
        fault = self._random.choices(kinds, [self.weights[kind] for kind in kinds])[0]
        if fault == "session expired":
            # An operator's own key does not expire, only what was assumed with it.
            if service == "sts":
                return "throttled"
            self._expired.add(access_key)
        return fault


class FaultProxy:
    """Listens on loopback with the sandbox's own certificate, of that folder; use it as a context."""

    def __init__(self, endpoint_url: str, certificates: Path, faults: Faults) -> None:
        self.faults = faults
        self._upstream = urlsplit(endpoint_url)
        self._trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
        self._server = _Server(("127.0.0.1", 0), _Handler, served, self)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forward(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        connection = http.client.HTTPSConnection(
            str(self._upstream.hostname), self._upstream.port, timeout=120, context=self._trust
        )
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type, tls: ssl.SSLContext, proxy: FaultProxy) -> None:
        super().__init__(address, handler)
        self.tls = tls
        self.proxy = proxy

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        # Here and not in accept: a client that is slow to shake hands holds up nobody else.
        try:
            wrapped = self.tls.wrap_socket(request, server_side=True)
        except OSError:
            return
        super().finish_request(wrapped, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """A client that goes away, as one that is killed does, is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Calls are counted, not logged."""

    def answer(self) -> None:
        proxy, faults = self.server.proxy, self.server.proxy.faults
        body = self._body()
        found = _CREDENTIAL.search(self.headers.get("Authorization", ""))
        access_key, service = (found[1], found[2]) if found else ("", "")
        fault = faults.draw(access_key, service)
        if fault == "reset before":
            return self._reset()
        if fault == "stalled":
            time.sleep(faults.stall_seconds)
        if fault in ("passed", "stalled", "reset after"):
            answer = proxy.forward(self.command, self.path, self.headers.items(), body)
            return self._reset() if fault == "reset after" else self._send(answer)
        return self._send(refusal(fault, service, self.headers))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 - as http.server calls them

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        length = next((value for name, value in answer.headers if name.lower() == "content-length"), None)
        # What a HEAD asks about has a length without a body.
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.connection.close()


# --- Refusals, as each kind of API words them ---------------------------------------------------------------------

# Fault to (status, code, message), by kind of API; the first of each is of the APIs that have no own word for it.
_REFUSALS: dict[str, dict[str, tuple[int, str, str]]] = {
    "throttled": {
        "query": (400, "Throttling", "Rate exceeded"),
        "ec2": (503, "RequestLimitExceeded", "Request limit exceeded."),
        "s3": (503, "SlowDown", "Please reduce your request rate."),
        "json": (400, "ThrottlingException", "Rate exceeded"),
    },
    "server error": {
        "query": (500, "InternalFailure", "The request processing has failed because of an unknown error."),
        "ec2": (500, "InternalError", "An internal error has occurred."),
        "s3": (500, "InternalError", "We encountered an internal error. Please try again."),
        "json": (500, "InternalServerError", "An internal error has occurred."),
    },
    "session expired": {
        "query": (403, "ExpiredToken", "The security token included in the request is expired"),
        "ec2": (400, "RequestExpired", "Request has expired."),
        "s3": (400, "ExpiredToken", "The provided token has expired."),
        "json": (400, "ExpiredTokenException", "The security token included in the request is expired"),
    },
    "clock skewed": {
        "query": (
            403,
            "SignatureDoesNotMatch",
            "Signature expired: it is earlier than the time of this server - 15 min.",
        ),
        "ec2": (400, "RequestExpired", "Request has expired."),
        "s3": (
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        "json": (
            400,
            "InvalidSignatureException",
            "Signature expired: it is earlier than this server's time - 15 min.",
        ),
    },
}


def refusal(fault: str, service: str, headers: Any) -> Answer:  # noqa: ANN401 - an email.message.Message
    """The answer to a call that was refused before anything was done."""
    kind = service if service in ("ec2", "s3") else "query"
    if headers.get("X-Amz-Target") or (kind == "query" and "form" not in headers.get("Content-Type", "form")):
        kind = "json"
    if service in ("lambda", "scheduler", "elasticfilesystem"):
        kind = "json"
    status, code, message = _REFUSALS[fault][kind]
    if kind == "json":
        body = json.dumps({"__type": code, "message": message}).encode()
        return Answer(status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-ErrorType", code)], body)
    error = f"<Code>{code}</Code><Message>{message}</Message>"
    texts = {
        "query": f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error><RequestId>0</RequestId></ErrorResponse>",
        "ec2": f"<Response><Errors><Error>{error}</Error></Errors><RequestID>0</RequestID></Response>",
        "s3": f"<Error>{error}<RequestId>0</RequestId></Error>",
    }
    return Answer(status, [("Content-Type", "text/xml")], texts[kind].encode())
