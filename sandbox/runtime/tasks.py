# SPDX-License-Identifier: GPL-3.0-or-later
"""An ECS container as a process: its command, its environment, its address.

Processes of one machine share its network, so what a container has to itself is put in by substitution, in the
command and in the values of the environment:

* ``0.0.0.0`` becomes the task's own loopback address, which ``BIND_ADDRESS`` also holds.
* A Cloud Map name of the account, such as ``code-server.localgov.internal``, becomes the address that this service
  keeps, whether it runs already or not. Names under ``.internal`` count even before their namespace is made, because
  a stack may start a task before it creates the namespace.
* The image's working directory, such as ``/app``, becomes the folder of the project the image is mapped to, and the
  path at which a file system of EFS is mounted the folder of its access point.

Nothing of the emulator's own environment reaches a task. File systems are the machine's; CPU and memory are not
limited.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.runtime import file_systems, images
from sandbox.runtime.containers import Container, Launch
from sandbox.settings import Settings

_EVERY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.]|/\d)")
_OWN_HOST = re.compile(r"(?<![\w.-])(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?![\w.-])")
_HOST = r"(?<![\w.-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{})(?![\w-]|\.\w)"

# What ECS gives a container that does not say: 30 seconds to end, 120 at most.
_STOP_SECONDS, _LONGEST_STOP = 30.0, 120.0
# What the emulator adds for containers with a network of their own.
_EMULATOR_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "ECS_CONTAINER_METADATA_URI_V4",
)


@dataclass(frozen=True)
class Task:
    """What the emulator knows of a task and one of its containers, as plain data."""

    arn: str
    record: dict[str, Any]
    definition: dict[str, Any]
    container: dict[str, Any]  # of the task definition
    overrides: dict[str, Any]  # of this container

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    @property
    def identifier(self) -> str:
        return self.arn.rsplit("/", 1)[-1]

    @property
    def cluster(self) -> str:
        return self.arn.split("/")[1]

    @property
    def service(self) -> str | None:
        group = self.record.get("group") or ""
        return group.removeprefix("service:") if group.startswith("service:") else None

    @property
    def task_role(self) -> str | None:
        overrides = self.record.get("overrides") or {}
        return overrides.get("taskRoleArn") or self.definition.get("taskRoleArn") or None

    @property
    def execution_role(self) -> str | None:
        overrides = self.record.get("overrides") or {}
        return overrides.get("executionRoleArn") or self.definition.get("executionRoleArn") or None


def launch(
    settings: Settings,
    task: Task,
    *,
    given: dict[str, str],
    platform: dict[str, str],
    address: str,
    namespaces: list[str],
    address_of: Callable[[str], str],
) -> Launch:
    """How this container is started.

    *given* is the environment of the task definition, its secrets and the overrides; *platform* what ECS adds;
    *address_of* gives the address that a host name keeps.
    """
    image = images.find(settings, task.container["image"])
    mounted = file_systems.mounts(settings, task.account, task.definition, task.container)
    substitute = _substitution(image, address, namespaces, address_of, mounted)
    folder = task_folder(settings, task)
    environment = {
        **_base_environment(image, folder),
        **{name: substitute(value) for name, value in image.environment.items() if name != "PATH"},
        "BIND_ADDRESS": address,
        **{name: substitute(value) for name, value in given.items() if name not in _EMULATOR_VARIABLES},
        **platform,
    }
    log = folder / f"{task.container['name']}.log"
    return Launch(
        arguments=[substitute(word) for word in _command(task, image)],
        environment=environment,
        folder=_working_folder(image, task, folder),
        log=log,
        address=address,
        stop_seconds=min(_LONGEST_STOP, float(task.container.get("stopTimeout") or _STOP_SECONDS)),
    )


def container(settings: Settings, task: Task, start: Launch, name: str, labels: dict[str, str]) -> Container:
    what = f"container {task.container['name']} of a task {task.definition.get('family')} in account {task.account}"
    return Container(name, labels, task.container["image"], what, start, settings.state)


def health_command(task: Task, address: str) -> list[str] | None:
    """The container's health check, with its own host's name as the task's address; None when it has none."""
    command = (task.container.get("healthCheck") or {}).get("command") or []
    if not command or command[0] == "NONE":
        return None
    words = [_OWN_HOST.sub(address, str(word)) for word in command]
    if words[0] == "CMD":
        return words[1:]
    return ["/bin/sh", "-c", " ".join(words[1:] if words[0] == "CMD-SHELL" else words)]


def task_folder(settings: Settings, task: Task) -> Path:
    """Where the task's log and its home are."""
    family = task.definition.get("family", "task")
    return settings.state / "tasks" / task.account / f"{family}-{task.identifier}"


def keeps_address_as(task: Task, registered_name: str | None) -> str:
    """The name under which the task's address is kept: the Cloud Map name its clients use, its service, its family."""
    if registered_name:
        return f"{task.account}/{registered_name}"
    if task.service:
        return f"{task.account}/{task.region}/{task.cluster}/service/{task.service}"
    return f"{task.account}/{task.region}/{task.cluster}/family/{task.definition.get('family', '')}"


def _substitution(
    image: images.Image,
    address: str,
    namespaces: list[str],
    address_of: Callable[[str], str],
    mounted: dict[str, Path],
) -> Callable[[object], str]:
    suffixes = [*map(re.escape, sorted(namespaces, key=len, reverse=True)), "internal"]
    hosts = re.compile(_HOST.format("|".join(suffixes)))
    inside = image.container_folder
    paths = re.compile(rf"(?<![\w./-]){re.escape(inside)}(?![\w.-])") if image.folder and inside != "/" else None

    def substitute(value: object) -> str:
        text = _EVERY_ADDRESS.sub(address, str(value))
        for path, folder in mounted.items():
            text = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", str(folder).replace("\\", r"\\"), text)
        text = hosts.sub(lambda match: address_of(match.group(0)), text)
        return paths.sub(lambda _: str(image.folder), text) if paths else text

    return substitute


def _base_environment(image: images.Image, folder: Path) -> dict[str, str]:
    """What every container has, whatever its image: none of it comes from the emulator's own environment."""
    home, temporary = folder / "home", folder / "tmp"
    for place in (home, temporary):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "PATH": ":".join([*map(str, image.search_path), images.SYSTEM_PATH]),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }


def _command(task: Task, image: images.Image) -> list[str]:
    entrypoint = task.container.get("entryPoint")
    command = task.overrides.get("command") or task.container.get("command")
    if not command and not entrypoint:  # an own entry point takes the image's command away, as in Docker
        command = image.command
    words = [*(entrypoint or image.entrypoint), *(command or ())]
    if not words:
        raise images.ImageError(f"neither the task definition nor the image {task.container['image']} has a command")
    return [str(word) for word in words]


def _working_folder(image: images.Image, task: Task, folder: Path) -> Path:
    wanted = task.container.get("workingDirectory")
    if wanted and image.folder and Path(wanted).is_relative_to(image.container_folder):
        return image.folder / Path(wanted).relative_to(image.container_folder)
    return image.folder or folder
