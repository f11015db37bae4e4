# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""Makes images of a few files, and pushes them with the calls of ECR's API."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Image:
    manifest: str
    blobs: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest.encode())


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(files: dict[str, str], *entries: tarfile.TarInfo) -> bytes:
    """A tar archive of files, and of other entries, such as links."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
        for entry in entries:
            archive.addfile(entry)
    return buffer.getvalue()


def image(layers: Sequence[bytes], layer_type: str = LAYER_TYPE, **config: Any) -> Image:
    """An image of these layers; *config* as in the format: Cmd, Env, WorkingDir."""
    content = json.dumps({"os": "linux", "architecture": "amd64", "config": config}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, content),
        "layers": [_descriptor(layer_type, one) for one in layers],
    }
    return Image(json.dumps(manifest), (content, *layers))


def index(images: dict[str, Image]) -> str:
    """The manifest of an index: image by architecture."""
    members = [
        {
            "mediaType": MANIFEST_TYPE,
            "digest": one.digest,
            "size": len(one.manifest),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture, one in images.items()
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": members})


def upload(ecr: Any, repository: str, blob: bytes) -> None:
    begun = ecr.initiate_layer_upload(repositoryName=repository)
    ecr.upload_layer_part(
        repositoryName=repository,
        uploadId=begun["uploadId"],
        partFirstByte=0,
        partLastByte=len(blob) - 1,
        layerPartBlob=blob,
    )
    ecr.complete_layer_upload(repositoryName=repository, uploadId=begun["uploadId"], layerDigests=[digest_of(blob)])


def push(ecr: Any, repository: str, pushed: Image, tag: str | None = None) -> str:
    """The image's digest."""
    digests = {digest_of(blob): blob for blob in pushed.blobs}
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=list(digests))
    for found in answer["layers"]:
        if found["layerAvailability"] != "AVAILABLE":
            upload(ecr, repository, digests[found["layerDigest"]])
    tagged = {"imageTag": tag} if tag else {}
    ecr.put_image(
        repositoryName=repository, imageManifest=pushed.manifest, imageManifestMediaType=MANIFEST_TYPE, **tagged
    )
    return pushed.digest


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
