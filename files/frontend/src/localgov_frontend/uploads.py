# SPDX-License-Identifier: GPL-3.0-or-later
"""The errands of the page that sends a large file in parts: sign a part, list what arrived, complete, cancel."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localgov_frontend.bodies import read_object
from localgov_frontend.middleware import is_cross_origin
from localgov_frontend.multipart import (
    Upload,
    abort_upload,
    complete_upload,
    list_parts,
    missing,
    presign_part,
)
from localgov_frontend.rates import person
from localgov_frontend.service import Service, service_of
from localgov_frontend.sign_in import visit

Errand = Callable[[Service, Upload, dict[str, Any]], dict[str, Any]]
_GONE = (
    "This upload was cancelled, has expired, is not yours, or is of a data return that you may not upload. "
    "Choose the file again to begin anew."
)
_SHA256_BYTES = 32


def upload_routes() -> list[Route]:
    errands = {"sign": sign_part, "parts": arrived_parts, "complete": complete, "cancel": cancel}
    return [_route(f"/uploads/{name}", errand) for name, errand in errands.items()]


def _route(path: str, errand: Errand) -> Route:
    async def answer(request: Request) -> Response:
        if is_cross_origin(request.headers):
            raise HTTPException(403, "This request was sent from another site.")
        sent = await read_object(request)
        service = service_of(request)
        upload = service.handles.open(sent.get("upload"), person(request))
        # What somebody may no longer upload they may still give up.
        allowed = errand is cancel or (upload and upload.submission.dataset in visit(request).access.upload)
        if upload is None or not allowed:
            raise HTTPException(410, _GONE)
        return JSONResponse(await run_in_threadpool(_run, errand, service, upload, sent))

    return Route(path, answer, methods=["POST"])


def _run(errand: Errand, service: Service, upload: Upload, sent: dict[str, Any]) -> dict[str, Any]:
    try:
        return errand(service, upload, sent)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchUpload":
            raise HTTPException(410, _GONE) from error
        raise


def sign_part(service: Service, upload: Upload, sent: dict[str, Any]) -> dict[str, Any]:
    number, sha256 = sent.get("number"), sent.get("sha256")
    if type(number) is not int or number not in upload.numbers:
        raise HTTPException(400, f"The parts of this upload are 1 to {len(upload.numbers)}.")
    if not _is_sha256(sha256):
        raise HTTPException(400, "A part is signed by its SHA-256 checksum in base64.")
    url = presign_part(service.browser_s3, service.settings.bucket, upload, number, str(sha256))
    return {"url": url, "headers": {"x-amz-checksum-sha256": sha256}}


def _is_sha256(value: object) -> bool:
    try:
        return isinstance(value, str) and len(base64.b64decode(value, validate=True)) == _SHA256_BYTES
    except binascii.Error:
        return False


def arrived_parts(service: Service, upload: Upload, sent: dict[str, Any]) -> dict[str, Any]:
    """Each with its checksum, so that the browser can see that the file chosen again is the same."""
    del sent
    parts = list_parts(service.s3, service.settings.bucket, upload)
    return {"parts": [{"number": part.number, "sha256": part.sha256} for part in parts]}


def complete(service: Service, upload: Upload, sent: dict[str, Any]) -> dict[str, Any]:
    """What counts is what S3 says has arrived, not what the browser says it sent."""
    del sent
    settings = service.settings
    if upload.size > settings.max_upload_bytes:
        abort_upload(service.s3, settings.bucket, upload)
        raise HTTPException(413, f"The file is larger than {settings.max_upload_bytes // 1024**2} MB. It was not kept.")
    parts = list_parts(service.s3, settings.bucket, upload)
    absent = missing(upload, parts)
    if absent:
        raise HTTPException(409, f"Of this upload {len(absent)} of {len(upload.numbers)} parts have not arrived.")
    version = complete_upload(service.s3, settings.bucket, upload, parts)
    return {"submission": upload.submission.identifier, "version_id": version}


def cancel(service: Service, upload: Upload, sent: dict[str, Any]) -> dict[str, Any]:
    del sent
    abort_upload(service.s3, service.settings.bucket, upload)
    return {}
