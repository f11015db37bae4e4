# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the daemon lives, as it tells by the age of a file and a health check reads without loading Dagster."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

LOOKS_SECONDS = 30
# As long as Dagster waits for a heartbeat: the database may be away for minutes when it is maintained.
_OLDEST_SECONDS = 300
_FILE = Path(tempfile.gettempdir()) / "daemon-lives"


def forget() -> None:
    """What a daemon before told in the same container."""
    _FILE.unlink(missing_ok=True)


def tell() -> None:
    """All parts of the daemon have had a heartbeat a short time ago."""
    _FILE.touch()


def told() -> bool:
    """Whether that was told not long ago."""
    try:
        return time.time() - _FILE.stat().st_mtime < _OLDEST_SECONDS
    except FileNotFoundError:
        return False
