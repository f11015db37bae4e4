# SPDX-License-Identifier: GPL-3.0-or-later
"""A user pool on loopback: it keeps the rules of the code flow, and can be told to break those of tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

REGION = "eu-west-2"
POOL = f"{REGION}_Camden123"
ISSUER = f"https://cognito-idp.{REGION}.amazonaws.com/{POOL}"
CLIENT_ID = "4camden5client6id"
CLIENT_SECRET = "a-client-secret-that-no-log-may-show"

Claims = dict[str, Any]
Sign = Callable[[Claims], str]


def new_key() -> RSAKey:
    return RSAKey.generate_key(2048, parameters={"kid": secrets.token_hex(8), "use": "sig", "alg": "RS256"})


def person(login: str, *groups: str, **more: Any) -> Claims:  # noqa: ANN401
    return {"sub": f"subject-of-{login}", "email": f"{login}@camden.example", "cognito:groups": list(groups), **more}


@dataclass
class Provider:
    """The endpoints' state. `signed_in` is whom the next visitor of the sign-in pages is taken for."""

    address: str = ""
    signed_in: Claims = field(default_factory=dict)
    key: RSAKey = field(default_factory=new_key)
    # How the next ID tokens are made of their claims; None is the right way.
    sign: Sign | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    fetched_keys: int = 0

    def settings(self) -> dict[str, str]:
        """What a frontend has to know of this provider."""
        return {
            "SIGN_IN": "cognito",
            "SIGN_IN_ISSUER": ISSUER,
            "SIGN_IN_CLIENT_ID": CLIENT_ID,
            "SIGN_IN_CLIENT_SECRET": CLIENT_SECRET,
            "SIGN_IN_DOMAIN_URL": self.address,
            "SIGN_IN_ENDPOINT_URL": self.address,
        }

    def keys(self) -> dict[str, Any]:
        self.fetched_keys += 1
        return {"keys": KeySet([self.key]).as_dict(private=False)["keys"]}

    def authorize(self, query: dict[str, str]) -> str:
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def redeem(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """The token endpoint's answer; None for what a pool refuses."""
        expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        begun = self.codes.pop(form.get("code", ""), None)
        if authorization != f"Basic {expected}" or begun is None or form["redirect_uri"] != begun["redirect_uri"]:
            return None
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["code_challenge"]:
            return None
        token = (self.sign or self.rightly)(self.claims(begun["nonce"]))
        self.tokens.append(token)
        return {"id_token": token, "access_token": "opaque", "token_type": "Bearer", "expires_in": 300}

    def claims(self, nonce: str) -> Claims:
        now = int(time.time())
        basics = {"iss": ISSUER, "aud": CLIENT_ID, "iat": now, "exp": now + 300, "token_use": "id", "nonce": nonce}
        return {**basics, **self.signed_in}

    def rightly(self, claims: Claims) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key, algorithms=["RS256"])


@contextmanager
def running_provider() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            if parts.path == f"/{POOL}/.well-known/jwks.json":
                self._answer(200, provider.keys())
            elif parts.path == "/oauth2/authorize":
                self._redirect(provider.authorize(query))
            elif parts.path == "/logout" and query["client_id"] == CLIENT_ID:
                self._redirect(query["logout_uri"])
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[-1] for name, values in parse_qs(body).items()}
            answer = provider.redeem(form, self.headers.get("authorization", ""))
            self._answer(200 if answer else 400, answer or {"error": "invalid_grant"})

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _redirect(self, address: str) -> None:
            self.send_response(302)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
