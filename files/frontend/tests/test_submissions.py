# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of submissions, and what their signed requests may do."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from localgov_frontend.datasets import DATASETS
from localgov_frontend.submissions import Submission, find_submission, new_submission, presign_upload

_MOMENT = datetime(2026, 11, 21, 10, 15, 0, tzinfo=UTC)
_IDENTIFIER = "20261121t101500-6f1c9a20b7d44f0e"


def _policy(redirect: str | None = None) -> dict[str, Any]:
    config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    s3 = boto3.client("s3", region_name="eu-west-2", aws_access_key_id="id", aws_secret_access_key="key", config=config)
    submission, kind = Submission("ssda903", 2026, _IDENTIFIER), DATASETS["ssda903"].kinds[0]
    upload = presign_upload(s3, "bucket", submission, kind, 1000, redirect)
    assert upload.origin == "https://bucket.s3.eu-west-2.amazonaws.com"
    policy: dict[str, Any] = json.loads(base64.b64decode(upload.fields["policy"]))
    return policy


def test_a_new_submission_is_named_after_its_time_and_chance() -> None:
    first, second = (new_submission("ssda903", 2026, _MOMENT) for _ in range(2))
    assert first.identifier.startswith("20261121t101500-")
    assert first.identifier != second.identifier
    assert first.started_at == _MOMENT


def test_a_name_is_in_universal_time_whatever_the_clock_of_the_caller() -> None:
    assert new_submission("ssda903", 2026, _MOMENT.astimezone()).started_at == _MOMENT


def test_every_new_name_is_found_again() -> None:
    submission = new_submission("ssda903", 2026, _MOMENT)
    assert find_submission("ssda903", "2026", submission.identifier) == submission


@pytest.mark.parametrize(
    ("dataset", "year", "identifier"),
    [
        ("other", "2026", _IDENTIFIER),
        ("ssda903", "2016", _IDENTIFIER),
        ("ssda903", "2027", _IDENTIFIER),
        ("ssda903", "\uff12\uff10\uff12\uff16", _IDENTIFIER),
        ("ssda903", "2026", _IDENTIFIER.upper()),
        ("ssda903", "2026", _IDENTIFIER + "/.."),
        ("ssda903", "2026", _IDENTIFIER + "\n"),
        ("ssda903", "2026", "20261321t101500-6f1c9a20b7d44f0e"),
        ("ssda903", "2026", "a file name"),
    ],
)
def test_a_name_that_no_submission_can_have_is_not_found(dataset: str, year: str, identifier: str) -> None:
    assert find_submission(dataset, year, identifier) is None


def test_a_signed_request_holds_for_one_key_a_size_and_a_quarter_of_an_hour() -> None:
    before = datetime.now(UTC)
    policy = _policy()
    conditions = policy["conditions"]
    assert {"key": f"uploads/ssda903/2026/{_IDENTIFIER}.csv"} in conditions
    assert {"bucket": "bucket"} in conditions
    assert ["content-length-range", 1, 1000] in conditions
    assert {"success_action_status": "201"} in conditions
    lifetime = datetime.fromisoformat(policy["expiration"]) - before
    assert timedelta(minutes=14, seconds=58) < lifetime < timedelta(minutes=15, seconds=30)


def test_a_signed_form_returns_to_one_address_only() -> None:
    address = "https://upload.example/submissions/ssda903/2026/x"
    assert {"success_action_redirect": address} in _policy(address)["conditions"]
