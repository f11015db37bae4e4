# SPDX-License-Identifier: GPL-3.0-or-later
"""An image's layers as a folder, and nothing outside it."""

from __future__ import annotations

import compileall
import json
import py_compile
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sandbox.runtime import layouts
from sandbox.settings import Settings

if sys.version_info >= (3, 11, 4):
    import tarfile
else:  # the first 3.11s, Debian's among them, extract without filters
    from backports import tarfile  # type: ignore[no-redef]

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_TAR_TYPES = ("layer.v1.tar", "layer.v1.tar+gzip", "rootfs.diff.tar.gzip", "rootfs.diff.tar")
_unpacking = threading.Lock()


class UnpackError(Exception):
    """What of an image cannot be unpacked, and why."""


def folder_of(settings: Settings, digest: str) -> Path:
    """Where the image with this digest is unpacked: ``rootfs`` and, written last, ``config.json``."""
    return settings.state / "images" / digest.replace(":", "-")


def is_unpacked(settings: Settings, digest: str) -> bool:
    return (folder_of(settings, digest) / "config.json").is_file()


def unpack(
    settings: Settings, digest: str, layers: Sequence[dict[str, Any]], config: bytes, open_layer: Callable[[str], Path]
) -> None:
    """Make the image's folder, once. *layers* are the manifest's; *open_layer* gives a digest's file, checked already.

    Raises UnpackError, and whatever *open_layer* raises; nothing is left then.
    """
    target = folder_of(settings, digest)
    with _unpacking:
        if is_unpacked(settings, digest):
            return
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            new = Path(temporary) / "new"
            root = new / "rootfs"
            root.mkdir(parents=True)
            for layer in layers:
                if not str(layer.get("mediaType")).endswith(_TAR_TYPES):
                    raise UnpackError(f"its layer {layer['digest']} is a {layer.get('mediaType')}, not a tar archive")
                _apply(open_layer(layer["digest"]), layer["digest"], root)
            if layouts.LOCKS in (_run_part(json.loads(config)).get("Labels") or {}):
                # As RUN does, which a layout from sources has no part of: without it every start would compile.
                compileall.compile_dir(root, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            (new / "config.json").write_bytes(config)
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)


def config_of(settings: Settings, digest: str) -> dict[str, Any]:
    """What the configuration of an unpacked image says about running it."""
    content = json.loads((folder_of(settings, digest) / "config.json").read_text(encoding="utf-8"))
    return _run_part(content)


def _run_part(configuration: dict[str, Any]) -> dict[str, Any]:
    return dict(configuration.get("config") or {})


def _apply(archive: Path, digest: str, root: Path) -> None:
    """One layer over those before it."""
    try:
        with tarfile.open(archive) as opened:
            for entry in opened:
                if PurePosixPath(entry.name).name.startswith(_WHITEOUT):
                    _take_away(root, PurePosixPath(entry.name))
                elif not entry.isdev():
                    _extract(opened, entry, root)
    except (tarfile.TarError, OSError, EOFError) as reason:
        raise UnpackError(f"its layer {digest} cannot be unpacked: {reason}") from reason


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, root: Path) -> None:
    safe = tarfile.data_filter(entry, str(root))  # refuses what leads out of the folder
    present = root / safe.name
    if present.is_symlink() or present.is_file():  # replaced, not written through
        present.unlink()
    archive.extract(safe, root, filter="fully_trusted")


def _take_away(root: Path, place: PurePosixPath) -> None:
    """A whiteout: what earlier layers had under this name, or all that they had in this folder."""
    folder = (root / place.parent).resolve()
    if not folder.is_relative_to(root.resolve()) or ".." in place.parts:
        raise tarfile.OutsideDestinationError(tarfile.TarInfo(str(place)), str(folder))
    if place.name == _OPAQUE:
        gone = list(folder.iterdir()) if folder.is_dir() else []
    else:
        gone = [folder / place.name.removeprefix(_WHITEOUT)]
    for path in gone:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
