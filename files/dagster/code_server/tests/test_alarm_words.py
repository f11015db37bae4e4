# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms go off at words that runs and the code server log: those of the role have to be those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

DECLARED = Path(__file__).resolve().parents[4] / "roles" / "la_services" / "defaults" / "main.yml"
SOURCES = Path(__file__).resolve().parents[1] / "src" / "localgov_pipeline" / "defs"


@pytest.mark.parametrize("service", ["run", "code_server"])
def test_the_code_logs_the_words_at_which_the_alarm_of_a_service_goes_off(service: str) -> None:
    words = yaml.safe_load(DECLARED.read_text(encoding="utf-8"))["la_services_services"][service]["alarm_at"]
    written = "".join(source.read_text(encoding="utf-8") for source in SOURCES.rglob("*.py"))
    assert words
    assert [word for word in words if f'"{word}' not in written] == []
