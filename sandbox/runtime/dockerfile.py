# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Dockerfile says of one build stage: how the image runs, and which files are copied into it.

Nothing is built: RUN is skipped. (``dockerfile-parse`` of PyPI reads only the last stage.)
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

_CONTINUED = re.compile(r"\\[ \t]*\n(?:[ \t]*#[^\n]*\n|[ \t]*\n)*")
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?:(:[-+])([^}]*))?\})")
_FROM = re.compile(r"(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_HERE_DOCUMENT = re.compile(r"<<-?[\"']?(\w+)[\"']?")


class DockerfileError(Exception):
    """What of a Dockerfile cannot be understood, and where."""


@dataclass(frozen=True)
class Copy:
    """One COPY: from the build context, or from another stage of the file."""

    sources: tuple[str, ...]
    target: str  # absolute; ends with a slash where it is certainly a folder
    stage: str | None = None


@dataclass(frozen=True)
class Stage:
    """How a container of this stage runs, and what was copied into it."""

    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    copies: tuple[Copy, ...] = ()


def read(path: Path, target: str | None = None) -> Stage:
    """The named stage of the Dockerfile, the last one without *target*."""
    return find(path, stages(path), target)


def find(path: Path, known: dict[str, Stage], target: str | None) -> Stage:
    wanted = (target or "").lower()
    if wanted not in known:
        raise DockerfileError(f"{path} has no stage {target!r}; it has {', '.join(filter(None, known)) or 'none'}.")
    return known[wanted]


def stages(path: Path) -> dict[str, Stage]:
    """Every stage by its name; one without a name as ``#<number>``, the last one also as an empty name."""
    stages: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    current, name = Stage(), ""
    for instruction, value in _instructions(path.read_text(encoding="utf-8")):
        if instruction == "FROM":
            current, name = _begin(path, value, stages, arguments)
        elif instruction == "ARG":
            key, separator, default = value.partition("=")
            if separator:
                arguments[key] = _expand(_unquote(default), {**arguments, **current.environment})
        else:
            current = _apply(path, current, instruction, value, arguments)
        stages[name] = stages[""] = current
    return stages


def _instructions(text: str) -> list[tuple[str, str]]:
    found = []
    lines = iter(_CONTINUED.sub(" ", text).splitlines())
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        instruction, _, value = stripped.partition(" ")
        found.append((instruction.upper(), value.strip()))
        for end in _HERE_DOCUMENT.findall(value) if instruction.upper() in {"RUN", "COPY", "ADD"} else ():
            for content in lines:
                if content.strip() == end:
                    break
    return found


def _begin(path: Path, value: str, stages: dict[str, Stage], arguments: dict[str, str]) -> tuple[Stage, str]:
    match = _FROM.fullmatch(value)
    if match is None:
        raise DockerfileError(f"{path}: cannot read `FROM {value}`.")
    parent = _expand(match.group(1), arguments).lower()
    # A stage goes on from an earlier one of this file; what an image from a registry sets is not known here.
    return stages.get(parent, Stage()) if parent else Stage(), (match.group(2) or f"#{len(stages)}").lower()


def _apply(path: Path, stage: Stage, instruction: str, value: str, arguments: dict[str, str]) -> Stage:
    known = {**arguments, **stage.environment}
    if instruction == "ENV":
        return replace(stage, environment={**stage.environment, **_assignments(path, value, known)})
    if instruction == "WORKDIR":
        return replace(stage, folder=posixpath.join(stage.folder, _expand(_unquote(value), known)))
    if instruction == "ENTRYPOINT":
        return replace(stage, entrypoint=_command(path, instruction, value), command=())
    if instruction == "CMD":
        return replace(stage, command=_command(path, instruction, value))
    if instruction == "USER":
        return replace(stage, user=_expand(_unquote(value), known))
    if instruction in {"COPY", "ADD"}:
        return replace(stage, copies=(*stage.copies, _copy(path, stage, value, known)))
    return stage


def _copy(path: Path, stage: Stage, value: str, known: dict[str, str]) -> Copy:
    """Of its flags only --from counts: owners and modes are nobody's without a container."""
    flags: dict[str, str] = {}
    rest = value
    while match := re.match(r"--(\w+)(?:=(\S*))?\s+", rest):
        flags[match[1]] = (match[2] or "").lower()
        rest = rest[match.end() :]
    words = _command(path, "COPY", rest) if rest.startswith("[") else tuple(rest.split())
    if len(words) < 2:
        raise DockerfileError(f"{path}: `COPY {value}` needs what to copy and where to.")
    *sources, target = (_expand(_unquote(word), known) for word in words)
    folder = target.endswith("/") or posixpath.basename(target) in {".", ".."}
    absolute = posixpath.normpath(posixpath.join(stage.folder, target))
    return Copy(tuple(sources), f"{absolute.rstrip('/')}/" if folder else absolute, flags.get("from"))


def _assignments(path: Path, value: str, known: dict[str, str]) -> dict[str, str]:
    if "=" not in value.split(None, 1)[0]:  # the old form: ENV name rest of the line
        name, _, rest = value.partition(" ")
        return {name: _expand(rest.strip(), known)}
    try:
        words = shlex.split(value)
    except ValueError as reason:
        raise DockerfileError(f"{path}: cannot read `ENV {value}`: {reason}.") from reason
    pairs = (word.partition("=") for word in words)
    return {name: _expand(content, known) for name, _, content in pairs}


def _command(path: Path, instruction: str, value: str) -> tuple[str, ...]:
    if not value.startswith("["):
        return ("/bin/sh", "-c", value)
    try:
        words = json.loads(value)
    except ValueError as reason:
        raise DockerfileError(f"{path}: `{instruction} {value}` is no JSON list: {reason}.") from reason
    return tuple(str(word) for word in words)


def _expand(text: str, known: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match.group(0) == r"\$":
            return "$"
        current = known.get(match.group(1) or match.group(2), "")
        if match.group(3) == ":-":
            return current or match.group(4)
        if match.group(3) == ":+":
            return match.group(4) if current else ""
        return current

    return _VARIABLE.sub(value, text)


def _unquote(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
