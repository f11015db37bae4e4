# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that touches the staging area: the check, the copy, its end, the receipt, the sweep, and a look.

Below the root of the access point: ``files/<execution>/file``, which the task can only read, what starts it, and in
``results/<execution>``, which has no personal data, what the check has found and what the task writes of each line.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from staging import check, receipts
from staging.failures import Refused, Unavailable, named, quietly
from staging.uploads import UPLOADS, Upload

_PIECE = 1024 * 1024
_CHECKED, _RESULTS = "checked.json", "results.jsonl"
# What runs the task's script inside its container.
_START = Path(__file__).resolve().parents[1] / "container" / "start.py"


@quietly
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    actions = {"check": validate, "copy": copy, "clean_up": clean_up, "receipt": receipt, "sweep": sweep}
    return actions[event["action"]](event)


@quietly
def look(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Names and ages of what lies in the staging area and among the uploads, for the module efs_staging_info."""
    now = time.time()
    return {
        "staged": [
            {"area": folder.parent.name, "name": folder.name, "age": _age(folder, now)} for folder in _folders()
        ],
        "uploads": [
            {"key": entry["Key"], "version": entry["VersionId"], "age": _seconds(now, entry["LastModified"])}
            for entry in _versions(os.environ["UPLOADS"])
        ],
    }


def validate(event: dict[str, Any]) -> dict[str, Any]:
    """Whether the upload is as it should be. Each line that is not may be more than an execution can pass on."""
    found = check.findings(Upload.of(event["upload"]))
    folder = _results() / event["name"]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / _CHECKED).write_text(json.dumps(found), encoding="utf-8")
    return {"valid": not found["problems"]}


def copy(event: dict[str, Any]) -> dict[str, Any]:
    """The upload, in the staging area, with the same checksum."""
    upload = Upload.of(event["upload"])
    folder = _files() / event["name"]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    body = _s3().get_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)["Body"]
    sent, length = hashlib.sha256(), 0
    with os.fdopen(os.open(folder / "file", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        while piece := body.read(_PIECE):
            sent.update(piece)
            length += target.write(piece)
        target.flush()
        os.fsync(target.fileno())
    with (folder / "file").open("rb") as written:
        arrived = hashlib.file_digest(written, "sha256")
    shutil.copyfile(_START, folder / "start.py")
    if length != upload.size or arrived.digest() != sent.digest():
        raise Unavailable("the copy differs from the upload")
    return {"bytes": length}


def clean_up(event: dict[str, Any]) -> dict[str, Any]:
    """No copy and no object any more. Safe to repeat; both are tried, whatever becomes of the first."""
    upload = Upload.of(event["upload"])
    try:
        _destroy(_files() / event["name"])
    finally:
        _s3().delete_object(Bucket=upload.bucket, Key=upload.key, VersionId=upload.version)
    return {"cleaned": True}


def receipt(event: dict[str, Any]) -> dict[str, Any]:
    """What became of an upload, for whoever made it. An ended execution gets one only when it has none."""
    upload = Upload.of(event["upload"])
    if event.get("if_missing") and _has_receipt(upload):
        return {"receipt": upload.receipt, "written": False}
    results = _results() / event["name"]
    known = receipts.read_findings(results / _CHECKED), receipts.read_results(results / _RESULTS)
    written = receipts.compose(event, upload, *known)
    _put(upload, written)
    shutil.rmtree(results, ignore_errors=True)
    return {"receipt": upload.receipt, "written": True, "status": written["status"]}


def sweep(event: dict[str, Any]) -> dict[str, Any]:
    """Remove what is older than any execution can be. What was an upload gets a receipt that says so.

    Each is tried, whatever becomes of the others, and at the end it is said of how many that failed.
    """
    now, oldest = time.time(), float(os.environ["EXECUTION_SECONDS"])
    oldest_upload = float(os.environ["UPLOAD_SECONDS"])  # whose execution may begin late
    failures: list[Exception] = []
    folders = uploads = 0
    with _collected(failures):
        for folder in (found for found in _folders() if _age(found, now) > oldest):
            with _collected(failures):
                _destroy(folder)
                folders += 1
    with _collected(failures):
        for entry in list(_versions(os.environ["UPLOADS"])):
            if _seconds(now, entry["LastModified"]) > oldest_upload:
                with _collected(failures):
                    uploads += _remove(entry, event)
    if failures:
        raise Unavailable(f"{len(failures)} of the removals failed, the first of them as {named(failures[0])}")
    return {"folders": folders, "uploads": uploads}


@contextmanager
def _collected(failures: list[Exception]) -> Iterator[None]:
    """A failure is kept for the end, so that it stops nothing else."""
    try:
        yield
    except Exception as reason:
        failures.append(reason)


def _remove(entry: dict[str, Any], event: dict[str, Any]) -> int:
    """How many uploads went: none where the version is only the mark of a deletion."""
    bucket = os.environ["UPLOADS"]
    _s3().delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
    if "Size" not in entry:
        return 0
    upload = Upload(bucket, entry["Key"], entry["VersionId"], int(entry["Size"]))
    failure = {"step": "Sweep", "error": "WorkflowDied", "cause": "found by the sweeper; hand the file over again"}
    cleaned = not (_files() / upload.execution).exists()
    given = {**event, "name": upload.execution, "failure": failure, "cleaned": cleaned}
    if not _has_receipt(upload):
        _put(upload, receipts.compose(given, upload, receipts.NO_FINDINGS, []))
    return 1


def _destroy(folder: Path) -> None:
    """Overwrite every file before it goes: the storage's own encryption is not the only thing relied on."""
    if not folder.exists():
        return
    failures: list[Exception] = []
    for file in sorted(folder.rglob("*")):
        with _collected(failures):
            if file.is_file() and not file.is_symlink():
                _overwrite(file)
    shutil.rmtree(folder)
    if folder.exists():
        raise Unavailable("the copy is still there after its removal")
    if failures:
        raise failures[0]


def _overwrite(file: Path) -> None:
    left = file.stat().st_size
    with file.open("r+b") as target:
        while left > 0:
            left -= target.write(b"\0" * min(left, _PIECE))
        target.flush()
        os.fsync(target.fileno())


def _has_receipt(upload: Upload) -> bool:
    s3 = _s3()
    try:
        found = s3.head_object(Bucket=os.environ["RECEIPTS"], Key=upload.receipt)
    except s3.exceptions.ClientError as reason:
        # Without a right to list, S3 calls refused what is missing.
        if reason.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
            return False
        raise
    return bool(found["Metadata"].get("execution") == upload.execution)


def _put(upload: Upload, written: dict[str, Any]) -> None:
    _s3().put_object(
        Bucket=os.environ["RECEIPTS"],
        Key=upload.receipt,
        Body=receipts.as_text(written).encode(),
        ContentType="application/json",
        Metadata={"execution": upload.execution},
    )


def _versions(bucket: str) -> Iterator[dict[str, Any]]:
    """Every version below uploads/ and every mark of a deletion."""
    for page in _s3().get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=UPLOADS):
        yield from page.get("Versions", [])
        yield from page.get("DeleteMarkers", [])


def _folders() -> list[Path]:
    return [folder for area in (_files(), _results()) if area.is_dir() for folder in sorted(area.iterdir())]


def _files() -> Path:
    return _root() / "files"


def _results() -> Path:
    return _root() / "results"


def _root() -> Path:
    root = Path(os.environ["STAGING"])
    if not root.is_dir():
        raise Unavailable("the staging area is not mounted")
    return root


def _age(folder: Path, now: float) -> int:
    try:
        return max(0, int(now - folder.stat().st_mtime))
    except FileNotFoundError:
        return 0


def _seconds(now: float, then: datetime) -> int:
    return max(0, int(now - then.astimezone(UTC).timestamp()))


def _s3() -> Any:  # noqa: ANN401 - boto3's clients have no static types here
    region = os.environ.get("AWS_REGION")
    if not region:
        raise Refused("the function does not know its region")
    return boto3.client("s3", region_name=region)
