# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed requests to the emulator from inside its own process, before it listens: for the seed and the self-test.

They go through the whole gateway: signature, policies, service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sandbox.emulator.internals import find

NEEDS = ("ministack.app.app",)


@dataclass(frozen=True)
class Answer:
    status: int
    text: str

    @property
    def document(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed


@dataclass(frozen=True)
class Caller:
    """Somebody with credentials, in one region. The root of an account needs none but the account's id."""

    region: str
    access_key: str
    secret_key: str = field(default="test", repr=False)
    session_token: str | None = field(default=None, repr=False)

    async def query(self, service: str, action: str, **parameters: str) -> Answer:
        """A call of a service with the query protocol, such as IAM, STS, EC2, RDS."""
        body = urlencode({"Action": action, "Version": _QUERY_VERSIONS[service], **parameters})
        return await self.send(service, "POST", "/", body, {"content-type": "application/x-www-form-urlencoded"})

    async def json(self, service: str, target: str, **parameters: Any) -> Answer:  # noqa: ANN401 - any JSON value
        """A call of a service with the JSON protocol, such as ECR; *target* as in ``x-amz-target``."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        return await self.send(service, "POST", "/", json.dumps(parameters), headers)

    async def send(
        self, service: str, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
    ) -> Answer:
        url = f"https://127.0.0.1{path}"
        request = AWSRequest(method, url, data=body.encode(), headers=headers or {})
        request.headers["host"] = "127.0.0.1"
        credentials = Credentials(self.access_key, self.secret_key, self.session_token)
        SigV4Auth(credentials, service, self.region).add_auth(request)
        return await _send(method, path, body.encode(), dict(request.headers.items()))


_QUERY_VERSIONS = {
    "iam": "2010-05-08",
    "sts": "2011-06-15",
    "ec2": "2016-11-15",
    "rds": "2014-10-31",
    "cloudformation": "2010-05-15",
}


def root(account: str, region: str) -> Caller:
    return Caller(region, account)


async def _send(method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    path_only, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path_only,
        "raw_path": path_only.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 443),
    }
    sent: list[dict[str, Any]] = []
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await find("ministack.app.app")(scope, receive, send)
    text = b"".join(message.get("body", b"") for message in sent).decode("utf-8", "replace")
    return Answer(sent[0]["status"], text)
