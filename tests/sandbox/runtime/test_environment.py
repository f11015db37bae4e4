# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process is given in place of a container's own network and file system."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sandbox import settings as sandbox_settings
from sandbox.runtime import tasks
from sandbox.runtime.containers import Launch
from sandbox.settings import Settings

ARN = "arn:aws:ecs:eu-west-2:012345670123:task/localgov/0123456789abcdef"
ADDRESSES = {"server.localgov.internal": "127.99.1.7", "server.example.local": "127.99.1.8"}


@pytest.fixture
def checkout(tmp_path: Path) -> Settings:
    """Settings of a checkout with one project, whose Dockerfile works in /app."""
    project = tmp_path / "files" / "one"
    project.mkdir(parents=True)
    for name in ("x.yml", "settings.yml"):
        (project / name).touch()
    (project / "requirements.lock").write_text("", encoding="utf-8")
    (project / "Dockerfile").write_text(
        "FROM python:3.11\nWORKDIR /app\nENV SETTINGS=/app/settings.yml BIND_ADDRESS=0.0.0.0 PATH=/app/bin:$PATH\n"
        "COPY *.yml /app/\n"
        'ENTRYPOINT ["serve"]\nCMD ["--host", "0.0.0.0", "--config=/app/x.yml", "/application", "s3://bucket/app"]\n',
        encoding="utf-8",
    )
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "images.yml").write_text(
        yaml.safe_dump({"localgov/one": {"project": "files/one", "environment": {"EXTRA": "{project}/extra"}}}),
        encoding="utf-8",
    )
    return replace(sandbox_settings.load(), root=tmp_path, state=tmp_path / ".sandbox")


def launch(settings: Settings, given: dict[str, str], **container: object) -> Launch:
    task = tasks.Task(ARN, {}, {"family": "one"}, {"name": "main", "image": "localgov/one:1", **container}, {})
    return tasks.launch(
        settings,
        task,
        given=given,
        platform={"AWS_ENDPOINT_URL": "https://127.0.0.1:1"},
        address="127.99.1.1",
        namespaces=["example.local"],
        address_of=lambda host: ADDRESSES[host],
    )


def test_command_environment_and_folder_are_those_of_the_image(checkout: Settings) -> None:
    started = launch(checkout, {})
    folder = started.folder
    assert folder.is_relative_to(checkout.state / "images")
    assert started.arguments == [
        "serve", "--host", "127.99.1.1", f"--config={folder}/x.yml", "/application", "s3://bucket/app",
    ]  # fmt: skip
    assert started.environment["SETTINGS"] == f"{folder}/settings.yml"
    assert started.environment["EXTRA"] == f"{folder}/extra"
    environments = checkout.root / "build" / "images" / "environments" / "python"
    assert Path(started.environment["PATH"].split(":")[0]).is_relative_to(environments)


def test_an_entry_point_of_the_task_definition_takes_the_images_command_away(checkout: Settings) -> None:
    assert launch(checkout, {}, entryPoint=["other"]).arguments == ["other"]
    assert launch(checkout, {}, command=["this"]).arguments == ["serve", "this"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("0.0.0.0", "127.99.1.1"),  # noqa: S104  what containers are told
        ("http://0.0.0.0:80/", "http://127.99.1.1:80/"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0", "10.0.0.0"),
        ("server.localgov.internal", "127.99.1.7"),
        ("http://server.localgov.internal:4000/x", "http://127.99.1.7:4000/x"),
        ('{"host": "server.example.local"}', '{"host": "127.99.1.8"}'),
        ("server.example.local.org", "server.example.local.org"),
        ("server.example.com", "server.example.com"),
        ("internal", "internal"),
    ],
)
def test_names_and_addresses_in_the_environment_are_those_of_this_machine(
    checkout: Settings, value: str, wanted: str
) -> None:
    assert launch(checkout, {"VALUE": value}).environment["VALUE"] == wanted


def test_a_health_check_of_its_own_host_asks_the_tasks_address(checkout: Settings) -> None:
    del checkout
    check = {"command": ["CMD-SHELL", "curl -f http://localhost:3000/health || exit 1"]}
    task = tasks.Task(ARN, {}, {}, {"healthCheck": check}, {})
    wanted = "curl -f http://127.99.1.1:3000/health || exit 1"
    assert tasks.health_command(task, "127.99.1.1") == ["/bin/sh", "-c", wanted]
