# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account runs, from what ECS, the logs and the account's own records say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._one_off_tasks import main_container

_MARK = '{"versions"'
_TAG_LENGTH = 12  # as ecr_image tags an image by itself
UNKNOWN: dict[str, Any] = {"dagster": None, "schema": None, "schema_expected": None, "migrates": None}


def image_of(definition: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The image of a task definition's main container: its name without the *prefix*, its digest and its tag."""
    repository, _at, digest = main_container(definition)["image"].partition("@")
    name = repository.partition("/")[2] or repository
    digits = digest.partition(":")[2]
    return {
        "image": name.removeprefix(f"{prefix}/"),
        "digest": digest or None,
        "tag": digits[:_TAG_LENGTH] or None,
    }


def service_name(definition: dict[str, Any], prefix: str) -> str:
    return str(definition["family"]).removeprefix(f"{prefix}-")


def with_counts(image: dict[str, Any], service: dict[str, Any] | None) -> dict[str, Any]:
    """With how many tasks there are to be and are; None for what is no service but is launched."""
    counts = service or {}
    return {**image, "desired": counts.get("desiredCount"), "running": counts.get("runningCount")}


def below(services: dict[str, dict[str, Any]]) -> list[str]:
    """The services of which fewer tasks run than there are to be."""
    return [name for name, one in services.items() if one["desired"] is not None and one["running"] < one["desired"]]


def told_by(lines: Iterable[str]) -> dict[str, Any]:
    """What the daemon has said of itself and of its database last; None where it has not."""
    told = [line for line in lines if line.startswith(_MARK)]
    return {**UNKNOWN, **(json.loads(told[-1])["versions"] if told else {})}
