# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of AWS accounts: one AssumeRole for each account and run, renewed before it expires."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from ansible_collections.localgov.platform.plugins.plugin_utils._redaction import redacted
from ansible_collections.localgov.platform.plugins.plugin_utils._run_cache import Entry, RunCache, SessionRefusedError

# botocore is imported where it is needed: each task runs in a fork of its own, and most find their session cached.
if TYPE_CHECKING:
    from ansible_collections.localgov.platform.plugins.plugin_utils._session_request import SessionRequest
    from botocore.credentials import ReadOnlyCredentials
    from botocore.session import Session as SourceSession

_Answer = TypeVar("_Answer")

_LONGEST_MARGIN_SECONDS = 300
_MARGIN_SHARE = 0.2
_LONGEST_REASON = 400

_ADVICE = {
    "AccessDenied": "Check that the role exists and that its trust policy admits you (aws sts get-caller-identity).",
    "ExpiredToken": "Your own session has ended: log in again.",
    "ExpiredTokenException": "Your own session has ended: log in again.",
    "InvalidClientTokenId": "Your own credentials are not valid: log in again.",
    "UnauthorizedSSOTokenError": "Log in again: aws sso login.",
    "SSOTokenLoadError": "Log in first: aws sso login.",
    "NoCredentials": "Log in (aws sso login), name a profile, or set the environment.",
}


class _Sts(Protocol):
    """What is asked of STS; botocore makes these methods at run time."""

    def assume_role(self, **parameters: str | int) -> dict[str, Any]: ...

    def get_caller_identity(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class AwsSession:
    """Credentials of one account. What is secret does not show in its representation."""

    account_id: str
    arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    issued_at: float = 0.0
    expires_at: float | None = None
    """None where the source renews it by itself, or it never ends."""
    source_region: str | None = None

    def lasts(self, seconds: float, now: float) -> bool:
        """Whether work of that length may begin with it.

        The margin is five minutes, less for a short session. Longer work than a session can bear is content with one
        that is almost new, or each fork would ask for another.
        """
        if self.expires_at is None:
            return True
        lifetime = self.expires_at - self.issued_at
        margin = min(_LONGEST_MARGIN_SECONDS, _MARGIN_SHARE * lifetime)
        return self.expires_at - now >= min(seconds + margin, lifetime - margin)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self.secret_access_key, self.session_token) if secret)


class SessionProvider:
    """Sessions on request, through the cache of the run."""

    def __init__(self, cache: RunCache, clock: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._clock = clock

    def session(self, request: SessionRequest, lasting: float = 0) -> AwsSession:
        """A session of the requested account, with which work of `lasting` seconds may begin.

        Raises SessionRefusedError.
        """
        if request.role is None:
            return self._own_session(request)

        def is_current(entry: Entry) -> bool:
            return AwsSession(**entry).lasts(lasting, self._clock())

        return AwsSession(**self._cache.entry(request.key, is_current, lambda: asdict(self._assumed_session(request))))

    def forget(self, request: SessionRequest) -> None:
        self._cache.forget(request.key)

    def _assumed_session(self, request: SessionRequest) -> AwsSession:
        source, credentials = self._source(request)
        region = request.region or source.get_config_variable("region")
        parameters: dict[str, str | int] = {
            "RoleArn": _role_arn(request, source, region),
            "RoleSessionName": request.session_name,
            "DurationSeconds": request.duration,
        }
        if request.external_id:
            parameters["ExternalId"] = request.external_id
        issued_at = self._clock()
        secrets = (credentials.secret_key, credentials.token, request.external_id)
        answer = _asked(request, lambda: _sts(request, source, region).assume_role(**parameters), secrets)
        arn = answer["AssumedRoleUser"]["Arn"]
        return AwsSession(
            account_id=_account_as_said(request, arn),
            arn=arn,
            access_key_id=answer["Credentials"]["AccessKeyId"],
            secret_access_key=answer["Credentials"]["SecretAccessKey"],
            session_token=answer["Credentials"]["SessionToken"],
            issued_at=issued_at,
            expires_at=answer["Credentials"]["Expiration"].timestamp(),
            source_region=source.get_config_variable("region"),
        )

    def _own_session(self, request: SessionRequest) -> AwsSession:
        """The caller's credentials stay where they are; the cache only remembers whose they turned out to be."""
        source, credentials = self._source(request)
        region = request.region or source.get_config_variable("region")
        secrets = (credentials.secret_key, credentials.token)

        def seek() -> Entry:
            identity = _asked(request, lambda: _sts(request, source, region).get_caller_identity(), secrets)
            _account_as_said(request, identity["Arn"])
            return {"arn": identity["Arn"], "access_key_id": credentials.access_key}

        identity = self._cache.entry(
            request.key, lambda entry: bool(entry["access_key_id"] == credentials.access_key), seek
        )
        return AwsSession(
            account_id=request.account_id,
            arn=identity["arn"],
            access_key_id=str(credentials.access_key),
            secret_access_key=str(credentials.secret_key),
            session_token=credentials.token,
            source_region=source.get_config_variable("region"),
        )

    def _source(self, request: SessionRequest) -> tuple[SourceSession, ReadOnlyCredentials]:
        """The operator's own session, by botocore's chain. Temporary credentials are fetched once for all forks."""
        import botocore.credentials
        import botocore.session
        from botocore.utils import JSONFileCache

        def resolve() -> tuple[SourceSession, ReadOnlyCredentials]:
            source = botocore.session.Session(profile=request.profile)
            for variable, value in (
                ("credentials_file", request.shared_credentials_file),
                ("config_file", request.config_file),
                ("ca_bundle", request.ca_bundle),
            ):
                if value:
                    source.set_config_variable(variable, value)
            # botocore keeps sessions of single sign-on and of profiles with a role there, for their owner only.
            files = JSONFileCache(working_dir=str(self._cache.directory))
            chain = botocore.credentials.create_credential_resolver(source, cache=cast("dict[str, Any]", files))
            source.register_component("credential_provider", chain)
            credentials = source.get_credentials()
            if credentials is None:
                raise botocore.exceptions.NoCredentialsError
            return source, credentials.get_frozen_credentials()

        with self._cache.lock(request.source_key):
            return _asked(request, resolve, ())


def _role_arn(request: SessionRequest, source: SourceSession, region: str | None) -> str:
    role = str(request.role)
    if role.startswith("arn:"):
        return role
    partition = source.get_partition_for_region(region) if region else "aws"
    return f"arn:{partition}:iam::{request.account_id}:role/{role}"


def _sts(request: SessionRequest, source: SourceSession, region: str | None) -> _Sts:
    from botocore.config import Config

    client = source.create_client(
        "sts",
        # Any region of the partition would do; this one is in the partition of roles without a region.
        region_name=region or "us-east-1",
        endpoint_url=request.endpoint_url,
        config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5}),
    )
    return cast("_Sts", client)


def _account_as_said(request: SessionRequest, arn: str) -> str:
    account_id = arn.split(":")[4]
    if account_id != request.account_id:
        raise SessionRefusedError(
            f"{request.label}: refused, because the session is one of account {account_id} ({arn}). "
            "Correct ansible_aws_account_id, or log in to the account that it names."
        )
    return account_id


def _asked(request: SessionRequest, question: Callable[[], _Answer], secrets: tuple[str | None, ...]) -> _Answer:
    """The answer, or SessionRefusedError with the account, the role and the reason in one line."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return question()
    except ClientError as error:
        code, reason = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    except BotoCoreError as error:
        code, reason = type(error).__name__.removesuffix("Error"), str(error)
    except (OSError, EOFError, ValueError) as error:
        # A source that asks a person (a one-time code), for instance: a fork of Ansible has no terminal.
        code, reason = type(error).__name__, str(error)
    # AWS answers a bad signature with the whole request in the lines that follow, security token included.
    reason = redacted(reason.strip().partition("\n")[0], tuple(secret for secret in secrets if secret))
    advice = _ADVICE.get(code, "")
    raise SessionRefusedError(f"{request.label}: {code}: {reason[:_LONGEST_REASON]} {advice}".strip()) from None
