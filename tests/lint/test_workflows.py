# SPDX-License-Identifier: GPL-3.0-or-later
"""What every definition of a state machine keeps to, in the form that Step Functions gets (build/templates)."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from statelint.linter import Linter

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = {
    path.name.split(".")[0]: json.loads(path.read_text()) for path in (ROOT / "build" / "templates").glob("*.asl.json")
}
assert DEFINITIONS, "render_templates.yml writes no definition"

EXPRESSION = re.compile(r"\{% (.*) %\}", re.DOTALL)
VARIABLE = re.compile(r"\$([A-Za-z_]\w*)\b(?!\s*\()")
# Where Step Functions ends an execution, and far more than the other states can make.
LONGEST_HISTORY, EVENTS_OF_ALL_ELSE = 25_000, 300


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


def complaints(definition: dict[str, Any]) -> list[str]:
    """What the linter of the language says, and what it does not look at: expressions and their variables."""
    told: list[str] = Linter.validate(definition)
    assigned = {name for holder in mappings(definition) for name in holder.get("Assign", {})}
    for text in texts(definition):
        expression = EXPRESSION.fullmatch(text)
        if expression is None:
            continue
        try:
            Jsonata.jsonata(expression[1])
        except JException as reason:
            told.append(f"{text}: {reason}")
        unknown = set(VARIABLE.findall(expression[1])) - assigned - {"states"}
        told += [f"{text}: no state assigns {name}" for name in unknown]
    return told


def mappings(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from mappings(inner)


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)


@pytest.mark.parametrize("machine", DEFINITIONS)
def test_a_definition_passes_the_linter_of_its_language(machine: str) -> None:
    assert complaints(DEFINITIONS[machine]) == []


FAULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no beginning": lambda states: states.pop("Begin"),
    "a field that is none": lambda states: states["Copy"].update(TimeoutSecond=3),
    "a field of the other language": lambda states: states["Copy"].update(ResultPath="$.x"),
    "a type that is none": lambda states: states["Copy"].update(Type="Tusk"),
    "nothing that follows": lambda states: states["Copy"].pop("Next"),
    "a state that is nowhere": lambda states: states["Copy"]["Catch"][0].update(Next="Nowhere"),
    "a state that nothing leads to": lambda states: states.update(Lost={"Type": "Succeed"}),
    "a retry of nothing": lambda states: states["Copy"]["Retry"][0].pop("ErrorEquals"),
    "a jitter that is none": lambda states: states["Copy"]["Retry"][0].update(JitterStrategy="SOME"),
    "all errors before others": lambda states: states["TakeTurn"]["Catch"].reverse(),
    "a choice of nothing": lambda states: states["IsItValid"]["Choices"][0].pop("Condition"),
    "a time below zero": lambda states: states["Copy"].update(TimeoutSeconds=-1),
    "a wait without end": lambda states: states["WaitForTurn"].pop("Seconds"),
    "a resource that is none": lambda states: states["Copy"].update(Resource="lambda"),
    "an expression that is none": lambda states: states["Copy"]["Arguments"].update(Payload="{% $max([1, %}"),
    "a variable that is none": lambda states: states["Copy"]["Arguments"].update(Payload="{% $nome %}"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_definition_is_found(fault: str) -> None:
    faulty = copy.deepcopy(DEFINITIONS["workflow"])
    FAULTS[fault](faulty["States"])
    assert complaints(faulty)


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


def test_no_wait_for_a_turn_fills_the_history(capsys: pytest.CaptureFixture[str]) -> None:
    definition = DEFINITIONS["workflow"]
    retries = sum(retrier["MaxAttempts"] for retrier in definition["States"]["TakeTurn"]["Retry"])
    # Entered, exited, scheduled, started, failed, and three for each retry; then the wait, entered and exited.
    events_of_a_turn = 5 + 3 * retries + 2
    turns = definition["TimeoutSeconds"] / definition["States"]["WaitForTurn"]["Seconds"]
    with capsys.disabled():
        print(f"\n{turns:.0f} turns are asked for at most, which makes {turns * events_of_a_turn:.0f} events")  # noqa: T201
    assert turns * events_of_a_turn + EVENTS_OF_ALL_ELSE < LONGEST_HISTORY


def test_no_retry_starts_a_task_again_that_may_have_done_its_work() -> None:
    (retrier,) = DEFINITIONS["workflow"]["States"]["Run"]["Retry"]
    assert not {"States.ALL", "States.TaskFailed", "States.Timeout"} & set(retrier["ErrorEquals"])


def test_a_definition_has_nothing_to_hide() -> None:
    text = json.dumps(DEFINITIONS).lower()
    assert [word for word in ("password", "token", "secret") if word in text] == []
