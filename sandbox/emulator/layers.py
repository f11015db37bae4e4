# SPDX-License-Identifier: GPL-3.0-or-later
"""What images are made of: layers that come in parts, are checked by their digest, and go out by a signed link.

As shipped ECR forgets every layer that its API is sent, calls every layer missing, accepts images whose layers nobody
pushed, and hands anything to anybody, unsigned, by the registry protocol under ``/v2/``. Here a layer is a file of the
state folder, and ``/v2/`` serves nothing but the link that GetDownloadUrlForLayer gave.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.responses.error_response_json",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.core.responses.json_response",
    "ministack.services.ecr._batch_check_layer_availability",
    "ministack.services.ecr._complete_layer_upload",
    "ministack.services.ecr._create_repository",
    "ministack.services.ecr._delete_repository",
    "ministack.services.ecr._describe_images",
    "ministack.services.ecr._find_image",
    "ministack.services.ecr._get_download_url_for_layer",
    "ministack.services.ecr._images",
    "ministack.services.ecr._initiate_layer_upload",
    "ministack.services.ecr._put_image",
    "ministack.services.ecr._repositories",
    "ministack.services.ecr._upload_layer_part",
    "ministack.services.ecr.handle_registry_request",
)

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Answer]

# As ECR has them: what it asks for, and the least that any part but the last must have.
_PART_SIZE, _SMALLEST_PART = 10 * 1024 * 1024, 5 * 1024 * 1024
_LINK_SECONDS = 3600
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
# ECR's own rule; what is a folder here must not be a way out of it.
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*")


class _RefusedError(Exception):
    """What ECR answers instead, by its own error code."""

    def __init__(self, code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.code, self.message, self.more = code, message, more


@dataclass
class _Upload:
    """A layer on its way in."""

    repository: tuple[str, str, str]
    path: Path
    sizes: list[int] = field(default_factory=list)  # of its parts

    @property
    def received(self) -> int:
        return sum(self.sizes)


def install(settings: Settings) -> None:
    store = Store(settings)
    store.forget_uploads()
    ecr = find("ministack.services.ecr")
    ecr._batch_check_layer_availability = _answering(store.check)
    ecr._initiate_layer_upload = _answering(store.begin)
    ecr._upload_layer_part = _answering(store.receive)
    ecr._complete_layer_upload = _answering(store.complete)
    ecr._get_download_url_for_layer = _answering(store.link)
    ecr._put_image = _after(store.check_image, ecr._put_image)
    ecr._describe_images = _after(_check_named_images, _with_sizes(ecr._describe_images))
    ecr._create_repository = _then(ecr._create_repository, store.forget_layers)
    ecr._delete_repository = _then(ecr._delete_repository, store.forget_layers)
    ecr.handle_registry_request = store.serve


class Store:
    """The layers of all repositories, and what is being uploaded."""

    def __init__(self, settings: Settings) -> None:
        self._endpoint = settings.endpoint_url
        self._folder = settings.state / "layers"
        self._key = secrets.token_bytes(32)
        self._uploads: dict[str, _Upload] = {}

    # --- The API ---

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        _repository(request)
        layers, failures = [], []
        for digest in request.get("layerDigests") or []:
            if not _DIGEST.fullmatch(str(digest)):
                reason = {"failureCode": "InvalidLayerDigest", "failureReason": "Not sha256:<64 hexadecimal digits>."}
                failures.append({"layerDigest": digest, **reason})
                continue
            path = self._layer(request, digest)
            here = path.is_file()
            layers.append(
                {
                    "layerDigest": digest,
                    "layerAvailability": "AVAILABLE" if here else "UNAVAILABLE",
                    **({"layerSize": path.stat().st_size} if here else {}),
                }
            )
        return {"layers": layers, "failures": failures}

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        repository = _repository(request)
        identifier = secrets.token_hex(16)
        folder = self._folder / "uploads"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._uploads[identifier] = _Upload(repository, folder / identifier)
        self._uploads[identifier].path.touch(mode=0o600)
        return {"uploadId": identifier, "partSize": _PART_SIZE}

    def receive(self, request: dict[str, Any]) -> dict[str, Any]:
        upload = self._upload(request)
        part = base64.b64decode(request.get("layerPartBlob") or "")
        first, last = request.get("partFirstByte"), request.get("partLastByte")
        if first != upload.received or last != upload.received + len(part) - 1 or not part:
            raise _RefusedError(
                "InvalidLayerPartException",
                f"Invalid layer part: bytes {first} to {last} were announced, {len(part)} bytes came, and "
                f"{upload.received} is the next byte.",
                uploadId=request["uploadId"],
                lastValidByteReceived=upload.received - 1,
            )
        with upload.path.open("ab") as file:
            file.write(part)
        upload.sizes.append(len(part))
        return {"uploadId": request["uploadId"], "lastByteReceived": upload.received - 1}

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        upload = self._upload(request)
        if not upload.sizes:
            raise _RefusedError("EmptyUploadException", "The upload has no parts.")
        if any(size < _SMALLEST_PART for size in upload.sizes[:-1]):
            raise _RefusedError("LayerPartTooSmallException", "Layer parts must be at least 5 MiB in size.")
        with upload.path.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        announced = request.get("layerDigests") or []
        if digest not in announced:
            message = f"Layer digest {', '.join(announced)} is not that of what was uploaded: {digest}."
            raise _RefusedError("InvalidLayerException", message)
        target = self._layer(request, digest)
        if target.is_file():
            raise _RefusedError("LayerAlreadyExistsException", f"Layer with digest '{digest}' already exists.")
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        upload.path.rename(target)
        del self._uploads[request["uploadId"]]
        return {"uploadId": request["uploadId"], "layerDigest": digest}

    def link(self, request: dict[str, Any]) -> dict[str, Any]:
        account, region, name = _repository(request)
        digest = str(request.get("layerDigest"))
        if not _DIGEST.fullmatch(digest) or not self._layer(request, digest).is_file():
            raise _RefusedError("LayersNotFoundException", f"The repository '{name}' has no layer '{digest}'.")
        path = f"/v2/{name}/blobs/{digest}"
        mark = {"account": account, "region": region, "expires": str(int(time.time()) + _LINK_SECONDS)}
        query = urlencode({**mark, "signature": self._signature(path, mark)})
        return {"downloadUrl": f"{self._endpoint}{path}?{query}", "layerDigest": digest}

    def check_image(self, request: dict[str, Any]) -> None:
        """Refuse an image that is not what its digest says, or that refers to what is not here."""
        _, _, name = _repository(request)
        ecr = find("ministack.services.ecr")
        text = str(request.get("imageManifest") or "")
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        if request.get("imageDigest", digest) != digest:
            raise _RefusedError("ImageDigestDoesNotMatchException", f"The manifest's digest is {digest}.")
        content = _pushed_manifest(text)
        images = {image["imageDigest"]: image for image in ecr._images.get(name, [])}
        members = [member.get("digest") for member in content.get("manifests") or []]
        if strangers := [member for member in members if member not in images]:
            raise _RefusedError("ReferencedImagesNotFoundException", f"Not in '{name}': {', '.join(strangers)}.")
        layers = [content.get("config") or {}, *(content.get("layers") or [])]
        digests = [str(layer["digest"]) for layer in layers if "digest" in layer]
        if missing := [layer for layer in digests if not self._layer(request, layer).is_file()]:
            raise _RefusedError("LayersNotFoundException", f"Not in '{name}': {', '.join(missing)}.")
        tag = request.get("imageTag")
        if digest in images and (not tag or tag in images[digest].get("imageTags", [])):
            known = f"Image with digest '{digest}'" + (f" and tag '{tag}'" if tag else "")
            raise _RefusedError("ImageAlreadyExistsException", f"{known} already exists in '{name}'.")

    async def serve(self, method: str, path: str, headers: Any, body: bytes, query: dict[str, Any]) -> Answer:  # noqa: ANN401
        """The registry protocol: only a layer, only by the link that GetDownloadUrlForLayer gave."""
        del headers, body
        given = {name: str(values[0] if isinstance(values, list) else values) for name, values in query.items()}
        mark = {name: given.get(name, "") for name in ("account", "region", "expires")}
        signed = hmac.compare_digest(self._signature(path, mark).encode(), given.get("signature", "").encode())
        if method != "GET" or not signed or int(mark["expires"]) < time.time():
            return 403, {"Content-Type": "text/plain"}, b"Only by an unexpired link of GetDownloadUrlForLayer.\n"
        name, _, digest = path.removeprefix("/v2/").rpartition("/blobs/")
        layer = self._path((mark["account"], mark["region"], name), digest)
        if not layer.is_file():
            return 404, {"Content-Type": "text/plain"}, b"The layer has been deleted.\n"
        return 200, {"Content-Type": "application/octet-stream"}, layer.read_bytes()

    # --- Files ---

    def forget_uploads(self) -> None:
        """An upload does not outlive the emulator that it was begun with."""
        shutil.rmtree(self._folder / "uploads", ignore_errors=True)

    def forget_layers(self, request: dict[str, Any]) -> None:
        name = str(request.get("repositoryName"))
        if _NAME.fullmatch(name):
            shutil.rmtree(self._repository_folder(_scope(name)), ignore_errors=True)

    def _upload(self, request: dict[str, Any]) -> _Upload:
        repository = _repository(request)
        upload = self._uploads.get(str(request.get("uploadId")))
        if upload is None or upload.repository != repository:
            raise _RefusedError("UploadNotFoundException", f"There is no upload '{request.get('uploadId')}'.")
        return upload

    def _layer(self, request: dict[str, Any], digest: str) -> Path:
        return self._path(_repository(request), digest)

    def _path(self, repository: tuple[str, str, str], digest: str) -> Path:
        match = _DIGEST.fullmatch(digest)
        return self._repository_folder(repository) / (match.group(1) if match else "none")

    def _repository_folder(self, repository: tuple[str, str, str]) -> Path:
        account, region, name = repository
        return self._folder / account / region / name.replace("/", "%2F")

    def _signature(self, path: str, mark: dict[str, str]) -> str:
        text = "\n".join([path, *(f"{name}={value}" for name, value in sorted(mark.items()))])
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()


def _repository(request: dict[str, Any]) -> tuple[str, str, str]:
    """Account, region and name of the repository that a request is about."""
    name = str(request.get("repositoryName"))
    scope = _scope(name)
    if not _NAME.fullmatch(name) or name not in find("ministack.services.ecr._repositories"):
        message = f"The repository with name '{name}' does not exist in the registry with id '{scope[0]}'"
        raise _RefusedError("RepositoryNotFoundException", message)
    return scope


def _scope(name: str) -> tuple[str, str, str]:
    responses = find("ministack.core.responses")
    return str(responses.get_account_id()), str(responses.get_region()), name


def _manifest(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise _RefusedError("InvalidParameterException", "The image manifest is no JSON object.")
    return content


def _pushed_manifest(text: str) -> dict[str, Any]:
    content = _manifest(text)
    if "layers" not in content and "manifests" not in content:
        # ECR's words for whatever it does not know as a manifest.
        message = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'"
        raise _RefusedError("InvalidParameterException", message)
    return content


def _check_named_images(request: dict[str, Any]) -> None:
    account, _, name = _repository(request)
    for wanted in request.get("imageIds") or []:
        if find("ministack.services.ecr._find_image")(name, wanted) is None:
            message = f"The image with imageId {json.dumps(wanted)} does not exist within the repository with name "
            raise _RefusedError("ImageNotFoundException", f"{message}'{name}' in the registry with id '{account}'")


def _with_sizes(shipped: Handler) -> Handler:
    """An image is as large as its layers, not as its manifest."""

    @functools.wraps(shipped)
    def describe(request: dict[str, Any]) -> Answer:
        status, headers, body = shipped(request)
        document = json.loads(body)
        stored = {
            image["imageDigest"]: image for image in find("ministack.services.ecr._images")[request["repositoryName"]]
        }
        for detail in document.get("imageDetails", []):
            content = _manifest(str(stored[detail["imageDigest"]].get("imageManifest") or "{}"))
            layers = [content.get("config") or {}, *(content.get("layers") or [])]
            detail["imageSizeInBytes"] = sum(int(layer.get("size") or 0) for layer in layers)
        return status, headers, json.dumps(document).encode()

    return describe


def _answering(handler: Callable[[dict[str, Any]], dict[str, Any]]) -> Handler:
    def answer(request: dict[str, Any]) -> Answer:
        responses = find("ministack.core.responses")
        try:
            where = {"registryId": responses.get_account_id(), "repositoryName": request.get("repositoryName")}
            answered: Answer = responses.json_response({**where, **handler(request)})
        except _RefusedError as refusal:
            return _refusal(refusal)
        return answered

    return answer


def _after(check: Callable[[dict[str, Any]], None], shipped: Handler) -> Handler:
    @functools.wraps(shipped)
    def handle(request: dict[str, Any]) -> Answer:
        try:
            check(request)
        except _RefusedError as refusal:
            return _refusal(refusal)
        return shipped(request)

    return handle


def _then(shipped: Handler, action: Callable[[dict[str, Any]], None]) -> Handler:
    @functools.wraps(shipped)
    def handle(request: dict[str, Any]) -> Answer:
        answer = shipped(request)
        if answer[0] == 200:
            action(request)
        return answer

    return handle


def _refusal(refusal: _RefusedError) -> Answer:
    answer: Answer = find("ministack.core.responses.error_response_json")(
        refusal.code, refusal.message, 400, extra=refusal.more
    )
    return answer
