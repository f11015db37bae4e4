# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI image layouts, as a folder or a tar archive: which image is in one, and whether its blobs are what they say.

The format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BLOCK = 1 << 20
_LARGEST_DOCUMENT = 4 << 20  # bytes of a manifest, as registries limit them
_DEEPEST_INDEX = 3


class LayoutError(Exception):
    """What of a layout is broken, which file, and what to do."""


@dataclass(frozen=True)
class Blob:
    """Something that a manifest refers to."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True)
class Manifest:
    """A manifest or an index, as the bytes that its digest is made of."""

    digest: str
    media_type: str
    content: bytes
    blobs: tuple[Blob, ...] = ()


@dataclass(frozen=True)
class Image:
    """What is pushed: the manifests in order, those that an index refers to before it."""

    manifests: tuple[Manifest, ...]

    @property
    def digest(self) -> str:
        return self.manifests[-1].digest

    @property
    def default_tag(self) -> str:
        """A tag that only this content can have."""
        return self.digest.removeprefix("sha256:")[:12]

    @property
    def blobs(self) -> list[Blob]:
        """Each blob once, however many manifests share it."""
        return list({blob.digest: blob for manifest in self.manifests for blob in manifest.blobs}.values())


@dataclass(frozen=True)
class Layout:
    """An open layout; *archive* is None where it is a folder."""

    path: Path
    archive: tarfile.TarFile | None = None
    members: dict[str, tarfile.TarInfo] | None = None

    def where(self, name: str) -> str:
        return f"{name} in {self.path}" if self.archive else str(self.path / name)

    def open(self, name: str) -> IO[bytes]:
        """A file of the layout. Raises LayoutError when there is none."""
        if self.archive is None:
            try:
                return (self.path / name).open("rb")
            except OSError as reason:
                raise LayoutError(
                    f"Cannot read {self.where(name)}: {reason.strerror}. Build the image again."
                ) from reason
        entry = (self.members or {}).get(name)
        stream = self.archive.extractfile(entry) if entry else None
        if stream is None:
            raise LayoutError(f"There is no file {self.where(name)}. Build the image again.")
        return stream


@contextmanager
def open_layout(path: Path) -> Iterator[Layout]:
    """The layout at this place. Raises LayoutError when there is none."""
    if path.is_dir():
        layout = Layout(path)
        _check_version(layout)
        yield layout
        return
    try:
        with tarfile.open(path, mode="r:") as archive:
            members = {entry.name.removeprefix("./"): entry for entry in archive if entry.isfile()}
            layout = Layout(path, archive, members)
            _check_version(layout)
            yield layout
    except (tarfile.TarError, EOFError) as reason:
        raise LayoutError(
            f"{path} is neither a folder nor an uncompressed tar archive: {reason}. Build the image "
            "again, without compressing the archive."
        ) from reason
    except OSError as reason:
        raise LayoutError(
            f"Cannot read the image layout {path}: {reason.strerror or reason}. Build the image first."
        ) from reason


def read_image(layout: Layout, platform: str | None = None) -> Image:
    """The image of the layout: all of an index, or its part for one platform such as ``linux/amd64``.

    Each manifest is checked against its digest. Raises LayoutError.
    """
    entries = _entries(layout, "index.json", _document(layout, "index.json"))
    if len(entries) > 1:
        entries = [_of_platform(layout, "index.json", entries, platform)]
    manifests = _manifests(layout, entries[0], platform)
    if platform:
        _check_platform(layout, manifests[-1], platform)
    return Image(tuple({manifest.digest: manifest for manifest in manifests}.values()))


def verify(layout: Layout, blobs: Iterable[Blob]) -> None:
    """Raise LayoutError at the first blob whose content is not what its digest and size say."""
    for blob in blobs:
        name = blob_name(blob.digest)
        found, size = hashlib.sha256(), 0
        with layout.open(name) as stream:
            while block := stream.read(_BLOCK):
                found.update(block)
                size += len(block)
        if f"sha256:{found.hexdigest()}" != blob.digest or size != blob.size:
            raise LayoutError(
                f"{layout.where(name)} is damaged: it has {size} bytes with the digest sha256:{found.hexdigest()}, and "
                f"{blob.size} bytes with the digest of its name were expected. Nothing was sent. Build the image again."
            )


def blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _check_version(layout: Layout) -> None:
    version = _document(layout, "oci-layout").get("imageLayoutVersion")
    if version != "1.0.0":
        raise LayoutError(
            f"{layout.where('oci-layout')} is of version {version!r}; only 1.0.0 is known. Build the image again, "
            "with an engine that writes that version."
        )


def _manifests(layout: Layout, entry: dict[str, Any], platform: str | None, depth: int = 0) -> list[Manifest]:
    """What a descriptor leads to, itself last."""
    blob = _blob(layout, entry)
    name = blob_name(blob.digest)
    verify(layout, [blob])
    with layout.open(name) as stream:
        content = stream.read(_LARGEST_DOCUMENT)
    document = _parsed(layout, name, content)
    media_type = str(document.get("mediaType") or blob.media_type)
    if media_type in _INDEX_TYPES:
        if depth == _DEEPEST_INDEX:
            raise LayoutError(
                f"{layout.where(name)} is an index within more than {_DEEPEST_INDEX} others, which no engine writes. "
                "Build the image again, or name one platform."
            )
        entries = _entries(layout, name, document)
        if platform:
            return _manifests(layout, _of_platform(layout, name, entries, platform), platform, depth + 1)
        members = [found for member in entries for found in _manifests(layout, member, None, depth + 1)]
        return [*members, Manifest(blob.digest, media_type, content)]
    if media_type not in _MANIFEST_TYPES:
        raise LayoutError(
            f"{layout.where(name)} is a {media_type}, not an image's manifest. Build an image; other artefacts are not "
            "pushed."
        )
    return [Manifest(blob.digest, media_type, content, _referred(layout, name, document))]


def _referred(layout: Layout, name: str, document: dict[str, Any]) -> tuple[Blob, ...]:
    config, layers = document.get("config"), document.get("layers")
    if not isinstance(config, dict) or not isinstance(layers, list):
        raise LayoutError(f"{layout.where(name)} names no configuration or no layers. Build the image again.")
    return tuple(_blob(layout, entry) for entry in [config, *layers])


def _of_platform(layout: Layout, name: str, entries: list[dict[str, Any]], platform: str | None) -> dict[str, Any]:
    matching = [entry for entry in entries if platform and platform in _platform_names(entry.get("platform") or {})]
    if len(matching) != 1:
        offered = sorted({min(_platform_names(entry.get("platform") or {}), key=len) for entry in entries})
        wanted = f"none for {platform}" if platform and not matching else "more than one image"
        raise LayoutError(f"{layout.where(name)} has {wanted}. Name one platform of {', '.join(offered)}.")
    return matching[0]


def _platform_names(platform: dict[str, Any]) -> set[str]:
    short = f"{platform.get('os', 'unknown')}/{platform.get('architecture', 'unknown')}"
    return {short, f"{short}/{platform['variant']}"} if platform.get("variant") else {short}


def _check_platform(layout: Layout, manifest: Manifest, platform: str) -> None:
    """An image that is no index says only in its configuration what it is for."""
    name = blob_name(manifest.blobs[0].digest)
    verify(layout, manifest.blobs[:1])
    document = _document(layout, name)
    # Many configurations leave out the variant that the index has named.
    names = _platform_names({"variant": "/".join(platform.split("/")[2:]), **document})
    if platform not in names:
        raise LayoutError(
            f"The image in {layout.path} is for {min(names, key=len)}, not for {platform}. Build it for that platform, "
            "or name the one that it is for."
        )


def _entries(layout: Layout, name: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    entries = document.get("manifests")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise LayoutError(f"{layout.where(name)} names no manifests. Build the image again.")
    return entries


def _blob(layout: Layout, entry: object) -> Blob:
    digest, size = (entry.get("digest"), entry.get("size")) if isinstance(entry, dict) else (None, None)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(size, int):
        raise LayoutError(
            f"{layout.path} refers to {entry!r}, which is no SHA-256 digest with a size. Build the image again."
        )
    return Blob(digest, size, str(entry.get("mediaType", "")) if isinstance(entry, dict) else "")


def _document(layout: Layout, name: str) -> dict[str, Any]:
    with layout.open(name) as stream:
        return _parsed(layout, name, stream.read(_LARGEST_DOCUMENT))


def _parsed(layout: Layout, name: str, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as reason:
        raise LayoutError(f"{layout.where(name)} is no JSON: {reason}. Build the image again.") from reason
    if not isinstance(document, dict):
        raise LayoutError(f"{layout.where(name)} is no JSON object. Build the image again.")
    return document
