# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever is woken by an alarm finds what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.lint.test_templates import resources

RUNBOOKS = (Path(__file__).resolve().parents[2] / "docs" / "runbooks.md").read_text(encoding="utf-8")
ALARMS = resources("AWS::CloudWatch::Alarm")
# As GitHub and the site make them of headings.
ANCHORS = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## ([A-Za-z ]+)$", RUNBOOKS, re.MULTILINE)}


def runbook(alarm: dict[str, Any]) -> str:
    """The heading that an alarm's description points to."""
    found = re.search(r"What to do: docs/runbooks\.md#([a-z-]+)$", alarm["AlarmDescription"].strip())
    assert found, alarm["AlarmDescription"]
    return found[1]


@pytest.mark.parametrize("alarm", [alarm for _, alarm in ALARMS], ids=[where for where, _ in ALARMS])
def test_an_alarm_says_where_its_runbook_is_and_there_it_is(alarm: dict[str, Any]) -> None:
    assert runbook(alarm) in ANCHORS


def test_a_runbook_is_about_an_alarm() -> None:
    assert {runbook(alarm) for _, alarm in ALARMS} == ANCHORS
