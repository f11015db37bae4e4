# SPDX-License-Identifier: GPL-3.0-or-later
"""A Chromium to test with: the machine's, or else the one in an npm package, which needs no root."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_TESTS = Path(__file__).parent
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Chromium:
    executable: Path
    environment: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def find_chromium(unpacked: Path) -> Chromium:
    """`CHROMIUM_PATH`, else one on PATH, else the npm package's, unpacked once into the folder given."""
    named = os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, _NAMES)), None)
    if named:
        return Chromium(Path(named))
    executable = unpacked / "chromium"
    if not executable.is_file():
        _unpack(unpacked)
    return Chromium(
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
