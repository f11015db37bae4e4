# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder on the task's own disk, for one run. Files of any size go through it, so that memory stays small."""

# No postponed annotations here: Dagster reads the return type of `yield_for_execution`.

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
from pydantic import PrivateAttr


class Scratch(dg.ConfigurableResource["Scratch"]):
    _folder: Path = PrivateAttr()

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Scratch"]:
        with TemporaryDirectory(prefix="localgov-run-") as folder:
            self._folder = Path(folder)
            yield self

    def folder(self, name: str) -> Path:
        """A folder of that name, which is made where there is none."""
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path
