# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are projects: named in images.yml, described by their Dockerfile, built once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox import settings as sandbox_settings
from sandbox.runtime import dockerfile, images
from sandbox.runtime.images import Reference
from sandbox.settings import Settings

DOCKERFILE = """\
# syntax=docker/dockerfile:1
ARG PORT=4000
FROM --platform=linux/amd64 python:3.11-slim AS base
WORKDIR /app
ENV PYTHONUNBUFFERED=1 \\
    # a comment between the lines
    GREETING="hello world" HOME_PAGE=${PORT:-1}/x
RUN <<EOT
CMD ["never"]
EOT
FROM base AS webserver
ENV ROLE webserver of $GREETING
ENTRYPOINT ["python", "-m"]
CMD ["http.server", "--bind", "0.0.0.0"]
FROM base AS daemon
WORKDIR worker
CMD exec dagster-daemon run
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Settings:
    """Settings of an empty checkout with one project."""
    project = tmp_path / "files" / "one"
    project.mkdir(parents=True)
    (tmp_path / "sandbox").mkdir()
    (project / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    entries = {"localgov/one": {"project": "files/one", "target": "webserver", "environment": {"AT": "{project}/x"}}}
    (tmp_path / "sandbox" / "images.yml").write_text(yaml.safe_dump(entries), encoding="utf-8")
    return replace(sandbox_settings.load(), root=tmp_path, state=tmp_path / ".sandbox")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/frontend:1.2",
            Reference("localgov/frontend", "1.2", None, "200000000001", "eu-west-2"),
        ),
        (
            "200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/frontend@sha256:ab",
            Reference("localgov/frontend", None, "sha256:ab", "200000000001", "eu-west-2"),
        ),
        ("localhost:5000/one", Reference("one", None, None, None, None)),
        ("library/one:2", Reference("library/one", "2", None, None, None)),
        ("one", Reference("one", None, None, None, None)),
    ],
)
def test_an_image_reference_is_taken_apart(text: str, wanted: Reference) -> None:
    assert Reference.parse(text) == wanted


def test_a_stage_has_what_it_says_and_what_its_parent_says(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILE, encoding="utf-8")
    stage = dockerfile.read(path, "webserver")
    assert stage.environment == {
        "PYTHONUNBUFFERED": "1",
        "GREETING": "hello world",
        "HOME_PAGE": "4000/x",
        "ROLE": "webserver of hello world",
    }
    assert stage.folder == "/app"
    assert (stage.entrypoint, stage.command) == (("python", "-m"), ("http.server", "--bind", "0.0.0.0"))  # noqa: S104


def test_without_a_target_the_last_stage_counts_and_a_shell_runs_a_command_in_shell_form(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILE, encoding="utf-8")
    stage = dockerfile.read(path)
    assert stage.folder == "/app/worker"
    assert stage.command == ("/bin/sh", "-c", "exec dagster-daemon run")


def test_a_stage_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILE, encoding="utf-8")
    with pytest.raises(dockerfile.DockerfileError, match=r"no stage 'web'; it has base, webserver, daemon"):
        dockerfile.read(path, "web")


def test_an_image_that_is_not_built_says_how_to_build_it(checkout: Settings) -> None:
    with pytest.raises(images.ImageError, match=r"python -m sandbox\.runtime\.images"):
        images.find(checkout, "localgov/one:1")


def test_a_project_is_built_once_and_again_when_its_lock_changes(checkout: Settings) -> None:
    project = checkout.root / "files" / "one"
    (project / "pyproject.toml").write_text(
        '[project]\nname = "one"\nversion = "1"\n[build-system]\nrequires = []\n'
        'build-backend = "backend"\nbackend-path = ["."]\n',
        encoding="utf-8",
    )
    (project / "backend.py").write_text(BACKEND, encoding="utf-8")
    (project / "requirements.lock").write_text("", encoding="utf-8")
    assert images.build(checkout) == ["files/one"]
    assert images.build(checkout) == []
    image = images.find(checkout, "localgov/one:1")
    assert image.folder == project
    assert image.environment["AT"] == f"{project}/x"
    assert (image.search_path[0] / "python").is_file()
    (project / "requirements.lock").write_text("# changed\n", encoding="utf-8")
    assert images.build(checkout) == ["files/one"]


def test_a_project_without_a_lock_is_not_built_from_whatever_is_newest(checkout: Settings) -> None:
    (checkout.root / "files" / "one" / "pyproject.toml").write_text('[project]\nname = "one"\n', encoding="utf-8")
    with pytest.raises(images.ImageError, match=r"requirements\.lock"):
        images.build(checkout)


def test_every_image_of_this_repository_is_named_with_a_project_below_files() -> None:
    content = yaml.safe_load((sandbox_settings.ROOT / "sandbox" / "images.yml").read_text(encoding="utf-8"))
    assert set(content) == {"localgov/frontend", "localgov/dagit", "localgov/daemon", "localgov/code-server"}
    assert all(entry["project"].startswith("files/") for entry in content.values())


# The smallest backend that can install a project in place: nothing has to be fetched for this test.
BACKEND = """
import zipfile

def get_requires_for_build_editable(settings=None):
    return []

def build_editable(folder, settings=None, metadata=None):
    name = "one-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("one-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: one\\nVersion: 1\\n")
        wheel.writestr("one-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("one-1.dist-info/RECORD", "")
    return name
"""
