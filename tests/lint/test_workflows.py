# SPDX-License-Identifier: GPL-3.0-or-later
"""What every definition of a state machine keeps to, in the form that Step Functions gets (build/templates)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = {
    path.name.split(".")[0]: json.loads(path.read_text()) for path in (ROOT / "build" / "templates").glob("*.asl.json")
}
assert DEFINITIONS, "render_templates.yml writes no definition"


def states(definition: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state, those of a Map's processor too."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from states(state["ItemProcessor"])


TASKS = {
    f"{machine}/{name}": state
    for machine, definition in DEFINITIONS.items()
    for name, state in states(definition)
    if state["Type"] == "Task"
}


def following(state: dict[str, Any]) -> set[str]:
    """Where a state may lead."""
    next_ones = {state.get("Next"), state.get("Default")}
    next_ones |= {one["Next"] for one in (*state.get("Choices", []), *state.get("Catch", []))}
    return {name for name in next_ones if name}


@pytest.mark.parametrize("machine", DEFINITIONS)
def test_a_definition_passes_the_linter_of_cloudformation(machine: str, tmp_path: Path) -> None:
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::012345670123:role/localgov-workflow",
                    "Definition": DEFINITIONS[machine],
                },
            }
        }
    }
    path = tmp_path / "template.json"
    path.write_text(json.dumps(template))
    # Placeholders are filled by the real template, from the file in the bucket.
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--ignore-checks", "E1029", "--", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("machine", DEFINITIONS)
def test_every_state_can_be_reached_and_leads_to_an_end(machine: str) -> None:
    definition = DEFINITIONS[machine]
    reached, waiting = set(), {definition["StartAt"]}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= following(definition["States"][name]) - reached
    assert reached == set(definition["States"])
    assert definition["TimeoutSeconds"] > 0


@pytest.mark.parametrize("state", TASKS.values(), ids=TASKS)
def test_a_task_is_tried_again_with_jitter_caught_and_ended_in_time(state: dict[str, Any]) -> None:
    assert state["TimeoutSeconds"] > 0
    for retrier in state["Retry"]:
        assert retrier["JitterStrategy"] == "FULL"
        assert retrier["MaxAttempts"] > 0
        assert retrier["MaxDelaySeconds"] > 0
    assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_whatever_fails_in_the_workflow_leads_to_the_clean_up_or_comes_after_it() -> None:
    named = DEFINITIONS["workflow"]["States"]
    before = ("Validate", "TakeTurn", "Copy", "Run")
    assert {named[name]["Catch"][-1]["Next"] for name in before} == {"CleanUp"}
    after = [name for name, state in named.items() if state["Type"] == "Task" and name not in before]
    assert after == ["CleanUp", "GiveTurn", "Receipt"]
    assert {"Copy", "Run"} & {name for one in after for name in following(named[one])} == set()


def test_no_retry_starts_a_task_again_that_may_have_done_its_work() -> None:
    (retrier,) = DEFINITIONS["workflow"]["States"]["Run"]["Retry"]
    assert not {"States.ALL", "States.TaskFailed", "States.Timeout"} & set(retrier["ErrorEquals"])


def test_a_definition_has_nothing_to_hide() -> None:
    text = json.dumps(DEFINITIONS).lower()
    assert [word for word in ("password", "token", "secret") if word in text] == []
