# SPDX-License-Identifier: GPL-3.0-or-later
"""ID tokens of the user pool: whose signature, for whom, how old, for which sign-in."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from localgov_frontend.sign_in_settings import SignInSettings

# Cognito signs with no other.
_ALGORITHMS = ["RS256"]
_KEYS_SECONDS = 3600
# A token that names an unknown key makes us look for new keys, but not as often as somebody sends such tokens.
_LOOK_AGAIN_SECONDS = 30
_CLOCK_SKEW_SECONDS = 60
_TIMEOUT = (3, 10)


class TokenError(Exception):
    """The ID token is not one that this sign-in can have led to; the text says why, without the token."""


class SigningKeys:
    """The user pool's public keys, kept for an hour, and looked for anew when a token names one that is not here."""

    def __init__(self, settings: SignInSettings) -> None:
        self._url = settings.keys_url
        self._verify = settings.ca_bundle or True
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._fetched_at = self._looked_again_at = -float("inf")

    def for_token(self, key_id: str) -> KeySet:
        with self._lock:
            now = time.monotonic()
            if self._keys is None or now - self._fetched_at > _KEYS_SECONDS:
                self._keys, self._fetched_at = self._fetch(), now
            elif (
                all(key.kid != key_id for key in self._keys.keys) and now - self._looked_again_at > _LOOK_AGAIN_SECONDS
            ):
                self._looked_again_at = now
                self._keys, self._fetched_at = self._fetch(), now
            return self._keys

    def _is_unknown(self, key_id: str) -> bool:
        return self._keys is None or all(key.kid != key_id for key in self._keys.keys)

    def _fetch(self) -> KeySet:
        answer = requests.get(self._url, timeout=_TIMEOUT, verify=self._verify, allow_redirects=False)
        answer.raise_for_status()
        return KeySet.import_key_set(answer.json())


def verify_id_token(token: str, settings: SignInSettings, keys: SigningKeys, nonce: str) -> dict[str, Any]:
    """The claims, once every one of them that matters is right."""
    try:
        header_key = _key_id(token)
        claims = jwt.decode(token, keys.for_token(header_key), algorithms=_ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            leeway=_CLOCK_SKEW_SECONDS,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
            token_use={"essential": True, "value": "id"},
        ).validate(claims)
    except JoseError as error:
        raise TokenError(f"{type(error).__name__}: {error}") from error
    except ValueError as error:
        raise TokenError("it is not a token") from error
    return claims


def _key_id(token: str) -> str:
    key_id = extract_compact(token.encode()).headers().get("kid")
    if not isinstance(key_id, str):
        raise TokenError("it names no key")
    return key_id
