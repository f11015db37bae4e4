# SPDX-License-Identifier: GPL-3.0-or-later
"""Automated backups of a database: its data as they began, and the log of every change since that PostgreSQL archives.

They lie in ``databases/<account>/.backups/<resource id>`` of the state folder, and stay when an instance goes that was
made with ``DeleteAutomatedBackups: false``.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.runtime import postgresql
from sandbox.runtime.postgresql import DatabaseError, Server

# What a restored instance has from the one before, and a template may not say.
INHERITED = ("MasterUsername", "DBName", "StorageEncrypted")

_BEYOND = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Backup:
    folder: Path

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    @property
    def _instance(self) -> Path:
        return self.folder / "instance.json"

    def begin(self, server: Server, record: dict[str, Any]) -> None:
        """Copy what a server that is stopped begins with. Nothing is done where that was done before."""
        if self._instance.is_file():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        postgresql.make_folder(server, self.folder)
        postgresql.make_folder(server, self._log)
        postgresql.copy_stopped(server, self._data)
        known = {name: record[name] for name in INHERITED}
        self._instance.write_text(json.dumps({**known, "since": datetime.now(UTC).isoformat()}), encoding="utf-8")

    def settings(self) -> dict[str, str]:
        """With which PostgreSQL keeps its log here."""
        place = _in_command(self._log)
        return {
            "archive_mode": "on",
            "archive_command": f'cp "%p" {place}/%f.part && mv {place}/%f.part {place}/%f',
        }

    def inherited(self, moment: datetime) -> dict[str, Any]:
        """What the instance restored as of that moment has from this one. DatabaseError where this begins later."""
        if not self._instance.is_file():
            raise DatabaseError(f"there are no automated backups of {self.folder.name}")
        known: dict[str, Any] = json.loads(self._instance.read_text(encoding="utf-8"))
        since = datetime.fromisoformat(known.pop("since"))
        if moment < since:
            raise DatabaseError(f"the automated backups of {self.folder.name} begin at {since:%Y-%m-%dT%H:%M:%SZ}")
        return known

    def restore(self, server: Server, moment: datetime) -> None:
        """Make the data folder of a new server: everything that had been committed by then."""
        target = {"recovery_target_time": moment.isoformat(), "recovery_target_action": "promote"}
        try:
            self._recover(server, target)
        except DatabaseError as reason:
            if _BEYOND not in str(reason):
                raise
            self._recover(server, {})  # the last change was before that moment: all of them

    def _recover(self, server: Server, target: dict[str, str]) -> None:
        shutil.rmtree(server.data, ignore_errors=True)
        postgresql.copy_stopped(server, server.data, source=self._data)
        postgresql.recover(server, {"restore_command": f'cp {_in_command(self._log)}/%f "%p"', **target})


def _in_command(folder: Path) -> str:
    """As it stands in a command of PostgreSQL's, which a shell reads after its placeholders were filled in."""
    return shlex.quote(str(folder)).replace("%", "%%")
