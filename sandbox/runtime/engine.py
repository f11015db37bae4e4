# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``docker`` package, as far as the emulator uses it: stands in ``sys.modules`` under that name.

What is asked to run as an ECS container or an RDS database becomes a local process; anything else that would need a
container engine is refused as if its image could not be had, which the emulator knows how to live with.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable
from typing import Any

from sandbox.runtime import errors as errors  # found as docker.errors
from sandbox.runtime.containers import Container

__version__ = "7.1.0"

# Who starts a container, by its label "ministack".
_starters: dict[str, Callable[..., Container]] = {}


class Containers:
    """All containers of this emulator."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[str, Container] = {}

    def run(self, image: str, command: object = None, **options: Any) -> Container:  # noqa: ANN401  whatever the emulator says
        service = (options.get("labels") or {}).get("ministack", "")
        if service not in _starters:
            raise errors.ImageNotFound(f"the sandbox has no container engine to run {image}")
        container = _starters[service](image=image, command=command, **options)
        with self._lock:
            self._all[container.id] = container
        return container

    def get(self, reference: str) -> Container:
        with self._lock:
            for container in self._all.values():
                if reference and reference in (container.id, container.short_id, container.name):
                    return container
        raise errors.NotFound(f"no such container: {reference}")

    def list(self, all: bool = False, filters: dict[str, Any] | None = None, **_: object) -> list[Container]:
        wanted = (filters or {}).get("label") or []
        conditions = [wanted] if isinstance(wanted, str) else wanted
        with self._lock:
            found = list(self._all.values())
        return [
            container
            for container in found
            if (all or container.status == "running") and _matches(container.labels, conditions)
        ]

    def forget(self, container: Container) -> None:
        with self._lock:
            self._all.pop(container.id, None)


class Image:
    """An image that needs no pulling."""

    def __init__(self, name: str) -> None:
        self.tags = [name]
        self.id = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        self.attrs = {"Id": self.id, "RepoDigests": []}

    def tag(self, *_: object, **__: object) -> bool:
        return True


class Images:
    def get(self, name: str) -> Image:
        if _is_database(name):
            # Not at hand: the emulator then starts the database in the background and reports it as creating.
            raise errors.ImageNotFound(name)
        return Image(name)

    def pull(self, name: str, **_: object) -> Image:
        return Image(name)

    def get_registry_data(self, name: str, **_: object) -> Image:
        """Which digest a tag stands for is not told: digests of the sandbox's images are no manifests' digests."""
        raise errors.NotFound(name)

    def list(self, **_: object) -> list[Image]:
        return []


class Nothing:
    """Networks and volumes: there are none."""

    def get(self, name: str) -> None:
        raise errors.NotFound(name)

    def list(self, **_: object) -> list[None]:
        return []

    def create(self, *_: object, **__: object) -> None:
        raise errors.APIError("the sandbox has no container engine")


class DockerClient:
    def __init__(self, **_: object) -> None:
        self.containers = containers
        self.images = Images()
        self.networks = Nothing()
        self.volumes = Nothing()

    def ping(self) -> bool:
        return True

    def version(self) -> dict[str, str]:
        return {"Version": __version__}

    def info(self) -> dict[str, str]:
        return {"OSType": "linux"}

    def close(self) -> None:
        pass


containers = Containers()


def from_env(**_: object) -> DockerClient:
    return DockerClient()


def install(starters: dict[str, Callable[..., Container]]) -> None:
    """Become the ``docker`` package of this process."""
    _starters.update(starters)
    sys.modules["docker"] = sys.modules[__name__]
    sys.modules["docker.errors"] = errors


def _matches(labels: dict[str, str], conditions: list[str]) -> bool:
    pairs = (condition.partition("=") for condition in conditions)
    return all(name in labels and (not equals or labels[name] == value) for name, equals, value in pairs)


def _is_database(image: str) -> bool:
    return image.rsplit("/", 1)[-1].startswith("postgres:")
