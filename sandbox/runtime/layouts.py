# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI image layouts from the sources of this repository's projects, without a container engine.

``python -m sandbox.layouts`` writes one below ``build/images/layouts`` for each image that images.yml names. A layout
has one layer with the files that the Dockerfile copies from its build context, where it copies them to, and a
configuration with what the Dockerfile says about running. Equal sources give equal digests on every machine.

What RUN would add is not there: packages from PyPI and npm. The layer has their lock files instead, in a folder that
the label ``LOCKS`` of the configuration names, and the sandbox puts what they lock beside the fetched files. So these
layouts are for the sandbox; for an account the same Dockerfile is built with an engine.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from sandbox.runtime import dockerfile
from sandbox.settings import Settings

LOCKS = "localgov.platform.sandbox.locks"
_LOCK_FOLDER = "usr/share/localgov-sandbox"
_LOCK_FILES = ("requirements.lock", "package.json", "package-lock.json", ".npmrc")
# What a base image is taken to set; which one it is does not matter without its files.
_BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
# Not compressed: another version of zlib would give other bytes, and another digest, for the same sources.
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


class LayoutError(Exception):
    """Why no layout can be made, and what to do."""


@dataclass(frozen=True)
class Source:
    """What an image is made from."""

    project: Path
    dockerfile: str = "Dockerfile"
    target: str | None = None


@dataclass(frozen=True)
class Layout:
    """An image as bytes: its manifest, and the blobs that the manifest names."""

    manifest: bytes
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


def make(source: Source) -> Layout:
    """The image of a project. Raises LayoutError."""
    path = source.project / source.dockerfile
    if not path.is_file():
        raise LayoutError(f"There is no {path} to make an image from.")
    try:
        stages = dockerfile.stages(path)
        stage = dockerfile.find(path, stages, source.target)
    except dockerfile.DockerfileError as reason:
        raise LayoutError(str(reason)) from reason
    context = sorted(_context(source.project))
    files = {place: source.project / name for place, name in _copied(stages, stage, context).items()}
    locks = [name for name in _LOCK_FILES if name in context]
    files |= {f"{_LOCK_FOLDER}/{name}": source.project / name for name in locks}
    layer = _layer(files)
    config = _json(_config(stage, layer, has_locks=bool(locks)))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(_CONFIG_TYPE, config),
            "layers": [_descriptor(_LAYER_TYPE, layer)],
        }
    )
    return Layout(manifest, {_digest(blob): blob for blob in (config, layer)})


def write(layout: Layout, folder: Path) -> bool:
    """Write the layout as a folder, unless it is there already. Whether it was written."""
    index = _json(
        {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": [_descriptor(MANIFEST_TYPE, layout.manifest)]}
    )
    if (folder / "index.json").is_file() and (folder / "index.json").read_bytes() == index:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        blobs = new / "blobs" / "sha256"
        blobs.mkdir(parents=True)
        for digest, content in {**layout.blobs, layout.digest: layout.manifest}.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(content)
        (new / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
        (new / "index.json").write_bytes(index)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return True


def write_all(settings: Settings, report: Callable[[str], object] = lambda line: None) -> dict[str, str]:
    """Write the layout of every image that images.yml names: digest by the image's name."""
    digests = {}
    for repository, source in sources(settings).items():
        name = repository.partition("/")[2] or repository
        layout = make(source)
        written = write(layout, settings.root / "build" / "images" / "layouts" / name)
        digests[name] = layout.digest
        report(f"{name}: {layout.digest}{'' if written else ', unchanged'}")
    return digests


def sources(settings: Settings) -> dict[str, Source]:
    """What each image of the repository's own images.yml is made from."""
    path = settings.root / "sandbox" / "images.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}
    return {repository: source_of(settings, entry) for repository, entry in content.items() if "project" in entry}


def source_of(settings: Settings, entry: Mapping[str, Any]) -> Source:
    return Source(settings.root / entry["project"], entry.get("dockerfile", "Dockerfile"), entry.get("target"))


# --- Which files ---


def _context(project: Path) -> Iterator[str]:
    """The files that an engine would be sent: all but what .dockerignore leaves out."""
    ignored = _ignore_patterns(project / ".dockerignore")
    for folder, folders, names in os.walk(project):
        relative = Path(folder).relative_to(project)
        # A folder that is left out may hold what an exception lets in again; these never do.
        folders[:] = [name for name in folders if name not in {".git", ".venv", "__pycache__", "node_modules"}]
        for name in names:
            path = (relative / name).as_posix()
            if not _is_ignored(path, ignored):
                yield path


def _ignore_patterns(path: Path) -> list[tuple[str, bool]]:
    """Each pattern, and whether it lets in again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return [(pattern.removeprefix("!").strip("/"), pattern.startswith("!")) for pattern in patterns]


def _is_ignored(path: str, patterns: list[tuple[str, bool]]) -> bool:
    """As an engine decides: a pattern is about a path and all below it, and the last one that matches counts."""
    places = [path, *map(str, PurePosixPath(path).parents)][:-1] or [path]
    ignored = False
    for pattern, lets_in in patterns:
        if any(_matches(place, pattern) for place in places):
            ignored = not lets_in
    return ignored


def _matches(path: str, pattern: str) -> bool:
    """Component by component; ``**`` stands for any number of them."""
    return _components_match(path.split("/"), pattern.split("/"))


def _components_match(path: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_components_match(path[start:], pattern[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatch.fnmatchcase(path[0], pattern[0]) and _components_match(path[1:], pattern[1:])


def _copied(stages: Mapping[str, dockerfile.Stage], stage: dockerfile.Stage, context: list[str]) -> dict[str, str]:
    """Where the stage has which file of the context: path in the image, without its slash, to path in the context."""
    files: dict[str, str] = {}
    for copy in stage.copies:
        if copy.stage is None:
            origin = {name: name for name in context}
        else:
            # Another image's files are not at hand, and nothing of ours is in it.
            origin = _copied(stages, stages[copy.stage], context) if copy.stage in stages else {}
        for source in copy.sources:
            files |= _copy(origin, posixpath.normpath(source).lstrip("/"), copy, files)
    return files


def _copy(origin: dict[str, str], source: str, copy: dockerfile.Copy, present: Mapping[str, str]) -> dict[str, str]:
    """One source of a COPY: the content of a folder, or files."""
    target = copy.target.strip("/")
    into = copy.target.endswith("/") or len(copy.sources) > 1 or any(path.startswith(f"{target}/") for path in present)
    copied = {}
    for path, content in origin.items():
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            if source != "." and not _matches("/".join(parts[:length]), source):
                continue
            below = parts if source == "." else parts[length:]
            place = [target, *below] if below else [target, *([parts[-1]] if into else [])]
            copied["/".join(filter(None, place))] = content
            break
    return copied


# --- The image's parts ---


def _layer(files: Mapping[str, Path]) -> bytes:
    """A tar archive that says nothing but paths, contents and whether a file may be executed."""
    folders = {str(parent) for place in files for parent in PurePosixPath(place).parents} - {"."}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place in sorted({*folders, *files}):
            entry = tarfile.TarInfo(place)
            if place in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
                continue
            content = files[place].read_bytes()
            entry.size = len(content)
            entry.mode = 0o755 if files[place].stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _config(stage: dockerfile.Stage, layer: bytes, *, has_locks: bool) -> dict[str, Any]:
    environment = {"PATH": _BASE_PATH, **stage.environment}
    if environment["PATH"].endswith(":"):  # the Dockerfile put something before the base image's
        environment["PATH"] += _BASE_PATH
    run = {
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Entrypoint": list(stage.entrypoint),
        "Cmd": list(stage.command),
        "WorkingDir": stage.folder,
        "User": stage.user,
        "Labels": {LOCKS: f"/{_LOCK_FOLDER}"} if has_locks else {},
    }
    return {
        "created": "1970-01-01T00:00:00Z",
        # Sources run on any processor; a registry wants to be told one.
        "architecture": "amd64",
        "os": "linux",
        "config": {name: value for name, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
