# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts from sources: equal sources give equal digests, and the files lie where the Dockerfile puts them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from sandbox import settings as sandbox_settings
from sandbox.runtime import layouts
from sandbox.runtime.layouts import Layout, Source

DOCKERFILE = """\
FROM python:3.11 AS builder
COPY requirements.lock .
RUN python -m venv /opt/venv
COPY src /opt/venv/lib/site-packages
FROM node:24 AS assets
COPY package.json package-lock.json ./
RUN npm ci
FROM python:3.11
ENV PATH=/opt/venv/bin:$PATH PORT=8080
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
COPY --from=assets /node_modules node_modules
COPY --from=docker.io/library/busybox /bin/sh /bin/sh
COPY data/*.csv start.sh ./
USER 10001:10001
ENTRYPOINT ["python", "-m"]
CMD ["one"]
"""
FILES = {
    "Dockerfile": DOCKERFILE,
    ".dockerignore": "# only these\n*\n!src\n!data/*.csv\n!start.sh\n!requirements.lock\n!package*.json\n**/secret.*\n",
    "README.md": "not in the image",
    "data/table.csv": "a,b\n",
    "data/notes.txt": "not in the image",
    "package.json": "{}",
    "package-lock.json": "{}",
    "requirements.lock": "# nothing\n",
    "src/one/__main__.py": "print(1)\n",
    "src/one/secret.key": "not in the image",
    "start.sh": "#!/bin/sh\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "one"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (folder / "start.sh").chmod(0o755)
    return folder


def archive_of(layout: Layout) -> dict[str, tarfile.TarInfo]:
    manifest = json.loads(layout.manifest)
    with tarfile.open(fileobj=io.BytesIO(layout.blobs[manifest["layers"][0]["digest"]])) as archive:
        return {entry.name: entry for entry in archive}


def config_of(layout: Layout) -> dict[str, object]:
    found: dict[str, object] = json.loads(layout.blobs[json.loads(layout.manifest)["config"]["digest"]])["config"]
    return found


def test_the_layer_has_what_is_copied_where_it_is_copied_to_and_the_lock_files(project: Path) -> None:
    entries = archive_of(layouts.make(Source(project)))
    assert {name for name, entry in entries.items() if entry.isfile()} == {
        "app/start.sh",
        "app/table.csv",
        "opt/venv/lib/site-packages/one/__main__.py",
        "usr/share/localgov-sandbox/package-lock.json",
        "usr/share/localgov-sandbox/package.json",
        "usr/share/localgov-sandbox/requirements.lock",
    }
    assert {name: entry.mode for name, entry in entries.items() if entry.isfile() and entry.mode != 0o644} == {
        "app/start.sh": 0o755
    }


def test_the_configuration_has_what_the_dockerfile_says_about_running(project: Path) -> None:
    assert config_of(layouts.make(Source(project))) == {
        "Env": ["PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PORT=8080"],
        "Entrypoint": ["python", "-m"],
        "Cmd": ["one"],
        "WorkingDir": "/app",
        "User": "10001:10001",
        "Labels": {layouts.LOCKS: "/usr/share/localgov-sandbox"},
    }


def test_time_place_order_and_rights_do_not_change_the_digest(project: Path, tmp_path: Path) -> None:
    first = layouts.make(Source(project))
    other = tmp_path / "elsewhere" / "two"
    other.mkdir(parents=True)
    for name in sorted(FILES, reverse=True):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / name, other / name)
        os.utime(other / name, (1, 1))
        (other / name).chmod(0o700 if name == "start.sh" else 0o600)
    (other / "src" / "one" / "__pycache__").mkdir()
    (other / "src" / "one" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert layouts.make(Source(other)) == first


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("src/one/__main__.py", True),
        ("src/one/new.py", True),
        ("data/table.csv", True),
        ("requirements.lock", True),
        ("README.md", False),
        ("data/notes.txt", False),
        ("src/one/secret.key", False),
    ],
)
def test_only_what_is_in_the_image_changes_its_digest(project: Path, name: str, changes: bool) -> None:
    before = layouts.make(Source(project)).digest
    with (project / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert (layouts.make(Source(project)).digest != before) is changes


def test_a_file_that_may_be_executed_is_another_image(project: Path) -> None:
    before = layouts.make(Source(project)).digest
    (project / "start.sh").chmod(0o644)
    assert layouts.make(Source(project)).digest != before


def test_a_layout_on_disk_is_complete_checked_by_its_digests_and_written_once(project: Path, tmp_path: Path) -> None:
    layout, folder = layouts.make(Source(project)), tmp_path / "layout"
    assert layouts.write(layout, folder)
    blobs = {path.name: path.read_bytes() for path in (folder / "blobs" / "sha256").iterdir()}
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in blobs.items())
    (entry,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    assert entry["digest"] == layout.digest
    assert entry["digest"].removeprefix("sha256:") in blobs
    assert not layouts.write(layout, folder)
    (project / "start.sh").write_text("changed", encoding="utf-8")
    assert layouts.write(layouts.make(Source(project)), folder)
    assert len(list((folder / "blobs" / "sha256").iterdir())) == 3
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith("tmp")] == []


def test_a_project_without_a_dockerfile_or_without_the_stage_says_so(project: Path) -> None:
    with pytest.raises(layouts.LayoutError, match=r"no stage 'web'; it has builder, assets"):
        layouts.make(Source(project, target="web"))
    (project / "Dockerfile").unlink()
    with pytest.raises(layouts.LayoutError, match=r"There is no .*Dockerfile"):
        layouts.make(Source(project))


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", False),
        ("**/*.md", "docs/README.md", True),
        ("**/*.md", "README.md", True),
        ("docs", "docs/a/b.txt", True),
        ("/docs/", "docs/a/b.txt", True),
        ("docs\n!docs/a", "docs/a/b.txt", False),
        ("docs\n!docs/a", "docs/b.txt", True),
        ("*\n!src\n**/*.pyc", "src/a/b.pyc", True),
        ("*\n!src\n**/*.pyc", "src/a/b.py", False),
        ("*\n!src", "other", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("# a comment\n\n", "# a comment", False),
        ("", "anything", False),
    ],
)
def test_files_are_left_out_as_an_engine_leaves_them_out(
    tmp_path: Path, patterns: str, path: str, ignored: bool
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    (tmp_path / ".dockerignore").write_text(patterns, encoding="utf-8")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("x", encoding="utf-8")
    assert (path not in archive_of(layouts.make(Source(tmp_path)))) is ignored


@pytest.mark.parametrize(
    ("copy", "wanted"),
    [
        ("COPY a/one.txt /x", {"x"}),
        ("COPY a/one.txt /x/", {"x/one.txt"}),
        ("COPY a/one.txt .", {"work/one.txt"}),
        ("COPY a/one.txt b", {"work/b"}),
        ("COPY a /x", {"x/one.txt", "x/deep/two.txt"}),
        ("COPY a/*.txt /x/", {"x/one.txt"}),
        ("COPY a/one.txt a/deep /x/", {"x/one.txt", "x/two.txt"}),
        ("COPY a/deep /x\nCOPY a/one.txt /x", {"x/two.txt", "x/one.txt"}),
        ("COPY ./a/../a/one.txt ../x", {"x"}),
        ("ADD a/one.txt /x", {"x"}),
        ("COPY nowhere /x", set()),
    ],
)
def test_a_copy_puts_files_where_an_engine_puts_them(tmp_path: Path, copy: str, wanted: set[str]) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nWORKDIR /work\n{copy}\n", encoding="utf-8")
    for name in ("a/one.txt", "a/deep/two.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    entries = archive_of(layouts.make(Source(tmp_path)))
    assert {name for name, entry in entries.items() if entry.isfile()} == wanted


def test_this_repositorys_images_are_small_and_hold_no_tests() -> None:
    settings = sandbox_settings.load()
    for repository, source in layouts.sources(settings).items():
        layout = layouts.make(source)
        names = archive_of(layout)
        assert sum(map(len, layout.blobs.values())) < 1_000_000, repository
        assert [name for name in names if name.endswith(".py")], repository
        assert not [name for name in names if "tests" in name.split("/") or name.endswith(".pyc")], repository
