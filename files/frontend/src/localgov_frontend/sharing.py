# SPDX-License-Identifier: GPL-3.0-or-later
"""With whom the account's shared bucket is shared, by the bucket's own policy, and what its authority has decided.

It errs on the safe side: what is not understood of a statement limits nobody, and statements that refuse count for
nothing. So somebody may be named who cannot read, and nobody whom the policy lets in is left out. Access control lists,
which the role `shared_bucket` switches off, are not asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The statements that a share is made of. Others of like names are not taken away when it is revoked.
_SHARED_BY = frozenset({"OrganisationPipelineList", "OrganisationPipelineRead", "OrganisationCodeServerList"})
# By these alone nothing is read but names.
_TELL_NAMES = frozenset({"s3:listbucket", "s3:listbucketversions"})
_WHOLE_BUCKET = ("*",)

Statement = dict[str, Any]


class PolicyUnreadableError(Exception):
    """The bucket's policy is not of a shape that anything can be said of."""


@dataclass(frozen=True)
class Place:
    """The shared bucket, whose account it is, and which account the organisation's is, if that is known."""

    bucket: str
    account: str
    organisation: str


@dataclass(frozen=True)
class Reader:
    """Somebody outside the account who is let in. `keys` are patterns of objects, such as `ssda903/*`."""

    who: str
    keys: tuple[str, ...]
    until: datetime | None
    # By the share itself, and not by a statement that somebody else put beside it.
    by_share: bool

    def reaches(self, folder: str) -> bool:
        """Whether anything in the folder may be meant; what comes after a wildcard is not weighed."""
        beginnings = [re.split(r"[*?$]", key)[0] for key in self.keys]
        return any(beginning.startswith(folder) or folder.startswith(beginning) for beginning in beginnings)


@dataclass(frozen=True)
class Audience:
    """Of one folder, at one moment. `ended_at`: when the share came to its end by itself, if it lets nobody in."""

    read: tuple[Reader, ...]
    see_names: tuple[Reader, ...]
    ended_at: datetime | None


@dataclass(frozen=True)
class Sharing:
    """`decided` is what the authority itself decided last, `granted` or `revoked`; empty if it never has."""

    readers: tuple[Reader, ...]
    listers: tuple[Reader, ...]
    decided: str
    decided_at: datetime | None

    def audience(self, folder: str, now: datetime) -> Audience:
        reached = [reader for reader in self.readers if reader.reaches(folder)]
        read = tuple(reader for reader in reached if _lasts(reader, now))
        names = {reader.who for reader in read}
        see_names = tuple(
            lister
            for lister in self.listers
            if lister.reaches(folder) and _lasts(lister, now) and lister.who not in names
        )
        ends = [reader.until for reader in reached if reader.by_share and reader.until]
        return Audience(read, see_names, max(ends) if ends and not read else None)

    def is_closed(self, folders: Iterable[str], now: datetime) -> bool:
        """Whether nobody outside reads anything in the folders."""
        return not any(self.audience(folder, now).read for folder in folders)


def _lasts(reader: Reader, now: datetime) -> bool:
    return reader.until is None or now < reader.until


def read_sharing(s3: S3Client, place: Place) -> Sharing:
    try:
        policy = s3.get_bucket_policy(Bucket=place.bucket)["Policy"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
            raise
        policy = ""
    try:
        tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=place.bucket)["TagSet"]}
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchTagSet":
            raise
        tags = {}
    return sharing_of(policy, tags, place)


def sharing_of(policy: str, tags: dict[str, str], place: Place) -> Sharing:
    """From a policy as S3 returns it, empty where there is none, and the bucket's tags."""
    readers: list[Reader] = []
    listers: list[Reader] = []
    try:
        for statement in _statements(policy):
            if statement.get("Effect") != "Deny":
                sees = listers if _tells_names_only(statement) else readers
                sees += _let_in(statement, place)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PolicyUnreadableError(f"{type(error).__name__}: {error}") from error
    decided = tags.get("share", "")
    return Sharing(
        tuple(dict.fromkeys(readers)), tuple(dict.fromkeys(listers)), decided, _moment(tags.get("share-since"))
    )


def _statements(policy: str) -> list[Statement]:
    if not policy:
        return []
    found = json.loads(policy, object_pairs_hook=_once)["Statement"]
    return [found] if isinstance(found, dict) else found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice Python takes the last, and S3 might mean the first."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands in it twice")
    return dict(pairs)


def _let_in(statement: Statement, place: Place) -> Iterator[Reader]:
    by_share = statement.get("Sid") in _SHARED_BY
    keys, until = _keys(statement, place.bucket), _until(statement)
    for who in _outsiders(statement, place):
        yield Reader(who, keys, until, by_share)


# --- Who ---


def _outsiders(statement: Statement, place: Place) -> Iterator[str]:
    """In words. A service of AWS may hand on what it reads to anybody, as one that delivers web pages does."""
    for kind, name in _principals(statement):
        account = _account_of(name) if kind == "AWS" else None
        if account:
            accounts = [account]
        elif (kind, name) == ("AWS", "*"):
            accounts = _accounts_by_condition(statement)
        elif kind == "Service" and re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", name):
            yield f"The AWS service {name}"
            continue
        else:
            yield f"Somebody unknown ({kind} {name})"
            continue
        yield from (_named(one, place) for one in accounts if one != place.account)
        if not accounts:
            yield _anybody(statement)


def _principals(statement: Statement) -> Iterator[tuple[str, str]]:
    principal = statement.get("Principal")
    if isinstance(principal, dict) and principal:
        yield from ((kind, str(name)) for kind, names in principal.items() for name in _each(names))
    else:
        # Also where it is missing, or says whom it does not mean.
        yield "AWS", "*"


def _account_of(name: object) -> str | None:
    """None of a pattern that fits roles of several accounts."""
    match = re.fullmatch(r"(?:arn:aws[a-z-]*:(?:iam|sts)::)?([0-9]{12})(?::.+)?", str(name), re.DOTALL)
    return match and match[1]


def _accounts_by_condition(statement: Statement) -> list[str]:
    """Empty where the conditions leave open of which account somebody is."""
    for key in ("aws:principalarn", "aws:principalaccount"):
        for operator in ("ArnEquals", "ArnLike", "StringEquals", "StringLike"):
            accounts = [_account_of(value) for value in _tested(statement, operator, key)]
            if accounts and None not in accounts:
                return [account for account in accounts if account]
    return []


def _anybody(statement: Statement) -> str:
    organisations = _tested(statement, "StringEquals", "aws:principalorgid")
    return f"Any account of the organisation {' or '.join(map(str, organisations))}" if organisations else "Everybody"


def _named(account: str, place: Place) -> str:
    return f"The organisation (account {account})" if account == place.organisation else f"Account {account}"


# --- What, and until when ---


def _tells_names_only(statement: Statement) -> bool:
    actions = {str(action).lower() for action in _each(statement.get("Action"))}
    return bool(actions) and actions <= _TELL_NAMES


def _keys(statement: Statement, bucket: str) -> tuple[str, ...]:
    if _tells_names_only(statement):
        asked = [*_tested(statement, "StringLike", "s3:prefix"), *_tested(statement, "StringEquals", "s3:prefix")]
        return tuple(map(str, asked)) or _WHOLE_BUCKET
    own = rf"arn:aws[a-z-]*:s3:::{re.escape(bucket)}/(.+)"
    matches = [re.fullmatch(own, str(each), re.DOTALL) for each in _each(statement.get("Resource"))]
    return tuple(match[1] if match else "*" for match in matches) or _WHOLE_BUCKET


def _until(statement: Statement) -> datetime | None:
    """Of several ends the last, as any of them would do."""
    ends = [_moment(value) for value in _tested(statement, "DateLessThan", "aws:currenttime")]
    return None if None in ends else max(filter(None, ends), default=None)


def _tested(statement: Statement, operator: str, key: str) -> list[Any]:
    """What a condition wants of a key, one of these; the names of keys may be written in any case."""
    tests = statement.get("Condition", {}).get(operator, {})
    return [value for name, values in tests.items() if name.lower() == key for value in _each(values)]


def _each(found: Any) -> list[Any]:  # noqa: ANN401 - policies have one value, or a list
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _moment(text: object) -> datetime | None:
    """None where there is none, or none that is known to the second and with its zone."""
    try:
        moment = datetime.fromisoformat(str(text))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
