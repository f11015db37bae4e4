# SPDX-License-Identifier: GPL-3.0-or-later
"""An alarm goes off at words of the daemon's log: Dagster's own, which may be others in another version."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from dagster._daemon.monitoring import run_monitoring

DECLARED = Path(__file__).resolve().parents[4] / "roles" / "la_services" / "defaults" / "main.yml"


def test_the_daemon_logs_of_a_stuck_run_the_words_at_which_the_alarm_goes_off() -> None:
    words = yaml.safe_load(DECLARED.read_text(encoding="utf-8"))["la_services_services"]["daemon"]["alarm_at"]
    logged = re.findall(r'f?"([^"]*)"', inspect.getsource(run_monitoring))
    assert words
    for one in words:
        assert any(one in text for text in logged), one
