# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  records are any JSON
"""What CloudTrail's log files say: of whom, of what, of when; and what is none."""

from __future__ import annotations

import gzip
import io
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _cloudtrail_logs as logs

NOW = datetime(2026, 11, 21, 22, 0, tzinfo=timezone.utc)  # noqa: UP017 - as in the module
SHARED, HUB, CAMDEN = "localgov-012345670123-shared", "200000000001", "012345670123"
ROLE, ROLE_ID = f"arn:aws:iam::{HUB}:role/localgov-run-task", "AROAQRSTUVWXYZEXAMPLE"
NAME = "012345670123_CloudTrail_eu-west-2_20261121T2208Z_Mu0KsOhtH1ar15ZZ.json.gz"

ASSUMED: dict[str, Any] = {
    "type": "AssumedRole",
    "principalId": f"{ROLE_ID}:0123456789abcdef",
    "arn": f"arn:aws:sts::{HUB}:assumed-role/localgov-run-task/0123456789abcdef",
    "accountId": HUB,
    "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE, "accountId": HUB}},
}
# As CloudTrail may name a caller from another account to the owner of the bucket.
WITHHELD = {"type": "AWSAccount", "principalId": f"{ROLE_ID}:0123456789abcdef", "accountId": HUB}
USER = {
    "type": "IAMUser",
    "principalId": "AIDAQRSTUVWXYZEXAMPLE",
    "arn": f"arn:aws:iam::{CAMDEN}:user/maria",
    "accountId": CAMDEN,
}
ROOT = {"type": "Root", "principalId": CAMDEN, "arn": f"arn:aws:iam::{CAMDEN}:root", "accountId": CAMDEN}
ANONYMOUS = {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
SERVICE = {"type": "AWSService", "invokedBy": "config.amazonaws.com"}


def objects(*arns: str) -> list[dict[str, str]]:
    return [*({"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::{arn}"} for arn in arns), {"type": "AWS::S3::Bucket"}]


def record(**changes: Any) -> dict[str, Any]:
    return {
        "userIdentity": ASSUMED,
        "eventTime": "2026-11-21T10:15:31Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "sourceIPAddress": "192.0.2.10",
        "requestParameters": {"bucketName": SHARED, "key": "ssda903/2026/header/a.csv"},
        "additionalEventData": {"bytesTransferredOut": 2048.0},
        "eventID": "e1",
        "resources": objects(f"{SHARED}/ssda903/2026/header/a.csv"),
        "eventCategory": "Data",
        **changes,
    }


def wanted(since: str = "2026-11-01", until: str | None = None, **changes: Any) -> logs.Wanted:
    return logs.Wanted(logs.period(since, until, NOW), **changes)


def told(changes: dict[str, Any], **asked: Any) -> dict[str, Any] | None:
    """What is told of a record; None when it is left out."""
    found, malformed = logs.accesses([record(**changes)], wanted(**asked))
    assert malformed == []
    return found[0] if found else None


# --- Records ---


def test_a_read_is_told_with_role_file_and_time() -> None:
    assert told({}) == {
        "time": "2026-11-21T10:15:31Z",
        "principal": ROLE,
        "principal_id": ROLE_ID,
        "principal_account": HUB,
        "session": "0123456789abcdef",
        "action": "GetObject",
        "bucket": SHARED,
        "key": "ssda903/2026/header/a.csv",
        "version_id": None,
        "bytes": 2048,
        "outcome": "allowed",
        "source_ip": "192.0.2.10",
        "event_id": "e1",
    }


@pytest.mark.parametrize(
    ("identity", "principal", "account", "session"),
    [
        (ASSUMED, ROLE, HUB, "0123456789abcdef"),
        (WITHHELD, ROLE_ID, HUB, "0123456789abcdef"),
        (USER, f"arn:aws:iam::{CAMDEN}:user/maria", CAMDEN, ""),
        (ROOT, f"arn:aws:iam::{CAMDEN}:root", CAMDEN, ""),
        (ANONYMOUS, "anonymous", "anonymous", ""),
        (SERVICE, "config.amazonaws.com", "", ""),
        ({"type": "AWSAccount", "principalId": None, "accountId": HUB}, HUB, HUB, ""),
        ({}, "unknown", "", ""),
        (None, "unknown", "", ""),
    ],
)
def test_every_kind_of_caller_has_a_name(identity: Any, principal: str, account: str, session: str) -> None:
    access = told({"userIdentity": identity})
    assert access
    assert (access["principal"], access["principal_account"], access["session"]) == (principal, account, session)


def test_a_caller_whose_name_is_withheld_is_known_by_the_unique_id() -> None:
    access = told({"userIdentity": WITHHELD}, known_principals={ROLE_ID: ROLE})
    assert access
    assert access["principal"] == ROLE


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"resources": objects(f"{SHARED}/a/b c+d%2F.csv")}, (SHARED, "a/b c+d%2F.csv")),
        # A listing: what the names begin with.
        (
            {
                "eventName": "ListObjects",
                "resources": [{"type": "AWS::S3::Object", "ARNPrefix": f"arn:aws:s3:::{SHARED}/a"}],
            },
            (SHARED, "a"),
        ),
        ({"resources": None}, (SHARED, "ssda903/2026/header/a.csv")),
        ({"resources": [], "requestParameters": {"bucketName": SHARED, "prefix": "b/"}}, (SHARED, "b/")),
        # A copy: the object that it was made from.
        ({"eventName": "CopyObject", "resources": objects("elsewhere/copy.csv", f"{SHARED}/a.csv")}, (SHARED, "a.csv")),
    ],
)
def test_the_object_is_the_one_in_the_bucket_that_is_asked_about(
    changes: dict[str, Any], target: tuple[str, str]
) -> None:
    access = told(changes, bucket=SHARED)
    assert access
    assert (access["bucket"], access["key"]) == target


def test_a_refusal_is_told_with_its_code_and_without_the_bytes_of_its_message() -> None:
    access = told({"errorCode": "AccessDenied", "additionalEventData": {"bytesTransferredOut": 318}})
    assert access
    assert (access["outcome"], access["bytes"]) == ("AccessDenied", 0)


def test_a_version_that_was_asked_for_is_told() -> None:
    access = told({"requestParameters": {"bucketName": SHARED, "key": "a", "versionId": "v1"}})
    assert access
    assert access["version_id"] == "v1"


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, {"bucket": "localgov-012345670123"}),  # only the whole name is the bucket
        ({}, {"account": CAMDEN}),
        ({}, {"since": "2026-11-22", "until": "2026-11-23"}),
        ({}, {"until": "2026-11-20"}),
        ({}, {"since": "2026-11-21T10:15:32Z"}),
        ({}, {"until": "2026-11-21T10:15:31Z"}),
        ({"eventSource": "kms.amazonaws.com"}, {}),
        ({"eventCategory": "Management"}, {}),
        ({"resources": [], "requestParameters": None}, {}),
    ],
)
def test_what_is_not_asked_for_is_left_out(changes: dict[str, Any], asked: dict[str, Any]) -> None:
    assert told(changes, **asked) is None


@pytest.mark.parametrize("asked", [{"until": "2026-11-21"}, {"since": "2026-11-21T11:15:31+01:00"}, {"account": HUB}])
def test_what_is_asked_for_is_told(asked: dict[str, Any]) -> None:
    assert told({}, **asked)


@pytest.mark.parametrize(
    "changes",
    [
        {"eventTime": "yesterday"},
        {"eventTime": None},
        {"eventID": ...},
        {"userIdentity": "maria"},
        {"resources": ["arn"]},
        {"additionalEventData": {"bytesTransferredOut": "many"}},
    ],
)
def test_a_malformed_record_is_reported_and_the_others_are_told(changes: dict[str, Any]) -> None:
    broken = {name: value for name, value in record(**changes).items() if value is not ...}
    found, malformed = logs.accesses([broken, record(eventID="e2")], wanted())
    assert [access["event_id"] for access in found] == ["e2"]
    assert len(malformed) == 1
    assert "malformed" in malformed[0]


# --- Files ---


def packed(document: Any) -> bytes:
    return gzip.compress(document if isinstance(document, bytes) else json.dumps(document).encode())


def test_the_records_of_a_file_are_read() -> None:
    assert logs.read_file(f"AWSLogs/{NAME}", io.BytesIO(packed({"Records": [record()]}))) == [record()]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.txt", b"", "name"),
        (NAME.replace("CloudTrail", "CloudTrail-Insight"), b"", "name"),
        (NAME.replace(".gz", ""), b"", "name"),
        (NAME, b"not packed", "damaged"),
        (NAME, b"", "damaged"),
        (NAME, packed({"Records": []})[:-9], "damaged"),
        (NAME, packed(b"{"), "damaged"),
        (NAME, packed(b"\xff"), "damaged"),
        (NAME, packed(b"[" * 100_000), "damaged"),
        (NAME, packed([]), "no list of records"),
        (NAME, packed({"Records": {}}), "no list of records"),
    ],
)
def test_what_is_no_log_file_says_why(name: str, content: bytes, reason: str) -> None:
    with pytest.raises(logs.LogFileError, match=reason):
        logs.read_file(f"AWSLogs/x/{name}", io.BytesIO(content))


def test_a_file_that_inflates_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST", 1000)
    with pytest.raises(logs.LogFileError, match="more than 1000 bytes"):
        logs.read_file(NAME, io.BytesIO(packed(b" " * 1001)))


# --- Periods ---


@pytest.mark.parametrize(
    ("since", "until", "begin", "end"),
    [
        ("2026-11-01", "2026-11-30", "2026-11-01T00:00:00+00:00", "2026-12-01T00:00:00+00:00"),
        ("2026-11-01", None, "2026-11-01T00:00:00+00:00", "2026-11-21T22:00:00+00:00"),
        ("2026-11-01T09:30", "2026-11-01T10:30Z", "2026-11-01T09:30:00+00:00", "2026-11-01T10:30:00+00:00"),
        ("2026-11-01T00:00:00+01:00", "2026-11-01", "2026-10-31T23:00:00+00:00", "2026-11-02T00:00:00+00:00"),
    ],
)
def test_a_period_is_of_dates_or_times(since: str, until: str | None, begin: str, end: str) -> None:
    period = logs.period(since, until, NOW)
    assert (period.since.isoformat(), period.until.isoformat()) == (begin, end)


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        ("November", None, "since is 'November'"),
        ("2026-11-31", None, "since is '2026-11-31'"),
        ("2026-11-01", "", "until is ''"),
        ("2026-11-02", "2026-11-01", "empty"),
        ("2027-01-01", None, "empty"),
        ("2026-11-01", "9999-12-31", "until is '9999-12-31'"),
    ],
)
def test_a_time_that_is_none_is_named(since: str, until: str | None, reason: str) -> None:
    with pytest.raises(logs.PeriodError, match=reason):
        logs.period(since, until, NOW)


@pytest.mark.parametrize(
    ("since", "until", "folders"),
    [
        # A file that is delivered after midnight may tell of the day before.
        ("2026-11-01", "2026-11-30", ("2026/11/01", "2026/12/02")),
        ("2026-11-21T23:59", "2026-12-31T23:59", ("2026/11/21", "2027/01/01")),
        ("2026-11-01", "9999-12-31T00:00", ("2026/11/01", "9999/12/31")),
    ],
)
def test_the_folders_of_a_period_are_those_of_its_days_and_of_the_day_after(
    since: str, until: str, folders: tuple[str, str]
) -> None:
    assert logs.day_folders(logs.period(since, until, NOW)) == folders


class Pages:
    """A bucket of keys behind S3's listing, two to a page."""

    def __init__(self, *keys: str) -> None:
        self.keys, self.listed = sorted(keys), 0

    def get_paginator(self, operation: str) -> Pages:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Prefix: str, Bucket: str, Delimiter: str = "", StartAfter: str = "") -> Any:  # noqa: N803
        assert Bucket == "logs"
        keys = [key for key in self.keys if key.startswith(Prefix) and key > StartAfter]
        if Delimiter:
            regions = sorted({key[len(Prefix) :].split("/")[0] for key in keys if "/" in key[len(Prefix) :]})
            yield {"CommonPrefixes": [{"Prefix": f"{Prefix}{region}/"} for region in regions]}
            return
        for at in range(0, len(keys), 2):
            self.listed += 1
            yield {"Contents": [{"Key": key} for key in keys[at : at + 2]]}


def test_only_the_days_of_the_period_are_listed_in_every_region() -> None:
    days = [f"2026/11/{day:02d}" for day in range(1, 31)]
    bucket = Pages(
        *(f"AWSLogs/1/CloudTrail/{region}/{day}/file" for region in ("eu-west-1", "eu-west-2") for day in days)
    )
    period = logs.period("2026-11-10", "2026-11-11", NOW)
    found = list(logs.list_files(bucket, "logs", "AWSLogs/1/CloudTrail/", period))
    expected = ["10", "11", "12", "13"]
    assert found == [
        f"AWSLogs/1/CloudTrail/{region}/2026/11/{day}/file" for region in ("eu-west-1", "eu-west-2") for day in expected
    ]
    assert bucket.listed == 6  # and not the days after: two keys to a page, three pages for a region


def test_an_empty_bucket_lists_nothing() -> None:
    assert list(logs.list_files(Pages(), "logs", "AWSLogs/1/CloudTrail/", wanted().period)) == []
