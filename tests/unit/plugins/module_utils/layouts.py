# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes OCI image layouts, well-formed ones, by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def write_layout(folder: Path, layers: list[bytes]) -> Path:
    """A layout of one image."""
    write_index(folder, [write_image(folder, layers)])
    return folder


def write_image(folder: Path, layers: list[bytes], architecture: str = "amd64") -> dict[str, Any]:
    """The blobs of one image: the descriptor of its manifest."""
    config = {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(folder, CONFIG_TYPE, config),
        "layers": [descriptor(folder, LAYER_TYPE, layer) for layer in layers],
    }
    return descriptor(folder, MANIFEST_TYPE, manifest)


def write_index(folder: Path, manifests: list[dict[str, Any]]) -> None:
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}), encoding="utf-8")
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def descriptor(folder: Path, media_type: str, content: bytes | dict[str, Any]) -> dict[str, Any]:
    """Write a blob: what refers to it."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    path = blob_path(folder, digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def blob_path(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
