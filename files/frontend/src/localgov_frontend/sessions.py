# SPDX-License-Identifier: GPL-3.0-or-later
"""Cookies that only this service can read or write: a sign-in under way, and a person's session.

A cookie is encrypted and authenticated (JWE, AES-256-GCM). Its key is derived from the secret, the purpose and the
user pool, so that neither another purpose's cookie nor another authority's opens here.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request
from starlette.responses import Response

from localgov_frontend.sign_in_settings import SignInSettings

SIGN_IN_SECONDS = 600
_HEADER = {"alg": "dir", "enc": "A256GCM"}
_ALGORITHMS = ["dir", "A256GCM"]
# Browsers keep no larger one.
_LONGEST_COOKIE = 4096
# Not every request writes a new cookie only to say that somebody is still there.
_RENEW_SECONDS = 60

Purpose = Literal["session", "sign-in"]


@dataclass(frozen=True)
class SignInUnderWay:
    """What has to come back from the sign-in pages, and what only this browser knows of it."""

    state: str
    nonce: str
    code_verifier: str
    return_path: str
    started_at: float

    @property
    def is_over(self) -> bool:
        return time.time() - self.started_at > SIGN_IN_SECONDS


@dataclass(frozen=True)
class Session:
    identifier: str
    subject: str
    name: str
    groups: list[str]
    form_token: str
    started_at: float
    seen_at: float


def new_session(subject: str, name: str, groups: list[str]) -> Session:
    """Everything in it is new, so nothing that was known before the sign-in is of use after it."""
    now = time.time()
    return Session(secrets.token_hex(16), subject, name, groups, secrets.token_urlsafe(32), now, now)


class Cookies:
    """Seals and opens this service's cookies, and knows which sessions have been ended."""

    def __init__(self, settings: SignInSettings) -> None:
        self._settings = settings
        self._keys = {
            purpose: [_key(secret, purpose, settings) for secret in settings.session_keys]
            for purpose in ("session", "sign-in")
        }
        self._ended: dict[str, float] = {}
        self._lock = threading.Lock()

    def name(self, purpose: Purpose) -> str:
        # The prefix makes browsers refuse one that another host set, or that came without TLS.
        return f"__Host-{purpose}" if self._settings.over_tls else purpose

    # --- A sign-in under way ---

    def begin(self, response: Response, under_way: SignInUnderWay) -> None:
        self._set(response, "sign-in", asdict(under_way), SIGN_IN_SECONDS)

    def under_way(self, request: Request) -> SignInUnderWay | None:
        document = self._open(request, "sign-in")
        try:
            found = SignInUnderWay(**document) if document else None
        except TypeError:
            return None
        return None if found is None or found.is_over else found

    def forget(self, response: Response, purpose: Purpose) -> None:
        response.delete_cookie(
            self.name(purpose), path="/", secure=self._settings.over_tls, httponly=True, samesite="lax"
        )

    # --- A session ---

    def keep(self, response: Response, session: Session) -> None:
        left = self._settings.lifetime.total_seconds() - (time.time() - session.started_at)
        seconds = max(1, int(min(left, self._settings.idle.total_seconds())))
        self._set(response, "session", asdict(session), seconds)

    def session(self, request: Request) -> Session | None:
        """The request's session, if it is whole, of this service, and neither ended nor too old nor idle too long."""
        document = self._open(request, "session")
        try:
            session = Session(**document) if document else None
        except TypeError:
            return None
        if session is None:
            return None
        now = time.time()
        is_over = (
            now - session.started_at > self._settings.lifetime.total_seconds()
            or now - session.seen_at > self._settings.idle.total_seconds()
            or session.identifier in self._ended
        )
        return None if is_over else session

    def renewed(self, session: Session) -> Session | None:
        """The session as seen now; None while what the browser has is good enough."""
        now = time.time()
        return replace(session, seen_at=now) if now - session.seen_at > _RENEW_SECONDS else None

    def end(self, session: Session) -> None:
        """Refuse the session from now on, also to whoever has a copy of its cookie."""
        now = time.time()
        with self._lock:
            longest = self._settings.lifetime.total_seconds()
            self._ended = {name: at for name, at in self._ended.items() if now - at < longest}
            self._ended[session.identifier] = now

    # --- Sealing ---

    def _set(self, response: Response, purpose: Purpose, document: dict[str, Any], seconds: int) -> None:
        value = jwe.encrypt_compact(_HEADER, json.dumps(document), self._keys[purpose][0], _ALGORITHMS)
        response.set_cookie(
            self.name(purpose),
            value,
            max_age=seconds,
            path="/",
            secure=self._settings.over_tls,
            httponly=True,
            # Not "strict": people come back from the sign-in pages and from S3, which are other sites.
            samesite="lax",
        )

    def _open(self, request: Request, purpose: Purpose) -> dict[str, Any] | None:
        value = request.cookies.get(self.name(purpose), "")
        if not value or len(value) > _LONGEST_COOKIE:
            return None
        for key in self._keys[purpose]:
            try:
                plaintext = jwe.decrypt_compact(value, key, _ALGORITHMS).plaintext
                document = json.loads(plaintext or b"")
            except (JoseError, ValueError):
                continue
            return document if isinstance(document, dict) else None
        return None


def _key(secret: str, purpose: str, settings: SignInSettings) -> OctKey:
    context = f"localgov-frontend {purpose} {settings.issuer} {settings.client_id} {settings.public_url}"
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=context.encode()).derive(secret.encode())
    return OctKey.import_key(derived)
