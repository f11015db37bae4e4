# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by name: what a reference says, what a Dockerfile says, and what images.yml knows without a registry."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox import settings as sandbox_settings
from sandbox.runtime import dockerfile, environments, images
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


def test_the_user_and_the_copies_of_a_stage_are_known_with_where_they_come_from(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(
        "FROM python:3.11 AS builder\nCOPY requirements.lock .\nFROM python:3.11\nWORKDIR /app\nUSER 10001:10001\n"
        'COPY --chown=1:1 src src\nCOPY --from=Builder --link ["/opt/my venv", "/opt/venv/"]\n',
        encoding="utf-8",
    )
    stages = dockerfile.stages(path)
    assert stages["builder"].copies == (dockerfile.Copy(("requirements.lock",), "/"),)
    assert stages[""].user == "10001:10001"
    assert stages[""].copies == (
        dockerfile.Copy(("src",), "/app/src"),
        dockerfile.Copy(("/opt/my venv",), "/opt/venv/", "builder"),
    )


def test_an_image_of_ecr_that_was_not_pulled_is_not_run_from_the_sources(checkout: Settings) -> None:
    reference = "200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/one:1"
    with pytest.raises(images.ImageError, match="has not been pulled"):
        images.find(checkout, reference)


def test_a_name_without_a_registry_runs_the_project_as_an_image_of_its_own(checkout: Settings) -> None:
    project = checkout.root / "files" / "one"
    (project / "Dockerfile").write_text(
        'FROM python:3.11\nWORKDIR /app\nCOPY src /app/\nCMD ["/app/main.py"]\n', encoding="utf-8"
    )
    (project / "src").mkdir()
    (project / "src" / "main.py").write_text("first", encoding="utf-8")
    (checkout.root / "sandbox" / "images.yml").write_text(
        yaml.safe_dump({"localgov/one": {"project": "files/one", "environment": {"AT": "{project}/x"}}}),
        encoding="utf-8",
    )
    image = images.find(checkout, "localgov/one:1")
    assert image.folder is not None
    assert image.folder.is_relative_to(checkout.state)
    assert image.command == (f"{image.folder}/main.py",)
    assert image.environment["AT"] == f"{image.folder}/x"
    (project / "src" / "main.py").write_text("second", encoding="utf-8")
    assert (image.folder / "main.py").read_text(encoding="utf-8") == "first"
    changed = images.find(checkout, "localgov/one:1")
    assert changed.folder is not None
    assert (changed.folder / "main.py").read_text(encoding="utf-8") == "second"


def test_what_a_lock_file_locks_is_built_once_and_again_when_the_lock_changes(checkout: Settings) -> None:
    project = checkout.root / "files" / "one"
    lock = project / "requirements.lock"
    lock.write_text("", encoding="utf-8")
    first = environments.python(checkout, project)
    assert first is not None
    assert (first / "bin" / "python").is_file()
    (first / "mark").touch()
    assert environments.python(checkout, project) == first
    assert (first / "mark").exists()
    lock.write_text("# changed\n", encoding="utf-8")
    assert environments.python(checkout, project) != first


def test_an_environment_whose_building_was_cut_short_is_built_again(checkout: Settings) -> None:
    project = checkout.root / "files" / "one"
    (project / "requirements.lock").write_text("", encoding="utf-8")
    made = environments.python(checkout, project)
    assert made is not None
    (made / "complete").unlink()
    (made / "bin" / "python").unlink()
    assert environments.python(checkout, project) == made
    assert (made / "bin" / "python").is_file()


def test_a_lock_that_cannot_be_installed_says_what_failed(checkout: Settings) -> None:
    project = checkout.root / "files" / "one"
    (project / "requirements.lock").write_text("no-hash-for-this==1\n", encoding="utf-8")
    with pytest.raises(environments.EnvironmentBuildError, match="--require-hashes"):
        environments.python(checkout, project)


def test_environments_that_nothing_has_used_for_weeks_are_removed(checkout: Settings) -> None:
    project = checkout.root / "files" / "one"
    made = []
    for content in ("# old\n", "# new\n"):
        (project / "requirements.lock").write_text(content, encoding="utf-8")
        folder = environments.python(checkout, project)
        assert folder is not None
        made.append(folder)
        os.utime(folder / "complete", (0, 0))
    environments.prune(checkout, {made[1]})
    assert [folder.exists() for folder in made] == [False, True]


def test_every_image_of_this_repository_is_named_with_a_project_below_files() -> None:
    content = yaml.safe_load((sandbox_settings.ROOT / "sandbox" / "images.yml").read_text(encoding="utf-8"))
    assert set(content) == {"localgov/frontend", "localgov/dagit", "localgov/daemon", "localgov/code-server"}
    assert all(entry["project"].startswith("files/") for entry in content.values())
