# SPDX-License-Identifier: GPL-3.0-or-later
"""A release can be written from what lies in changelogs/fragments, and leaves nothing out but what is trivial."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FRAGMENTS = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / "changelogs" / "fragments").glob("*.yml")}
VERSION = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
TITLES = dict(yaml.safe_load((ROOT / "changelogs" / "config.yaml").read_text(encoding="utf-8"))["sections"])


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the collection, in a repository of its own, of which the version in galaxy.yml was released."""
    copy = tmp_path_factory.mktemp("release") / "ansible_collections" / "localgov" / "platform"
    for name in ("changelogs", "meta", "plugins", "roles"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("CHANGELOG.md", "galaxy.yml"):
        shutil.copy(ROOT / name, copy)
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    program = Path(sys.executable).parent / "antsibull-changelog"
    done = subprocess.run([program, "release"], cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy


@pytest.fixture(scope="module")
def kept(released: Path) -> dict[str, Any]:
    """What the copy's changelog.yaml says of the release."""
    text = (released / "changelogs" / "changelog.yaml").read_text(encoding="utf-8")
    entry: dict[str, Any] = yaml.safe_load(text)["releases"][VERSION]
    return entry


def test_a_release_takes_every_fragment(released: Path, kept: dict[str, Any]) -> None:
    assert FRAGMENTS
    assert kept["fragments"] == sorted(FRAGMENTS)
    assert list((released / "changelogs" / "fragments").iterdir()) == []


def test_a_release_says_what_every_fragment_says(released: Path, kept: dict[str, Any]) -> None:
    wanted = Counter(entry for fragment in FRAGMENTS.values() for entry in entries(fragment) if entry[0] != "trivial")
    assert Counter(entries(kept["changes"])) == wanted
    shown = {name: body.count("\n* ") for name, body in sections((released / "CHANGELOG.md").read_text()).items()}
    counted = Counter(section for section, _ in wanted.elements() if section in TITLES)
    assert {TITLES[section]: number for section, number in counted.items()}.items() <= shown.items()


def test_a_release_lists_every_module(kept: dict[str, Any]) -> None:
    assert [module["name"] for module in kept["modules"]] == sorted(
        path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")
    )


def entries(changes: dict[str, Any]) -> list[tuple[str, str]]:
    """Section and text of each entry; a section is a list, or the text of a summary."""
    return [
        (section, text.strip())
        for section, texts in changes.items()
        for text in ([texts] if isinstance(texts, str) else texts)
    ]


def sections(changelog: str) -> dict[str, str]:
    """Title of each section to what stands in it."""
    _, *parts = re.split(r"^### (.+)$", changelog, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))
