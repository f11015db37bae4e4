# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""What an execution's history tells of its time."""

from __future__ import annotations

from typing import Any

DOING = ("Validate", "TakeTurn", "Copy", "Run", "CleanUp", "GiveTurn", "Receipt")


def history_of(states: Any, execution: str) -> list[dict[str, Any]]:
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
    return [event for page in pages for event in page["events"]]


def parts_of(states: Any, execution: str) -> dict[str, float]:
    """How many seconds an execution has spent in each of its states that do something."""
    spans = {name: span_of(states, execution, name, name) for name in DOING}
    return {name: end - start for name, (start, end) in spans.items()}


def span_of(states: Any, execution: str, first: str, last: str) -> tuple[float, float]:
    """When an execution entered the first of two states, and when it left the last."""
    entered: dict[str, float] = {}
    left: dict[str, float] = {}
    for event in history_of(states, execution):
        for details, times in (("stateEnteredEventDetails", entered), ("stateExitedEventDetails", left)):
            if details in event:
                times[event[details]["name"]] = event["timestamp"].timestamp()
    return entered[first], left[last]
