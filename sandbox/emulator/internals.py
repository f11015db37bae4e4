# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the installed ministack is the one whose insides this sandbox knows."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib import metadata
from typing import Any

VERSION = "1.5.33"


class EmulatorError(Exception):
    """The installed emulator is not the one that this sandbox extends."""


def find(dotted: str) -> Any:  # noqa: ANN401 - any object of another package
    """The object with this name, such as ``ministack.services.ecr.handle_request``."""
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(dotted)


def missing(names: Iterable[str]) -> list[str]:
    """Those of the names that the installed ministack does not have."""
    absent = []
    for name in names:
        try:
            find(name)
        except (AttributeError, ImportError):
            absent.append(name)
    return absent


def require(names: Iterable[str]) -> None:
    """Refuse to go on with another emulator than the one these names were read from."""
    try:
        installed = metadata.version("ministack")
    except metadata.PackageNotFoundError:
        raise EmulatorError(f"This sandbox needs ministack {VERSION}; it is not installed.") from None
    if installed != VERSION:
        raise EmulatorError(f"This sandbox needs ministack {VERSION}; {installed} is installed.")
    absent = missing(names)
    if absent:
        raise EmulatorError(
            f"This sandbox needs ministack {VERSION}; the one installed lacks {', '.join(absent)}. "
            f"Install ministack=={VERSION} again."
        )
