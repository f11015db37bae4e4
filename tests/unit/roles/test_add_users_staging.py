# SPDX-License-Identifier: GPL-3.0-or-later

"""Receipts, and what the workflow's functions do to files. Their calls of AWS are shown by tests/integration/users."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible_collections.localgov.platform.plugins.modules import efs_staging
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from staging import receipts, stage
from staging.failures import Refused, Unavailable, quietly
from staging.uploads import Upload

UPLOAD = Upload("uploads", "uploads/alice/users.jsonl", "v1", 10)
KNOWN: dict[str, Any] = {
    "execution": "arn:one",
    "began": "2026-11-26T15:00:00Z",
    "failure": {"step": "", "error": "", "cause": ""},
    "cleaned": True,
}


THREE_LINES = {"lines": 3, "problems": []}


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE", "registry/api@sha256:0")


def test_a_receipt_has_each_line_once_with_what_became_of_it() -> None:
    results = [{"line": 3, "result": "failed", "reason": "no"}, {"line": 1, "result": "created"}]
    receipt = receipts.compose(KNOWN, UPLOAD, THREE_LINES, results)
    assert receipt["lines"] == [
        {"line": 1, "result": "created"},
        {"line": 2, "result": "unknown"},
        {"line": 3, "result": "failed", "reason": "no"},
    ]
    assert receipt["counts"] == {"lines": 3, "created": 1, "exists": 0, "failed": 1, "refused": 0, "unknown": 1}
    assert receipt["status"] == "succeeded"


@pytest.mark.parametrize(
    ("step", "results", "is_told"),
    [
        ("Run", [{"line": 1, "result": "created"}], True),
        ("Run", [{"line": line, "result": "created"} for line in (1, 2, 3)], False),
        ("Validate", [], False),  # nobody was added
        ("", [], False),  # it succeeded, with a script that is not about lines
    ],
)
def test_lines_that_are_left_in_doubt_come_with_what_to_do_about_them(
    step: str, results: list[dict[str, Any]], *, is_told: bool
) -> None:
    failure = {"step": step, "error": "States.TaskFailed" if step else "", "cause": ""}
    receipt = receipts.compose({**KNOWN, "failure": failure}, UPLOAD, THREE_LINES, results)
    assert ("Hand the same file over again" in receipt.get("next", "")) is is_told


def test_residue_makes_a_receipt_one_of_a_failure() -> None:
    receipt = receipts.compose({**KNOWN, "cleaned": False}, UPLOAD, THREE_LINES, [])
    assert (receipt["status"], receipt["failure"]["error"]) == ("failed", "ResidueLeft")


def test_lines_that_were_refused_are_in_the_receipt_with_their_reasons() -> None:
    told = [(2, "lacks the field name"), (2, "lacks the field role"), (3, "is not JSON")]
    findings = {"lines": 3, "problems": [{"line": line, "reason": reason} for line, reason in told]}
    receipt = receipts.compose(KNOWN, UPLOAD, findings, [])
    assert receipt["lines"][1:] == [
        {"line": 2, "result": "refused", "reason": "lacks the field name; lacks the field role"},
        {"line": 3, "result": "refused", "reason": "is not JSON"},
    ]
    assert receipt["refused"]["count"] == 3


def test_what_a_check_left_half_written_is_no_finding(tmp_path: Path) -> None:
    written = tmp_path / "checked.json"
    written.write_text('{"lines": 3, "pro')
    assert receipts.read_findings(written) == receipts.NO_FINDINGS
    assert receipts.read_findings(tmp_path / "none") == receipts.NO_FINDINGS


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("", ""),
        ("plain\n words", "plain words"),
        (json.dumps({"errorType": "Unavailable", "errorMessage": "the copy differs"}), "the copy differs"),
        (
            json.dumps({"StoppedReason": "Essential container in task exited", "Containers": [{"ExitCode": 7}, {}]}),
            "Essential container in task exited; exit code 7",
        ),
        ("[1]", ""),
        ("x" * 1000, "x" * 500),
    ],
)
def test_a_cause_is_told_in_words_for_a_person(cause: str, reason: str) -> None:
    assert receipts.reason_of(cause) == reason


@given(st.lists(st.fixed_dictionaries({"line": st.integers(0, 9), "result": st.text()}), max_size=5), st.text())
def test_a_receipt_is_json_with_a_line_of_text_for_each_line(lines: list[dict[str, Any]], key: str) -> None:
    receipt = {"key": key, "lines": lines}
    text = receipts.as_text(receipt)
    assert json.loads(text) == receipt
    assert len(text.splitlines()) >= len(lines) or "\x85" in text or "\u2028" in text or "\u2029" in text


def test_what_a_task_left_half_written_is_no_result(tmp_path: Path) -> None:
    written = tmp_path / "results.jsonl"
    written.write_bytes(
        b'{"line": 1, "result": "created"}\nnoise\n{"line": "2", "result": "created"}\n'
        b'{"line": 3, "result": "king"}\n{"line": 4, "result": "failed", "reason": "' + b"x" * 300 + b'"}\n{"line": 5'
    )
    assert receipts.read_results(written) == [
        {"line": 1, "result": "created"},
        {"line": 4, "result": "failed", "reason": "x" * 200},
    ]
    assert receipts.read_results(tmp_path / "none") == []


def test_an_execution_and_a_receipt_are_found_by_whoever_made_the_upload() -> None:
    assert UPLOAD.execution == efs_staging.execution_of("uploads", UPLOAD.key, "v1")
    assert UPLOAD.receipt == "receipts/alice/users.jsonl.json"
    longest = Upload("uploads", "uploads/alice/" + "é" * 505, "v1", 1)
    assert len(longest.key.encode()) == 1024
    assert longest.receipt.startswith("receipts/alice/")
    assert len(longest.receipt.encode()) <= 1024


def test_two_versions_are_two_executions() -> None:
    assert UPLOAD.execution != Upload(UPLOAD.bucket, UPLOAD.key, "v2", 10).execution


def test_a_copy_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    file = tmp_path / "one" / "file"
    file.write_bytes(b"password" * 300_000)
    with file.open("rb") as still_open:
        stage._destroy(tmp_path / "one")
        assert set(still_open.read()) == {0}
    assert not (tmp_path / "one").exists()
    stage._destroy(tmp_path / "one")  # again, which is nothing


def test_what_a_link_points_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "one" / "file").symlink_to(tmp_path / "elsewhere")
    stage._destroy(tmp_path / "one")
    assert (tmp_path / "elsewhere").read_text() == "kept"


def test_a_copy_that_cannot_be_overwritten_goes_all_the_same_and_is_told_of(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / "later").write_bytes(b"password")
    shutil.copy(shutil.which("sleep") or "", folder / "busy")
    with (folder / "later").open("rb") as still_open, subprocess.Popen([folder / "busy", "60"]) as running:
        try:  # a program that runs cannot be written to
            with pytest.raises(OSError, match="busy"):
                stage._destroy(folder)
        finally:
            running.terminate()
        assert set(still_open.read()) == {0}
    assert not folder.exists()


class _Uploads(BaseHTTPRequestHandler):
    """A bucket of two old uploads, of which the first cannot be removed."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        version = (
            "<Version><Key>uploads/alice/{0}</Key><VersionId>v</VersionId><Size>1</Size>"
            "<LastModified>2020-01-01T00:00:00.000Z</LastModified></Version>"
        )
        versions = "".join(version.format(name) for name in ("held", "old"))
        self._answer(200, f"<ListVersionsResult><IsTruncated>false</IsTruncated>{versions}</ListVersionsResult>")

    def do_DELETE(self) -> None:
        self._answer(403 if "/held?" in self.path else 204)

    def do_HEAD(self) -> None:
        self._answer(404)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def _answer(self, status: int, body: str = "") -> None:
        self.asked.append(f"{self.command} {self.path.partition('?')[0]} {status}")
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was asked of a bucket that is there."""
    _Uploads.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Uploads) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        for name, value in {
            "AWS_ACCESS_KEY_ID": "made-up-id",
            "AWS_SECRET_ACCESS_KEY": "made-up-secret",
            "AWS_REGION": "eu-west-2",
            "UPLOADS": "uploads",
            "RECEIPTS": "receipts",
        }.items():
            monkeypatch.setenv(name, value)
        yield _Uploads.asked
        server.shutdown()


def test_what_cannot_be_swept_away_stops_the_sweep_of_nothing_else(
    tmp_path: Path, s3: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGING", str(tmp_path))
    monkeypatch.setenv("EXECUTION_SECONDS", "60")
    monkeypatch.setenv("UPLOAD_SECONDS", "120")
    for area in ("files", "results"):
        (tmp_path / area / "b-folder").mkdir(parents=True)
    (tmp_path / "files" / "a-stray").write_text("no folder, which cannot be removed as one")
    for left in tmp_path.glob("*/*"):
        os.utime(left, (0, 0))
    with pytest.raises(Unavailable, match="2 of the removals failed, the first of them as the file system answers"):
        stage.handler({"action": "sweep"}, None)
    assert [left.name for left in tmp_path.glob("*/*")] == ["a-stray"]
    assert [line for line in s3 if line.startswith(("DELETE", "PUT"))] == [
        "DELETE /uploads/uploads/alice/held 403",
        "DELETE /uploads/uploads/alice/old 204",
        "PUT /receipts/receipts/alice/old.json 200",
    ]


def _answer(code: str, status: int) -> ClientError:
    error: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "GetObject")


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (ValueError("password-4711"), Refused, "ValueError"),
        (
            OSError(28, "No space left on device", "password-4711"),
            Unavailable,
            "the file system answers OSError, error 28",
        ),
        (_answer("SlowDown", 503), Unavailable, "GetObject answers SlowDown"),
        (_answer("AccessDenied", 403), Refused, "GetObject answers AccessDenied"),
        (Unavailable("the copy differs"), Unavailable, "the copy differs"),
    ],
)
def test_a_failure_says_whether_it_may_pass_and_nothing_of_what_was_read(
    raised: Exception, kind: type[Exception], said: str
) -> None:
    def fails(_event: dict[str, Any], _context: object) -> dict[str, Any]:
        raise raised

    with pytest.raises(kind) as seen:
        quietly(fails)({}, None)
    assert str(seen.value) == said
    assert seen.value.__cause__ is None
