# SPDX-License-Identifier: GPL-3.0-or-later
"""What signing in takes from the environment, checked before the service starts."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from localgov_frontend.access import Role, RolesError, read_roles

CALLBACK_PATH = "/sign-in/callback"
SIGNED_OUT_PATH = "/signed-out"
_LONGEST_LIFETIME_MINUTES = 24 * 60
_ISSUER = re.compile(r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/[a-z0-9-]+_[A-Za-z0-9]+")


class SignInSettingsError(Exception):
    """A setting of the sign-in is missing or wrong; the text says which and what to write instead."""


@dataclass(frozen=True)
class SignInSettings:
    """Secrets have no representation, so that no log line and no traceback shows them."""

    public_url: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    # Where browsers find the sign-in pages, and where this process finds the pool's keys and its token endpoint.
    domain_url: str
    keys_url: str
    token_url: str
    # The newest first; what an older one sealed is still opened.
    session_keys: tuple[str, ...] = field(repr=False)
    roles: dict[str, Role]
    # The name of the federated identity provider, whose attribute `custom:groups` is believed.
    provider: str | None
    lifetime: timedelta
    idle: timedelta
    ca_bundle: str | None

    @property
    def redirect_uri(self) -> str:
        return self.public_url + CALLBACK_PATH

    @property
    def signed_out_uri(self) -> str:
        return self.public_url + SIGNED_OUT_PATH

    @property
    def public_host(self) -> str:
        return urlsplit(self.public_url).netloc

    @property
    def over_tls(self) -> bool:
        return self.public_url.startswith("https://")


def read_sign_in(environment: Mapping[str, str]) -> SignInSettings | None:
    """None where nobody signs in, which has to be said: a forgotten setting must not open the service."""
    choice = environment.get("SIGN_IN", "")
    if choice not in {"cognito", "none"}:
        raise SignInSettingsError(
            f"SIGN_IN is {choice!r}. Set it to cognito, or to none where something in front of the service decides "
            "who comes in."
        )
    if choice == "none":
        return None
    issuer = _issuer(environment)
    domain_url = _url(environment, "SIGN_IN_DOMAIN_URL", "the user pool's domain, such as https://<name>.auth.<region>")
    endpoint_url = _url(environment, "SIGN_IN_ENDPOINT_URL", "", optional=True)
    keys_base = f"{endpoint_url}/{issuer.rpartition('/')[2]}" if endpoint_url else issuer
    return SignInSettings(
        public_url=_url(environment, "PUBLIC_URL", "where people reach this service, such as https://upload.example"),
        issuer=issuer,
        client_id=_required(environment, "SIGN_IN_CLIENT_ID", "the id of the user pool's app client"),
        client_secret=_required(environment, "SIGN_IN_CLIENT_SECRET", "the app client's secret, by reference"),
        domain_url=domain_url,
        keys_url=f"{keys_base}/.well-known/jwks.json",
        token_url=f"{endpoint_url or domain_url}/oauth2/token",
        session_keys=_session_keys(environment),
        roles=_roles(environment),
        provider=environment.get("SIGN_IN_PROVIDER") or None,
        lifetime=_minutes(environment, "SESSION_LIFETIME_MINUTES", 480),
        idle=_minutes(environment, "SESSION_IDLE_MINUTES", 30),
        ca_bundle=environment.get("AWS_CA_BUNDLE") or None,
    )


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SignInSettingsError(f"{name} is not set. Set it to {meaning}; or SIGN_IN to none.")
    return value


def _issuer(environment: Mapping[str, str]) -> str:
    value = _required(environment, "SIGN_IN_ISSUER", "the user pool's issuer")
    if not _ISSUER.fullmatch(value):
        raise SignInSettingsError(
            f"SIGN_IN_ISSUER is {value!r}. Set it to https://cognito-idp.<region>.amazonaws.com/<user pool id>."
        )
    return value


def _url(environment: Mapping[str, str], name: str, meaning: str, *, optional: bool = False) -> str:
    """Scheme and host. Plain HTTP on loopback only: browsers keep cookies and codes safe there, and nowhere else."""
    if optional and not environment.get(name):
        return ""
    value = _required(environment, name, meaning).rstrip("/")
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_right = urlsplit(""), False
    if not port_is_right or not parts.hostname or value != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise SignInSettingsError(f"{name} is {value!r}. Set it to scheme, host and port, without a path.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise SignInSettingsError(f"{name} is {value!r}. Set it to an https address: plain http is for loopback only.")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _session_keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Their length is checked with the settings that do not need a sign-in."""
    current = _required(environment, "SESSION_KEY", "a random key, by reference")
    return tuple(key for key in (current, environment.get("SESSION_KEY_PREVIOUS", "")) if key)


def _roles(environment: Mapping[str, str]) -> dict[str, Role]:
    text = _required(environment, "SIGN_IN_GROUPS", 'a JSON object such as {"uploaders": {"may": "upload"}}')
    try:
        return read_roles(json.loads(text))
    except (ValueError, RolesError) as error:
        raise SignInSettingsError(f"SIGN_IN_GROUPS: {error}") from error


def _minutes(environment: Mapping[str, str], name: str, default: int) -> timedelta:
    value = environment.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,4}", value) or not 1 <= int(value) <= _LONGEST_LIFETIME_MINUTES:
        raise SignInSettingsError(f"{name} is {value!r}. Set it to minutes, from 1 to {_LONGEST_LIFETIME_MINUTES}.")
    return timedelta(minutes=int(value))
