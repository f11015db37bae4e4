# SPDX-License-Identifier: GPL-3.0-or-later
"""A large file, in parts, through a deployed frontend: what its role, the bucket's policy and its rules let through.

The page that sends it, and a network that is cut, are tried in `files/frontend/tests`.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
import requests

from sandbox import sessions
from sandbox.journey import person
from sandbox.journey.organisation import Organisation, Principal
from sandbox.journey.person import Submission, wait_for_result
from sandbox.settings import Settings

FRONTEND = Principal("sutton", "localgov-frontend-task")
# Large enough for two parts, and of no known table, so that nobody has to read it for long.
CONTENT = b"this,is,no,return\n" + b"1,2,3,4\n" * (9 * 1024 * 1024 // 8)


@pytest.fixture(scope="module")
def frontend(organisation: Organisation) -> str:
    return organisation.frontend("sutton")


def ask(frontend: str, path: str, **sent: object) -> dict[str, Any]:
    answer = person.ask(frontend, path, sent)
    assert answer.ok, answer.text
    body: dict[str, Any] = answer.json()
    return body


def begin(frontend: str) -> dict[str, Any]:
    return ask(frontend, "/submissions", dataset="ssda903", year=2026, size=len(CONTENT), kind="csv")


def send_part(frontend: str, begun: dict[str, Any], number: int) -> requests.Response:
    size = begun["part_bytes"]
    content = CONTENT[(number - 1) * size : number * size]
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    signed = ask(frontend, "/uploads/sign", upload=begun["upload"], number=number, sha256=checksum)
    return requests.put(signed["url"], data=content, headers={**signed["headers"], "Origin": frontend}, timeout=30)


def test_a_file_in_parts_reaches_the_pipeline_once_it_is_whole(organisation: Organisation, frontend: str) -> None:
    begun = begin(frontend)
    for number in (1, 2):
        sent = send_part(frontend, begun, number)
        assert (sent.status_code, sent.headers["Access-Control-Allow-Origin"]) == (200, frontend), sent.text
    complete = ask(frontend, "/uploads/complete", upload=begun["upload"])
    assert complete["version_id"]
    submission = Submission(begun["submission"], "ssda903", 2026, frontend, frontend + begun["follow"])
    assert wait_for_result(submission) == "rejected"
    report = organisation.report("sutton", submission.results_prefix)
    assert report["version_id"] == complete["version_id"]
    assert "column" in report["errors"]["shown"][0]["reason"]


def test_an_upload_may_be_given_up_and_its_parts_are_gone(frontend: str) -> None:
    begun = begin(frontend)
    assert send_part(frontend, begun, 2).status_code == 200
    assert [part["number"] for part in ask(frontend, "/uploads/parts", upload=begun["upload"])["parts"]] == [2]
    ask(frontend, "/uploads/cancel", upload=begun["upload"])
    answer = person.ask(frontend, "/uploads/parts", {"upload": begun["upload"]})
    assert answer.status_code == 410


def test_the_frontend_may_begin_uploads_nowhere_else(organisation: Organisation) -> None:
    for location, key in (("data-store", "results/x"), ("workspace", "x"), ("shared", "x")):
        bucket = organisation.bucket("sutton", location)
        assert organisation.refusal(FRONTEND, "create_multipart_upload", Bucket=bucket, Key=key)
    store = organisation.bucket("sutton", "data-store")
    assert organisation.refusal(FRONTEND, "list_multipart_uploads", Bucket=store)


def test_uploads_that_nobody_finishes_end_by_themselves(settings: Settings, organisation: Organisation) -> None:
    s3 = sessions.client_of_root(settings, "sutton", "s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=organisation.bucket("sutton", "data-store"))["Rules"]
    (rule,) = [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]
    assert (rule["Status"], rule["Filter"]["Prefix"]) == ("Enabled", "uploads/")
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
