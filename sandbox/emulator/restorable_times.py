# SPDX-License-Identifier: GPL-3.0-or-later
"""``LatestRestorableTime`` of a database instance: one that keeps no backups by time has none.

As shipped every instance is described as one that can be brought back to the present.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = ("ministack.services.rds._instance_xml",)

_TIME = re.compile(r"\s*<LatestRestorableTime>[^<]*</LatestRestorableTime>")


def install(_: Settings) -> None:
    rds = find("ministack.services.rds")
    shipped = rds._instance_xml

    @functools.wraps(shipped)
    def instance_xml(instance: dict[str, Any]) -> str:
        described = str(shipped(instance))
        return described if instance.get("BackupRetentionPeriod", 1) else _TIME.sub("", described)

    rds._instance_xml = instance_xml
