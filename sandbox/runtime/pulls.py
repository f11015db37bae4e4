# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch an image from a registry, as ECS does: the manifest by BatchGetImage, each layer by its own link.

Every start of a task asks for all of it, so that a right that was taken away counts at once; what has been unpacked
before is not sent again.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.runtime import unpacking
from sandbox.settings import Settings

_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}
_SECONDS = 30


class PullError(Exception):
    """Why an image cannot be had although the registry lets it go."""


@dataclass(frozen=True)
class Repository:
    """A repository as one caller reaches it."""

    client: Any  # of boto3, for ECR
    registry: str
    name: str

    @property
    def _where(self) -> dict[str, str]:
        return {"registryId": self.registry, "repositoryName": self.name}

    def manifest(self, wanted: dict[str, str]) -> tuple[str, dict[str, Any]]:
        """Digest and content; *wanted* as BatchGetImage takes it."""
        answer = self.client.batch_get_image(
            **self._where, imageIds=[wanted], acceptedMediaTypes=[*_MANIFESTS, *_INDEXES]
        )
        if not answer.get("images"):
            named = wanted.get("imageDigest") or wanted.get("imageTag")
            raise PullError(f"{named}: not found. Push it: playbooks/images.yml, or the module ecr_image")
        text: str = answer["images"][0]["imageManifest"]
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        if wanted.get("imageDigest", digest) != digest:
            raise PullError(f"{wanted['imageDigest']}: the registry's manifest has another digest, {digest}")
        return digest, json.loads(text)

    def link(self, digest: str) -> str:
        return str(self.client.get_download_url_for_layer(**self._where, layerDigest=digest)["downloadUrl"])


def pull(settings: Settings, repository: Repository, wanted: dict[str, str], architecture: str = "X86_64") -> str:
    """Have the image unpacked; the digest of what was asked for. Raises PullError and botocore's errors."""
    digest, content = repository.manifest(wanted)
    manifest = content
    if "manifests" in content:
        _, manifest = repository.manifest({"imageDigest": _of_platform(content, _ARCHITECTURES.get(architecture, ""))})
    if not isinstance(manifest.get("config"), dict) or not isinstance(manifest.get("layers"), list):
        raise PullError(f"its manifest has no configuration or no layers: {manifest.get('mediaType', 'no media type')}")
    descriptors = [manifest["config"], *manifest["layers"]]
    links = {str(entry["digest"]): repository.link(entry["digest"]) for entry in descriptors}
    if not unpacking.is_unpacked(settings, digest):
        _fetch(settings, digest, manifest, links)
    return digest


def _of_platform(index: dict[str, Any], architecture: str) -> str:
    for entry in index["manifests"]:
        platform = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", architecture):
            return str(entry["digest"])
    raise PullError(f"the image index has none for linux/{architecture}")


def _fetch(settings: Settings, digest: str, manifest: dict[str, Any], links: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=settings.ca_bundle) if settings.ca_bundle.is_file() else None
    with tempfile.TemporaryDirectory() as temporary:

        def fetched(layer: str) -> Path:
            return _download(links[layer], layer, Path(temporary), context)

        try:
            config = fetched(manifest["config"]["digest"]).read_bytes()
            if not isinstance(json.loads(config), dict):
                raise ValueError("no JSON object")
            unpacking.unpack(settings, digest, manifest["layers"], config, fetched)
        except unpacking.UnpackError as reason:
            raise PullError(str(reason)) from reason
        except ValueError as reason:
            raise PullError(f"its configuration cannot be read: {reason}") from reason


def _download(link: str, digest: str, folder: Path, context: ssl.SSLContext | None) -> Path:
    if not _DIGEST.fullmatch(digest):
        raise PullError(f"the manifest names a layer {digest}, which is no SHA-256 digest")
    path = folder / digest.replace(":", "-")
    found = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(link, timeout=_SECONDS, context=context) as answer,  # noqa: S310  ECR's own link
            path.open("wb") as file,
        ):
            while block := answer.read(1 << 20):
                found.update(block)
                file.write(block)
    except (urllib.error.URLError, OSError) as reason:
        raise PullError(f"the layer {digest} cannot be fetched: {reason}") from reason
    if f"sha256:{found.hexdigest()}" != digest:
        raise PullError(f"the layer {digest} came with another content, sha256:{found.hexdigest()}")
    return path
