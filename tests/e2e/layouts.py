# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a test's own, beside the platform's: made from a project of this repository that is changed a little."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sandbox.runtime.layouts import Source, make, write
from sandbox.settings import ROOT

LAYOUTS = ROOT / "build" / "images" / "layouts"


def with_changed_command(project: str, command: str, folder: Path) -> Path:
    """A copy of a project's image context whose image starts with another command (JSON, as in a Dockerfile)."""
    copy = folder / Path(project).name
    source = ROOT / project
    ignored = shutil.ignore_patterns("tests", "node_modules", "__pycache__", ".venv")
    shutil.copytree(source, copy, ignore=ignored)
    kept = [line for line in (source / "Dockerfile").read_text().splitlines() if not line.startswith("CMD ")]
    (copy / "Dockerfile").write_text("\n".join([*kept, f"CMD {command}", ""]))
    return copy


def with_another_file(project: str, folder: Path, content: str = "another\n") -> Path:
    """A copy of a project's image context whose image does the same, and has another digest for each content."""
    command = (ROOT / project / "Dockerfile").read_text().splitlines()[-1].removeprefix("CMD ")
    copy = with_changed_command(project, command, folder)
    (copy / "src" / "another.txt").write_text(content)
    return copy


def with_image(name: str, project: Path, folder: Path) -> dict[str, str]:
    """The platform's layouts in a folder, and one more or another one. Digest by the image's name."""
    shutil.copytree(LAYOUTS, folder)
    write(make(Source(project)), folder / name)
    return {path.name: digest(path) for path in folder.iterdir()}


def digest(layout: Path) -> str:
    found: str = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    return found
