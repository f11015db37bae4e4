# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  any JSON value
"""Every state of the two state machines and every way in which one fails, walked by the emulator's own interpreter.

What the states call is answered here; tests/integration/users has the real functions, tables and tasks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ministack.services import stepfunctions

FILES = Path(__file__).resolve().parents[3] / "roles" / "add_users_stepfn" / "files"
TIMES = {"ExecutionSeconds": 14400, "TaskSeconds": 4200, "TurnSeconds": 1}
UPLOAD = {"bucket": "uploads", "key": "uploads/alice/x", "version": "v", "size": 3}
ENDED = {
    "executionArn": "arn:aws:states:eu-west-2:012345670123:execution:workflow:me",
    "name": "me",
    "input": json.dumps(UPLOAD),
    "startDate": 1764169200000,
    "status": "ABORTED",
}
REFUSED = "Refused"  # an error that no state tries again

# Which tasks have been seen to fail, and which states were entered, by machine; the last test asks.
failed: dict[str, set[str]] = {"workflow": set(), "sweep": set()}
entered: dict[str, set[str]] = {"workflow": set(), "sweep": set()}


def definition(machine: str) -> dict[str, Any]:
    text = (FILES / f"{machine}.asl.yml").read_text()
    for name, value in TIMES.items():
        text = text.replace(f"${{{name}}}", str(value))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


class Machine:
    """One of the two, with what its states are answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: dict[str, str] = {}
        self.answers: dict[str, Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._execution: dict[str, Any] = {}
        self._state = ""

    def watched(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """The same, noting which state is executed: the emulator's history does not tell of states inside a Map."""

        def executed(*arguments: Any) -> Any:
            self._state = arguments[-1]["State"]["Name"]
            entered[self.name].add(self._state)
            return execute(*arguments)

        return executed

    def invoke(self, resource: str, arguments: dict[str, Any], *_: Any) -> Any:
        payload = arguments.get("Payload")
        action = payload["action"] if isinstance(payload, dict) else resource.rpartition(":")[2]
        self.calls.append((action, arguments))
        if action in self.faults:
            failed[self.name].add(self._state)
            raise stepfunctions._ExecutionError(self.faults[action], "because")
        answers = {
            "check": {"Payload": {"valid": True}},
            "sweep": {"Payload": {"folders": 0, "uploads": 0}},
            **self.answers,
        }
        return answers.get(action, {})

    def run(self, given: dict[str, Any]) -> dict[str, Any]:
        machine = "arn:aws:states:us-east-1:000000000000:stateMachine:one"
        execution = machine.replace("stateMachine", "execution") + ":me"
        stepfunctions._state_machines[machine] = {"name": "one", "definition": json.dumps(definition(self.name))}
        self._execution = {
            "executionArn": execution,
            "stateMachineArn": machine,
            "name": "me",
            "status": "RUNNING",
            "startDate": "2026-11-26T15:00:00.000Z",
            "input": json.dumps(given),
            "events": [],
            "sync": True,
        }
        stepfunctions._executions[execution] = self._execution
        try:
            stepfunctions._run_execution(execution)
        finally:
            del stepfunctions._executions[execution], stepfunctions._state_machines[machine]
        entered[self.name].update(self.path)
        return self._execution

    @property
    def path(self) -> list[str]:
        events = self._execution["events"]
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]

    def told(self, action: str) -> dict[str, Any]:
        """What the function was told when it was last called for this."""
        payload: dict[str, Any] = [arguments["Payload"] for name, arguments in self.calls if name == action][-1]
        return payload


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(name: str) -> Machine:
        machine = Machine(name)
        monkeypatch.setattr(stepfunctions, "_invoke_resource", machine.invoke)
        monkeypatch.setattr(stepfunctions, "_invoke_resource_with_timeout", machine.invoke)
        monkeypatch.setattr(stepfunctions, "_SFN_WAIT_SCALE", 0)
        for kind in ("_execute_pass", "_execute_task"):
            monkeypatch.setattr(stepfunctions, kind, machine.watched(getattr(stepfunctions, kind)))
        return machine

    return make


ALL_THE_WAY = [
    "Begin",
    "Validate",
    "IsItValid",
    "TakeTurn",
    "Copy",
    "Run",
    "CleanUp",
    "GiveTurn",
    "Receipt",
    "HowDidItEnd",
    "Succeeded",
]


def test_what_works_goes_all_the_way(answered: Any) -> None:
    machine = answered("workflow")
    assert machine.run(UPLOAD)["status"] == "SUCCEEDED"
    assert machine.path == ALL_THE_WAY
    told = machine.told("receipt")
    assert (told["cleaned"], told["failure"]["error"]) == (True, "")


@pytest.mark.parametrize(
    ("action", "step"), [("check", "Validate"), ("updateItem", "TakeTurn"), ("copy", "Copy"), ("runTask.sync", "Run")]
)
def test_what_fails_is_cleaned_up_after_and_told_of_before_the_execution_fails(
    answered: Any, action: str, step: str
) -> None:
    machine = answered("workflow")
    machine.faults[action] = REFUSED
    ended = machine.run(UPLOAD)
    assert (ended["status"], ended["error"], ended["cause"]) == ("FAILED", REFUSED, f"{step}: because")
    assert machine.path[-5:] == ["CleanUp", "GiveTurn", "Receipt", "HowDidItEnd", "Failed"]
    assert machine.told("receipt")["failure"] == {"step": step, "error": REFUSED, "cause": "because"}


def test_a_file_that_is_refused_is_not_staged(answered: Any) -> None:
    machine = answered("workflow")
    machine.answers["check"] = {"Payload": {"valid": False}}
    assert machine.run(UPLOAD)["error"] == "FileRefused"
    assert not {"TakeTurn", "Copy", "Run"} & set(machine.path)


def test_a_turn_that_is_taken_is_waited_for(answered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = answered("workflow")
    machine.faults["updateItem"] = "DynamoDB.ConditionalCheckFailedException"
    monkeypatch.setattr(stepfunctions, "_scaled_sleep", lambda _: machine.faults.clear())
    assert machine.run(UPLOAD)["status"] == "SUCCEEDED"
    assert machine.path[3:7] == ["TakeTurn", "WaitForTurn", "TakeTurn", "Copy"]


def test_residue_that_cannot_be_removed_is_a_failure_of_its_own(answered: Any) -> None:
    machine = answered("workflow")
    machine.faults["clean_up"] = REFUSED
    assert machine.run(UPLOAD)["error"] == "ResidueLeft"
    assert machine.told("receipt")["cleaned"] is False


def test_a_turn_that_was_never_taken_need_not_be_given(answered: Any) -> None:
    machine = answered("workflow")
    machine.faults["deleteItem"] = "DynamoDB.ConditionalCheckFailedException"
    assert machine.run(UPLOAD)["status"] == "SUCCEEDED"


def test_a_receipt_that_cannot_be_written_is_a_failure(answered: Any) -> None:
    machine = answered("workflow")
    machine.faults["receipt"] = REFUSED
    assert machine.run(UPLOAD)["cause"] == "Receipt: because"


def test_what_an_execution_left_is_removed_with_its_task_and_its_turn(answered: Any) -> None:
    machine = answered("sweep")
    machine.answers |= {"getItem": {"Item": {"holder": {"S": "me"}}}, "listTasks": {"TaskArns": ["a", "b"]}}
    assert machine.run(ENDED)["status"] == "SUCCEEDED"
    assert [arguments["Task"] for action, arguments in machine.calls if action == "stopTask"] == ["a", "b"]
    assert machine.told("clean_up")["upload"] == UPLOAD
    assert machine.told("receipt")["failure"]["error"] == "ABORTED"


@pytest.mark.parametrize("holder", [{}, {"Item": {"holder": {"S": "somebody else"}}}])
def test_the_task_of_somebody_else_goes_on(answered: Any, holder: dict[str, Any]) -> None:
    machine = answered("sweep")
    machine.answers["getItem"] = holder
    assert machine.run(ENDED)["status"] == "SUCCEEDED"
    assert "FindTasks" not in machine.path


@pytest.mark.parametrize(
    ("action", "ends"),
    [
        ("getItem", "Clean"),
        ("listTasks", "Clean"),
        ("stopTask", "Clean"),
        ("deleteItem", "Clean"),
        ("clean_up", "Unable"),
        ("receipt", "Unable"),
    ],
)
def test_a_sweep_goes_on_whatever_fails_and_says_when_something_is_left(answered: Any, action: str, ends: str) -> None:
    machine = answered("sweep")
    machine.answers |= {"getItem": {"Item": {"holder": {"S": "me"}}}, "listTasks": {"TaskArns": ["a"]}}
    machine.faults[action] = REFUSED
    machine.run(ENDED)
    assert machine.path[-1] == ends
    assert action == "clean_up" or machine.told("receipt")["cleaned"] is True
    assert "CleanUp" in machine.path


@pytest.mark.parametrize(
    ("found", "ends"),
    [({"folders": 0, "uploads": 0}, "Clean"), ({"folders": 0, "uploads": 1}, "LeftoversFound"), (None, "Unable")],
)
def test_every_hour_leftovers_are_a_failure_so_that_somebody_asks_why(answered: Any, found: Any, ends: str) -> None:
    machine = answered("sweep")
    machine.answers["sweep"] = {"Payload": found}
    if found is None:
        machine.faults["sweep"] = REFUSED
    machine.run({})
    assert machine.path[-1] == ends


@pytest.mark.parametrize("machine", ["workflow", "sweep"])
def test_every_state_has_been_entered_and_every_task_has_been_seen_to_fail(
    machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    states = dict(definition(machine)["States"])
    states |= {name: inner for one in list(states.values()) for name, inner in _inside(one).items()}
    tasks = {name for name, state in states.items() if state["Type"] == "Task"}
    with capsys.disabled():
        print(  # noqa: T201 - asked for
            f"\n{machine}: {len(entered[machine])} of {len(states)} states entered, "
            f"{len(failed[machine])} of {len(tasks)} tasks seen to fail"
        )
    assert entered[machine] == set(states)
    assert failed[machine] == tasks


def _inside(state: dict[str, Any]) -> dict[str, Any]:
    inner: dict[str, Any] = state.get("ItemProcessor", {}).get("States", {})
    return inner
