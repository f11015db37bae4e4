# SPDX-License-Identifier: GPL-3.0-or-later
"""How an image is run: what its configuration says, with the fetched files and an environment of its lock files.

An image of ECR must have been pulled (``pulls``). A name without a registry is looked up in images.yml: a project of
this repository, whose image is made on the spot, or no more than a command.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox import settings as sandbox_settings
from sandbox.runtime import environments, layouts, unpacking
from sandbox.runtime.environments import EnvironmentBuildError
from sandbox.settings import Settings

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


class ImageError(Exception):
    """Why an image cannot be run or built, and what to do."""


@dataclass(frozen=True)
class Reference:
    """``<account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>`` taken apart; other registries have no account."""

    repository: str
    tag: str | None
    digest: str | None
    account: str | None
    region: str | None

    @classmethod
    def parse(cls, text: str) -> Reference:
        rest, _, digest = text.partition("@")
        registry, slash, path = rest.partition("/")
        if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
            registry, path = "", rest
        name, _, tag = path.rpartition(":") if ":" in path else (path, "", "")
        ecr = _REGISTRY.fullmatch(registry)
        return cls(name, tag or None, digest or None, ecr.group(1) if ecr else None, ecr.group(2) if ecr else None)


@dataclass(frozen=True)
class Image:
    """How a container of the image runs when nothing overrides it."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    container_folder: str = "/"  # what *folder* is called inside the image
    search_path: tuple[Path, ...] = ()


def find(settings: Settings, reference: str) -> Image:
    """How to run the image.

    Raises ImageError when it was not pulled, or images.yml does not know it, or its environment cannot be built.
    """
    parsed = Reference.parse(reference)
    try:
        if parsed.account is not None:
            return _unpacked(settings, _pulled_digest(settings, reference))
        return _of_entry(settings, reference, parsed.repository)
    except (EnvironmentBuildError, layouts.LayoutError, unpacking.UnpackError) as reason:
        raise ImageError(f"{reference}: {reason}") from reason


def remember(settings: Settings, reference: str, digest: str) -> None:
    """Note what a reference was found to be when it was pulled: a tag says nothing about content."""
    path = _note(settings, reference)
    if path.is_file() and path.read_text(encoding="ascii") == digest:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.urandom(4).hex()}")
    new.write_text(digest, encoding="ascii")
    new.replace(path)


def build(settings: Settings, report: Callable[[str], object] = lambda line: None) -> dict[str, str]:
    """Build what the projects' lock files lock, and write the images' layouts. Digest by the image's name."""
    folders = {source.project for source in layouts.sources(settings).values()}
    kept = set()
    for folder in sorted(folder for folder in folders if folder.is_dir()):
        report(f"{folder.relative_to(settings.root)}: what its lock files lock")
        made = (environments.python(settings, folder), environments.node(settings, folder))
        kept |= {path if path.name != "node_modules" else path.parent for path in made if path}
    environments.prune(settings, kept)
    return layouts.write_all(settings, report)


def _pulled_digest(settings: Settings, reference: str) -> str:
    path = _note(settings, reference)
    digest = path.read_text(encoding="ascii") if path.is_file() else ""
    if not digest or not unpacking.is_unpacked(settings, digest):
        raise ImageError(f"{reference} has not been pulled")
    return digest


def _note(settings: Settings, reference: str) -> Path:
    return settings.state / "images" / "references" / reference.replace("/", "%2F")


def _unpacked(settings: Settings, digest: str) -> Image:
    """How to run an image whose files are here."""
    root = unpacking.folder_of(settings, digest) / "rootfs"
    config = unpacking.config_of(settings, digest)
    locks = root / str((config.get("Labels") or {}).get(layouts.LOCKS, "none")).lstrip("/")
    venv, modules = environments.python(settings, locks), environments.node(settings, locks)
    inside = config.get("WorkingDir") or "/"
    folder = root / inside.lstrip("/")
    if modules is not None:
        _link(folder / "node_modules", modules)
    environment = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    own_path = [root / entry.lstrip("/") for entry in environment.pop("PATH", "").split(":") if entry]
    return Image(
        entrypoint=_words(config.get("Entrypoint"), root),
        command=_words(config.get("Cmd"), root),
        environment={
            **{name: _place(value, root) for name, value in environment.items()},
            **(_python_path(environment.get("PYTHONPATH", ""), root) if venv else {}),
        },
        # A working directory without anything of the image, such as /tmp, is the task's own.
        folder=folder if inside != "/" and folder.is_dir() and any(folder.iterdir()) else None,
        container_folder=inside,
        search_path=(
            *((venv / "bin",) if venv else (Path(sys.prefix) / "bin",)),
            *(path for path in own_path if path.is_dir()),
            *environments.node_path(settings),
        ),
    )


def _unpack(settings: Settings, layout: layouts.Layout) -> None:
    """An image that was made here and needs no registry."""
    manifest = json.loads(layout.manifest)
    with tempfile.TemporaryDirectory() as temporary:

        def written(digest: str) -> Path:
            path = Path(temporary) / digest.replace(":", "-")
            path.write_bytes(layout.blobs[digest])
            return path

        config = layout.blobs[manifest["config"]["digest"]]
        unpacking.unpack(settings, layout.digest, manifest["layers"], config, written)


def _words(words: list[str] | None, root: Path) -> tuple[str, ...]:
    return tuple(_place(word, root) for word in words or ())


def _place(text: str, root: Path) -> str:
    """A path of the image as a path of this machine."""
    inside = root / text.lstrip("/")
    return str(inside) if text.startswith("/") and text != "/" and inside.exists() else text


def _python_path(given: str, root: Path) -> dict[str, str]:
    """An image's own packages lie in a site-packages that the environment of its lock file does not know."""
    own = [str(path) for path in sorted(root.glob("**/site-packages"))]
    entries = [*(_place(entry, root) for entry in given.split(":") if entry), *own]
    return {"PYTHONPATH": ":".join(entries)} if entries else {}


def _link(path: Path, target: Path) -> None:
    """Several tasks may start at once; files of the image's own stay."""
    if (path.is_symlink() and path.readlink() == target) or (path.exists() and not path.is_symlink()):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    new.symlink_to(target)
    new.replace(path)


def _of_entry(settings: Settings, reference: str, repository: str) -> Image:
    entry = _entries(settings).get(repository)
    if entry is None:
        raise ImageError(
            f"no project is known for the image {reference}: "
            f"name {repository} in {_file(settings)} or {_own_file(settings)}"
        )
    if "project" not in entry:
        return _from_entry(entry, Image(search_path=(Path(sys.prefix) / "bin",)), {"python": sys.executable})
    layout = layouts.make(layouts.source_of(settings, entry))
    _unpack(settings, layout)
    image = _unpacked(settings, layout.digest)
    places = {"project": str(image.folder), "python": str(image.search_path[0] / "python")}
    return _from_entry(entry, image, {**places, "venv": str(image.search_path[0].parent)})


def _from_entry(entry: dict[str, Any], image: Image, places: dict[str, str]) -> Image:
    def fill(text: object) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: places.get(match.group(1), match.group(0)), str(text))

    return Image(
        entrypoint=tuple(map(fill, entry["entrypoint"])) if "entrypoint" in entry else image.entrypoint,
        command=tuple(map(fill, entry["command"])) if "command" in entry else image.command,
        environment={
            **image.environment,
            **{name: fill(value) for name, value in (entry.get("environment") or {}).items()},
        },
        folder=Path(fill(entry["folder"])) if "folder" in entry else image.folder,
        container_folder=image.container_folder,
        search_path=image.search_path,
    )


def _entries(settings: Settings) -> dict[str, dict[str, Any]]:
    return {**_read(_file(settings)), **_read(_own_file(settings))}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as reason:
        raise ImageError(f"{path} is no YAML: {reason}") from reason
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ImageError(f"{path} must map repository names to mappings such as {{project: files/frontend}}.")
    return entries


def _file(settings: Settings) -> Path:
    return settings.root / "sandbox" / "images.yml"


def _own_file(settings: Settings) -> Path:
    return settings.state / "images.yml"


def main() -> int:
    """``python -m sandbox.layouts``"""
    os.umask(0o022)  # a task may run as another user than the builder
    try:
        build(sandbox_settings.load(), _say)
    except (EnvironmentBuildError, layouts.LayoutError, sandbox_settings.SettingsError) as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
