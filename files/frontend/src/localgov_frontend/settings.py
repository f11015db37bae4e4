# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service takes from its environment, checked before it starts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from limits import RateLimitItem, parse

from localgov_frontend.sharing import Place
from localgov_frontend.sign_in_settings import SignInSettings, SignInSettingsError, read_sign_in

_MEBIBYTE = 1024 * 1024
# S3 takes no more than this in one request, so a larger limit could never be kept.
_LARGEST_SINGLE_UPLOAD = 5 * 1024 * _MEBIBYTE
_LOCATION = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?")
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_SHORTEST_KEY = 40
_SMALL_WORDS = frozenset({"and", "of", "on", "the", "upon"})


class SettingsError(Exception):
    """A setting is missing or wrong; the text says which and what to write instead."""


@dataclass(frozen=True)
class Settings:
    account_name: str
    region: str
    bucket: str
    # None where nothing is shared from this account.
    shared: Place | None
    upload_endpoint_url: str | None
    bind_address: str
    port: int
    max_upload_bytes: int
    govuk_frontend: Path
    support_contact: str
    # None where nobody signs in.
    sign_in: SignInSettings | None
    uploads_per_person: RateLimitItem
    uploads_per_address: RateLimitItem
    behind_balancer: bool
    # The newest first. What they seal is worth something, so no representation shows them.
    session_keys: tuple[str, ...] = field(repr=False)

    @property
    def readable_account(self) -> str:
        """`kensington-and-chelsea` as a person writes it: Kensington and Chelsea."""
        words = re.split(r"[-_]+", self.account_name)
        return " ".join(word if word in _SMALL_WORDS else word[:1].upper() + word[1:] for word in words)

    @property
    def sign_in_origin(self) -> str:
        """Where the sign-in pages are; empty where nobody signs in."""
        return self.sign_in.domain_url if self.sign_in else ""


def read_settings(environment: Mapping[str, str]) -> Settings:
    account_name = _matching(environment, "ACCOUNT_NAME", _ACCOUNT_NAME, "the account's short name, such as camden")
    location = _matching(environment, "DATA_STORE_LOCATION", _LOCATION, "s3://<bucket>, such as s3://my-data-store")
    settings = Settings(
        account_name=account_name.group(),
        region=_required(environment, "AWS_REGION", "the region of the data store, such as eu-west-2"),
        bucket=location["bucket"],
        shared=_shared(environment),
        upload_endpoint_url=_endpoint(environment.get("UPLOAD_ENDPOINT_URL", "")),
        # Loopback unless told otherwise.
        bind_address=environment.get("BIND_ADDRESS") or "127.0.0.1",
        port=_number(environment, "PORT", 8080, 65535),
        max_upload_bytes=_number(environment, "MAX_UPLOAD_BYTES", 200 * _MEBIBYTE, _LARGEST_SINGLE_UPLOAD),
        govuk_frontend=Path(environment.get("GOVUK_FRONTEND_PATH") or "node_modules/govuk-frontend/dist/govuk"),
        support_contact=environment.get("SUPPORT_CONTACT") or "the people who run this service in your organisation",
        sign_in=_sign_in(environment),
        uploads_per_person=_rate(environment, "UPLOADS_PER_PERSON", "120/hour"),
        # Offices share an address.
        uploads_per_address=_rate(environment, "UPLOADS_PER_ADDRESS", "1200/hour"),
        behind_balancer=environment.get("FORWARDED_ALLOW_IPS") == "*",
        session_keys=_session_keys(environment),
    )
    if not (settings.govuk_frontend / "govuk-frontend.min.css").is_file():
        raise SettingsError(
            f"GOVUK_FRONTEND_PATH: no govuk-frontend.min.css in {settings.govuk_frontend.absolute()}. "
            "Run `npm ci --ignore-scripts` in the folder of the frontend, or name the folder dist/govuk of the package."
        )
    return settings


def _shared(environment: Mapping[str, str]) -> Place | None:
    if not environment.get("SHARED_LOCATION"):
        return None
    location = _matching(environment, "SHARED_LOCATION", _LOCATION, "s3://<bucket>, or leave it out")
    account = _matching(environment, "ACCOUNT_ID", _ACCOUNT_ID, "the account of the shared bucket, twelve digits")
    organisation = environment.get("ORGANISATION_ACCOUNT_ID", "")
    if organisation:
        _matching(environment, "ORGANISATION_ACCOUNT_ID", _ACCOUNT_ID, "the organisation's account, twelve digits")
    return Place(location["bucket"], account.group(), organisation)


def _sign_in(environment: Mapping[str, str]) -> SignInSettings | None:
    try:
        return read_sign_in(environment)
    except SignInSettingsError as error:
        raise SettingsError(str(error)) from error


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set. Set it to {meaning}.")
    return value


def _matching(environment: Mapping[str, str], name: str, pattern: re.Pattern[str], meaning: str) -> re.Match[str]:
    value = _required(environment, name, meaning)
    match = pattern.fullmatch(value)
    if match is None:
        raise SettingsError(f"{name} is {value!r}. Set it to {meaning}.")
    return match


def _number(environment: Mapping[str, str], name: str, default: int, largest: int) -> int:
    value = environment.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,12}", value) or not 1 <= int(value) <= largest:
        raise SettingsError(f"{name} is {value!r}. Set it to a whole number from 1 to {largest}.")
    return int(value)


def _rate(environment: Mapping[str, str], name: str, default: str) -> RateLimitItem:
    value = environment.get(name) or default
    try:
        return parse(value)
    except ValueError as error:
        raise SettingsError(
            f"{name} is {value!r}. Set it to a number of uploads per time, such as {default}."
        ) from error


def _session_keys(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Without a key, one of this process's own: no other task, and none after a restart, goes on with an upload."""
    keys = tuple(filter(None, (environment.get("SESSION_KEY"), environment.get("SESSION_KEY_PREVIOUS"))))
    if any(len(key) < _SHORTEST_KEY for key in keys):
        raise SettingsError(
            f"SESSION_KEY or SESSION_KEY_PREVIOUS has not even {_SHORTEST_KEY} characters. Let Secrets Manager make it."
        )
    return keys or (secrets.token_urlsafe(48),)


def _endpoint(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise SettingsError(f"UPLOAD_ENDPOINT_URL is {value!r}. Set it to scheme, host and port, without a path.")
    return f"{parts.scheme}://{parts.netloc}"
