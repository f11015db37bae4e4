# SPDX-License-Identifier: GPL-3.0-or-later
"""The browser of every test and picture of the repository: the machine's Chromium, or else an npm package's.

The latter needs no root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

_TESTS = Path(__file__).parent
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def chromium_browser(unpacked: Path) -> Iterator[Browser]:
    """A browser for as long as the block lasts, with a home of its own.

    The npm package's is unpacked into the folder given, unless it is there. FileNotFoundError where there is neither.
    """
    found = _find_chromium(unpacked)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.executable,
            args=list(found.arguments),
            env={**os.environ, "HOME": home, **found.environment},
        )
        yield browser
        browser.close()


@dataclass(frozen=True)
class _Chromium:
    executable: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def _find_chromium(unpacked: Path) -> _Chromium:
    """`CHROMIUM_PATH`, else one on PATH, else the npm package's, unpacked once into the folder given."""
    named = os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, _NAMES)), None)
    if named:
        return _Chromium(Path(named))
    executable = unpacked / "chromium"
    if not executable.is_file():
        _unpack(unpacked)
    return _Chromium(
        executable,
        {"LD_LIBRARY_PATH": str(unpacked / "lib"), "FONTCONFIG_PATH": str(unpacked / "fonts")},
        # It is a headless shell: it knows no other mode.
        ("--headless=shell",),
    )


def _unpack(target: Path) -> None:
    node = shutil.which("node")
    if node is None or not (_TESTS / "node_modules" / "@sparticuz" / "chromium").is_dir():
        raise FileNotFoundError(
            "No Chromium: install one and put it on PATH, or name it in CHROMIUM_PATH, or take the npm package's by "
            "`npm ci --ignore-scripts` in the folder tests (Node.js, where there is none: requirements-node.lock)."
        )
    subprocess.run([node, str(_TESTS / "chromium.mjs"), str(target)], check=True, timeout=120)
