# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudTrail's log files of requests on S3 objects: which there are for a period, and what each says.

A file is read as a stream, one at a time. Whatever is no log file, or is damaged, raises ``LogFileError`` and is the
caller's to report: an audit that leaves something out has to say so.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import IO, Any

# Inflated. CloudTrail's own files are far smaller; a larger one is not to exhaust the memory.
LARGEST = 256 * 1024 * 1024
# A file bears the day of its delivery, which is after the request; usually minutes, and hours when AWS catches up.
_LATEST_DELIVERY = timedelta(days=1)

_FILE_NAME = re.compile(r"\d{12}_CloudTrail_[a-z0-9-]+_\d{8}T\d{4}Z_[A-Za-z0-9]+\.json\.gz")
_ARN = "arn:aws:s3:::"


class LogFileError(Exception):
    """Why a file is no log file that can be read."""


class PeriodError(Exception):
    """Why a time or a period is none."""


@dataclass(frozen=True)
class Period:
    """From *since* up to, and without, *until*."""

    since: datetime
    until: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.since <= moment < self.until


@dataclass(frozen=True)
class Wanted:
    """Which records are asked for, and the names of principals that CloudTrail gives by their unique ids alone."""

    period: Period
    bucket: str | None = None
    account: str | None = None
    known_principals: dict[str, str] = field(default_factory=dict)


# --- Periods and files --------------------------------------------------------------------------------------------


def period(since: str, until: str | None, now: datetime) -> Period:
    """The period between two dates or times, UTC where they do not say. A date as *until* includes that day."""
    begin = _moment(since, "since")
    end = now if until is None else _moment(until, "until", end_of_day=True)
    if end <= begin:
        raise PeriodError(f"The period is empty: until ({until or 'now'}) must be later than since ({since}).")
    return Period(begin, end)


def _moment(text: str, name: str, *, end_of_day: bool = False) -> datetime:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = datetime.combine(date.fromisoformat(text), time(), UTC)
            return day + timedelta(days=1) if end_of_day else day
        moment = datetime.fromisoformat(text)
    except (OverflowError, ValueError):
        raise PeriodError(
            f"{name} is '{text}', which is neither a date such as 2026-11-01 nor a time such as 2026-11-01T09:30:00Z."
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def day_folders(wanted: Period) -> tuple[str, str]:
    """The first and the last folder, such as ``2026/11/01``, whose files may hold records of the period."""
    begin, end = wanted.since, min(wanted.until, datetime.max.replace(tzinfo=UTC) - _LATEST_DELIVERY)
    return begin.strftime("%Y/%m/%d"), (end + _LATEST_DELIVERY).strftime("%Y/%m/%d")


def list_files(client: Any, bucket: str, folder: str, wanted: Period) -> Iterator[str]:  # noqa: ANN401 - a boto3 client
    """The keys below *folder*, ``.../CloudTrail/``, that may hold records of the period: region by region, by day."""
    pages = client.get_paginator("list_objects_v2")
    first, last = day_folders(wanted)
    for page in pages.paginate(Bucket=bucket, Prefix=folder, Delimiter="/"):
        for region in [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]:
            yield from _until(last, region, pages.paginate(Bucket=bucket, Prefix=region, StartAfter=region + first))


def _until(last: str, region: str, pages: Iterable[dict[str, Any]]) -> Iterator[str]:
    for page in pages:
        for entry in page.get("Contents", []):
            # Keys come in the order of their days, so that nothing after this one is of interest.
            if entry["Key"][len(region) :][: len(last)] > last:
                return
            yield entry["Key"]


def read_file(key: str, body: IO[bytes]) -> list[dict[str, Any]]:
    """The records of a log file."""
    if not _FILE_NAME.fullmatch(key.rpartition("/")[2]):
        raise LogFileError("its name is not that of a log file")
    try:
        with gzip.GzipFile(fileobj=body) as inflated:
            content = inflated.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise LogFileError(f"it holds more than {LARGEST} bytes")
        document = json.loads(content)
    except (gzip.BadGzipFile, EOFError, ValueError, RecursionError, zlib.error) as reason:
        raise LogFileError(f"it is damaged ({type(reason).__name__}: {reason})") from None
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list):
        raise LogFileError("it holds no list of records")
    return records


# --- Records ------------------------------------------------------------------------------------------------------


def accesses(records: Iterable[dict[str, Any]], wanted: Wanted) -> tuple[list[dict[str, Any]], list[str]]:
    """The requests on objects among the records that are wanted, as the module returns them; and what is malformed."""
    found, malformed = [], []
    for record in records:
        try:
            access = _access(record, wanted)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as reason:
            malformed.append(f"a record in it is malformed ({type(reason).__name__}: {reason})")
            continue
        if access is not None:
            found.append(access)
    return found, malformed


def _access(record: dict[str, Any], wanted: Wanted) -> dict[str, Any] | None:
    if record.get("eventSource") != "s3.amazonaws.com" or record.get("eventCategory", "Data") != "Data":
        return None
    moment = datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    target = _target(record, wanted.bucket)
    identity = record.get("userIdentity") or {}
    account = str(identity.get("accountId") or "")
    if moment not in wanted.period or target is None or wanted.account not in (None, account):
        return None
    error = record.get("errorCode")
    # With an error, CloudTrail counts the bytes of its message.
    size = 0 if error else (record.get("additionalEventData") or {}).get("bytesTransferredOut")
    return {
        "time": record["eventTime"],
        "principal": _principal(identity, wanted.known_principals),
        "principal_id": _unique_id(identity),
        "principal_account": account,
        "session": (identity.get("principalId") or "").partition(":")[2],
        "action": record["eventName"],
        "bucket": target[0],
        "key": target[1],
        "version_id": (record.get("requestParameters") or {}).get("versionId"),
        "bytes": int(size or 0),
        "outcome": error or "allowed",
        "source_ip": record.get("sourceIPAddress", ""),
        "event_id": record["eventID"],
    }


def _target(record: dict[str, Any], bucket: str | None) -> tuple[str, str] | None:
    """Bucket and key of the object, or of the listing's prefix. Of a copy's two objects the one in *bucket*."""
    arns = [entry.get("ARN") or entry.get("ARNPrefix") for entry in record.get("resources") or [] if _is_object(entry)]
    targets = [tuple(arn.removeprefix(_ARN).split("/", 1)) for arn in arns if arn and "/" in arn]
    asked = record.get("requestParameters") or {}
    if not targets and "bucketName" in asked:
        targets = [(asked["bucketName"], asked.get("key") or asked.get("prefix") or "")]
    return next(((name, key) for name, key in targets if bucket in (None, name)), None)


def _is_object(resource: dict[str, Any]) -> bool:
    return resource.get("type") == "AWS::S3::Object"


def _principal(identity: dict[str, Any], known: dict[str, str]) -> str:
    """The ARN of the role or user; where CloudTrail withholds it, what is known by its unique id, or that id."""
    issuer = (identity.get("sessionContext") or {}).get("sessionIssuer") or {}
    named = issuer.get("arn") or identity.get("arn") or known.get(_unique_id(identity))
    return str(named or _unique_id(identity) or identity.get("invokedBy") or identity.get("accountId") or "unknown")


def _unique_id(identity: dict[str, Any]) -> str:
    return str((identity.get("principalId") or "").partition(":")[0])
