# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe as the command of ECS tasks: as many trials in each as RunTask lets pass."""

from __future__ import annotations

import ast
import base64
import functools
import inspect
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils import _access_probe
from ansible_collections.localgov.platform.plugins.module_utils._access_probe import Trial
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

# "A total of 8192 characters are allowed for overrides", the characters of their JSON included.
LIMIT = 8192
_SENT = ("resource", "prefix", "rights", "version", "action")


@dataclass(frozen=True)
class Program:
    """What one task of a role is to run: the numbers of its trials, and RunTask's overrides."""

    role: str
    numbers: tuple[int, ...]
    overrides: dict[str, Any]


@dataclass(frozen=True)
class Container:
    """Where programs run: the container's name in the task definition, and what they cannot know themselves."""

    name: str
    region: str
    plain_http_endpoint_url: str | None = None


def programs(role_arn: str, container: Container, trials: Sequence[tuple[int, Trial]]) -> list[Program]:
    """The trials in as few programs as halving makes; RefusedError when a single one is too long."""
    command = ["python", "-c", script(container, trials)]
    overrides = {"taskRoleArn": role_arn, "containerOverrides": [{"name": container.name, "command": command}]}
    if len(json.dumps(overrides)) <= LIMIT:
        return [Program(role_arn, tuple(number for number, _trial in trials), overrides)]
    if len(trials) == 1:
        raise RefusedError(
            f"A single trial does not fit into the {LIMIT} characters that RunTask allows: {trials[0][1]['resource']} "
            f"with a prefix of {len(str(trials[0][1].get('prefix') or ''))} characters. Try a shorter prefix."
        )
    middle = len(trials) // 2
    return [
        *programs(role_arn, container, trials[:middle]),
        *programs(role_arn, container, trials[middle:]),
    ]


def script(container: Container, trials: Sequence[tuple[int, Trial]]) -> str:
    """Python that makes the trials; in letters that neither shells nor Ansible's templates would read anything into."""
    sent = [(number, {key: trial[key] for key in _SENT if trial.get(key)}) for number, trial in trials]
    program = f"{_source()}\nrun({sent!r}, {container.region!r}, {container.plain_http_endpoint_url!r})\n"
    packed = base64.urlsafe_b64encode(zlib.compress(program.encode(), 9)).decode("ascii")
    return f"import base64,zlib;exec(zlib.decompress(base64.urlsafe_b64decode('{packed}')))"


@functools.cache
def _source() -> str:
    """The probe's own source without what only people read, also from the zip archive that Ansible makes of modules."""
    tree = ast.parse(inspect.getsource(_access_probe))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
