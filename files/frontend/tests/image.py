# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine would take from the last stage of the Dockerfile, so that the tests start what the image starts."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Image:
    environment: dict[str, str]
    working_folder: str
    command: list[str]
    user: str


def read_image(dockerfile: Path) -> Image:
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    stage = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[-1]
    instructions: dict[str, str] = {}
    for line in stage.splitlines():
        name, _, value = line.partition(" ")
        instructions[name] = value.strip()
    environment = dict(pair.split("=", 1) for pair in shlex.split(instructions["ENV"]))
    return Image(environment, instructions["WORKDIR"], json.loads(instructions["CMD"]), instructions["USER"])
