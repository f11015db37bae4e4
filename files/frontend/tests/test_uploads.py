# SPDX-License-Identifier: GPL-3.0-or-later
"""An upload in parts over HTTP: who may go on with it, what S3 takes, and when there is an object."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from account import BUCKET, Account
from botocore.exceptions import ClientError
from conftest import Frontend, running_frontend
from localgov_frontend.datasets import DATASETS
from localgov_frontend.handles import HANDLE_LIFETIME, Handles
from localgov_frontend.multipart import PART_BYTES, Upload
from localgov_frontend.submissions import Submission, find_submission

_SIZE = 2 * PART_BYTES + 7
_CONTENT = b"CHILD\n" + b"1" * (_SIZE - 6)
_SESSION_KEY = secrets.token_hex(32)
_CHOICE = {"dataset": "ssda903", "year": "2026"}


@pytest.fixture(scope="module")
def environment(settings: dict[str, str]) -> dict[str, str]:
    return {**settings, "MAX_UPLOAD_BYTES": str(_SIZE), "SESSION_KEY": _SESSION_KEY}


@pytest.fixture(scope="module")
def service(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    with running_frontend(environment, tmp_path_factory.mktemp("uploads") / "log") as running:
        yield running


@pytest.fixture
def http(service: Frontend, data_store: Account) -> httpx.Client:
    return service.http


def begin(http: httpx.Client, **declared: object) -> httpx.Response:
    return http.post("/submissions", json={**_CHOICE, "size": _SIZE, **declared})


def part(number: int) -> bytes:
    return _CONTENT[(number - 1) * PART_BYTES : number * PART_BYTES]


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def sign(http: httpx.Client, handle: str, number: int, content: bytes) -> dict[str, Any]:
    answer = http.post("/uploads/sign", json={"upload": handle, "number": number, "sha256": sha256(content)})
    assert answer.status_code == 200, answer.text
    signed: dict[str, Any] = answer.json()
    return signed


def send_part(http: httpx.Client, handle: str, number: int) -> httpx.Response:
    signed = sign(http, handle, number, part(number))
    return httpx.put(signed["url"], content=part(number), headers=signed["headers"])


def test_what_arrived_is_put_together_once_and_only_when_it_is_whole(http: httpx.Client, data_store: Account) -> None:
    begun = begin(http).json()
    handle = {"upload": begun["upload"]}
    for number in (3, 1):
        assert send_part(http, begun["upload"], number).status_code == 200
    arrived = http.post("/uploads/parts", json=handle).json()["parts"]
    assert arrived == [{"number": number, "sha256": sha256(part(number))} for number in (1, 3)]
    early = http.post("/uploads/complete", json=handle)
    assert (early.status_code, "1 of 3 parts have not arrived" in early.text) == (409, True)
    assert data_store.uploads() == {}
    assert send_part(http, begun["upload"], 2).status_code == 200
    complete = http.post("/uploads/complete", json=handle)
    assert (complete.status_code, complete.json()["submission"]) == (200, begun["submission"])
    key = f"uploads/ssda903/2026/{begun['submission']}.csv"
    assert data_store.uploads() == {key: _CONTENT}
    assert data_store.s3.head_object(Bucket=BUCKET, Key=key)["ContentType"] == "text/csv"
    assert http.post("/uploads/complete", json=handle).status_code == 410


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(part(3) + b"1", "longer", id="more bytes than declared"),
        pytest.param(part(3)[1:], "shorter", id="fewer bytes"),
        pytest.param(b"2" * len(part(3)), "other", id="other bytes"),
    ],
)
def test_a_signed_part_takes_no_other_bytes(
    http: httpx.Client, data_store: Account, content: bytes, reason: str
) -> None:
    handle = begin(http).json()["upload"]
    signed = sign(http, handle, 3, part(3))
    assert httpx.put(signed["url"], content=content, headers=signed["headers"]).status_code in {400, 403}, reason
    assert httpx.put(signed["url"], content=content, headers={"x-amz-checksum-sha256": sha256(content)}).is_error
    assert http.post("/uploads/parts", json={"upload": handle}).json() == {"parts": []}


@pytest.mark.parametrize("change", [{"number": 0}, {"number": 4}, {"number": "1"}, {"number": True}, {"sha256": "x"}])
def test_what_is_no_part_of_the_upload_is_not_signed(http: httpx.Client, change: dict[str, object]) -> None:
    errand = {"upload": begin(http).json()["upload"], "number": 1, "sha256": sha256(b""), **change}
    assert http.post("/uploads/sign", json=errand).status_code == 400


def test_a_cancelled_upload_leaves_nothing(http: httpx.Client, data_store: Account) -> None:
    handle = begin(http).json()["upload"]
    assert send_part(http, handle, 1).status_code == 200
    assert data_store.s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert http.post("/uploads/cancel", json={"upload": handle}).status_code == 200
    assert "Uploads" not in data_store.s3.list_multipart_uploads(Bucket=BUCKET)
    for errand in ("parts", "complete", "cancel"):
        assert http.post(f"/uploads/{errand}", json={"upload": handle}).status_code == 410


def test_an_upload_larger_than_is_permitted_is_not_begun(http: httpx.Client) -> None:
    answer = begin(http, size=_SIZE + 1)
    assert (answer.status_code, "must be no larger than 16 MB" in answer.text) == (413, True)


def test_an_upload_that_has_become_too_large_is_not_completed(
    http: httpx.Client, data_store: Account, environment: dict[str, str], tmp_path: Path
) -> None:
    """The limit was lowered while the file was on its way."""
    handle = {"upload": begin(http).json()["upload"]}
    for number in (1, 2, 3):
        assert send_part(http, handle["upload"], number).status_code == 200
    with running_frontend({**environment, "MAX_UPLOAD_BYTES": str(PART_BYTES)}, tmp_path / "log") as strict:
        assert strict.http.post("/uploads/complete", json=handle).status_code == 413
    assert data_store.uploads() == {}
    assert http.post("/uploads/parts", json=handle).status_code == 410


@pytest.mark.parametrize(
    ("dataset", "kind", "status"),
    [
        ("ssda903", "csv", 201),
        ("ssda903", "xlsx", 201),
        ("ssda903", "", 201),
        ("ssda903", "xml", 415),
        ("ssda903", "pdf", 415),
        ("cin", "xml", 201),
        ("cin", "csv", 415),
    ],
)
def test_a_data_return_takes_its_own_kinds_of_files(http: httpx.Client, dataset: str, kind: str, status: int) -> None:
    assert begin(http, dataset=dataset, kind=kind).status_code == status


def test_a_workbook_in_parts_is_kept_as_one(http: httpx.Client, data_store: Account) -> None:
    begun = begin(http, kind="xlsx").json()
    for number in (1, 2, 3):
        assert send_part(http, begun["upload"], number).status_code == 200
    assert http.post("/uploads/complete", json={"upload": begun["upload"]}).status_code == 200
    assert list(data_store.uploads()) == [f"uploads/ssda903/2026/{begun['submission']}.xlsx"]


@pytest.mark.parametrize("size", [-1, "1e9", "\uff11"])
def test_a_size_that_is_no_number_is_refused(http: httpx.Client, size: object) -> None:
    assert begin(http, size=size).status_code == 400


def _upload() -> Upload:
    submission = find_submission("ssda903", "2026", "20261121t101500-6f1c9a20b7d44f0e")
    assert isinstance(submission, Submission)
    return Upload(submission, DATASETS["ssda903"].kinds[0], "an upload of somebody", _SIZE)


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param(None, id="none"),
        pytest.param("a.b.c.d.e", id="nonsense"),
        pytest.param("\uff11" * 20, id="not even ASCII"),
        pytest.param("a" * 3000, id="too long"),
        pytest.param(Handles([secrets.token_hex(32)], BUCKET).seal(_upload(), None), id="sealed with another key"),
        pytest.param(Handles([_SESSION_KEY], "another").seal(_upload(), None), id="of another data store"),
        pytest.param(Handles([_SESSION_KEY], BUCKET).seal(_upload(), "another"), id="of another person"),
    ],
)
def test_a_handle_that_this_service_did_not_give_to_this_person_is_refused(
    http: httpx.Client, handle: str | None
) -> None:
    for errand in ("sign", "parts", "complete", "cancel"):
        assert http.post(f"/uploads/{errand}", json={"upload": handle}).status_code == 410


def test_a_handle_is_good_for_one_person_and_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    handles = Handles([_SESSION_KEY], BUCKET)
    handle = handles.seal(_upload(), "one")
    assert handles.open(handle, "one") == _upload()
    assert handles.open(handle, "another") is None
    assert handles.open(handle, None) is None
    assert handles.open(handle[:-2] + ("AA" if not handle.endswith("AA") else "BB"), "one") is None
    assert Handles([secrets.token_hex(32), _SESSION_KEY], BUCKET).open(handle, "one") == _upload()
    now = time.time() + HANDLE_LIFETIME.total_seconds() + 1
    monkeypatch.setattr("time.time", lambda: now)
    assert handles.open(handle, "one") is None


def test_a_request_from_another_site_is_refused(http: httpx.Client) -> None:
    handle = begin(http).json()["upload"]
    answer = http.post("/uploads/cancel", json={"upload": handle}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


@pytest.mark.parametrize("action", ["s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"])
def test_a_missing_permission_is_named(http: httpx.Client, data_store: Account, action: str) -> None:
    handle = {"upload": begin(http).json()["upload"]}
    data_store.permit(action)
    errand = "cancel" if "Abort" in action else "parts"
    answer = http.post(f"/uploads/{errand}", json=handle)
    assert (answer.status_code, "is not permitted" in answer.text) == (503, True)


def test_too_many_uploads_are_refused_with_when_to_try_again(
    data_store: Account, environment: dict[str, str], tmp_path: Path
) -> None:
    changed = {**environment, "UPLOADS_PER_ADDRESS": "2/hour"}
    with running_frontend(changed, tmp_path / "log") as strict, strict.http as http:
        # The last address is the balancer's own word; what stands before it, anybody may have written.
        office = [{"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.7"} for number in range(3)]
        answers = [http.post("/submissions", json=_CHOICE, headers=headers) for headers in office]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert 0 < int(answers[2].headers["Retry-After"]) <= 3600
        page = http.post("/submissions", data=_CHOICE, headers=office[0])
        assert (page.status_code, page.headers["Retry-After"].isdigit()) == (429, True)
        assert "Too many uploads were begun" in page.text
        assert "minutes, then try again" in page.text
        assert http.get("/", headers=office[0]).status_code == 200
        assert http.post("/submissions", json=_CHOICE, headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 201


def test_the_role_may_neither_read_nor_list_what_is_under_way(data_store: Account, http: httpx.Client) -> None:
    begin(http)
    task = data_store.task_client()
    with pytest.raises(ClientError, match="AccessDenied"):
        task.list_multipart_uploads(Bucket=BUCKET)
    with pytest.raises(ClientError, match="AccessDenied"):
        task.create_multipart_upload(Bucket=BUCKET, Key="results/x")
