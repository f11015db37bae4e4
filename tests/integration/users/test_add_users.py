# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""Adding users: one S3 write in, a receipt out, no residue; also when something fails."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.processes import identify
from tests.e2e.conftest import record
from tests.integration.users.conftest import Ground, Workflow, eventually, lines, user
from tests.integration.users.histories import history_of, parts_of, span_of

LONGEST = 3600  # seconds, for ten thousand lines one after the other on a busy machine
NOTHING: dict[str, list[Any]] = {"objects": [], "staged": [], "told": []}


def unique(*names: str, **more: Any) -> bytes:
    """Lines for people whom no other test adds."""
    mark = uuid.uuid4().hex[:8]
    return lines(*(user(f"{name}-{mark}", **more) for name in names))


def emails(content: bytes) -> list[str]:
    return [json.loads(line)["emailAddress"] for line in content.splitlines()]


# --- it works ---


def test_an_upload_becomes_users_who_can_sign_in_and_a_receipt_and_leaves_nothing(workflow: Workflow) -> None:
    content = unique("ada", "grace")
    receipt = workflow.process(content)
    assert receipt["status"] == "succeeded"
    assert receipt["lines"] == [{"line": 1, "result": "created"}, {"line": 2, "result": "created"}]
    for line in content.splitlines():
        assert workflow.api.signs_in(json.loads(line)["emailAddress"], json.loads(line)["password"])
    assert re.search(r"@sha256:[0-9a-f]{64}$", receipt["image"])
    assert receipt["cleaned"] is True
    assert workflow.residue() == NOTHING


def test_who_exists_already_is_reported_and_is_no_failure(workflow: Workflow) -> None:
    content = unique("ada")
    assert workflow.process(content)["counts"]["created"] == 1
    again = workflow.process(content)
    assert again["status"] == "succeeded"
    assert again["lines"] == [{"line": 1, "result": "exists"}]


def test_a_key_may_have_spaces_quotes_and_letters_of_any_language(workflow: Workflow) -> None:
    receipt = workflow.process(unique("zoë"), key='uploads/alice/new users\' "list" - Łódź é+&%41?#.jsonl')
    assert receipt["status"] == "succeeded"
    assert workflow.residue() == NOTHING


Way = Callable[[Workflow, Path], dict[str, Any]]


def by_aws_s3_cp(workflow: Workflow, file: Path) -> dict[str, Any]:
    return workflow.receipt(*workflow.copy(file), seconds=LONGEST)


def by_the_module(workflow: Workflow, file: Path) -> dict[str, Any]:
    said = workflow.module("efs_staging", src=str(file), bucket=workflow.uploads, target="alice", timeout=LONGEST)
    receipt: dict[str, Any] = said["receipt"]
    return receipt


MANY = [1, 200, pytest.param(10_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("way", [by_aws_s3_cp, by_the_module])
@pytest.mark.parametrize("number", MANY)
def test_one_user_or_ten_thousand_by_a_script_that_takes_the_whole_file_and_how_long_that_takes(
    once: Workflow, way: Way, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = added(once, way, number, tmp_path)
    tell(f"{number} users, the whole file, {way.__name__.replace('_', ' ')}", figures, capsys)


@pytest.mark.parametrize(
    ("kind", "number"), [("workflow", 20), pytest.param("patient", 10_000, marks=pytest.mark.slow)]
)
def test_twenty_users_or_ten_thousand_by_a_script_that_is_started_for_each_line_and_how_long_that_takes(
    request: pytest.FixtureRequest, kind: str, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = added(request.getfixturevalue(kind), by_aws_s3_cp, number, tmp_path)
    tell(f"{number} users, line by line", figures, capsys)


def added(workflow: Workflow, way: Way, number: int, folder: Path) -> dict[str, float]:
    """Seconds from upload to receipt and in each state, for so many people who can sign in afterwards."""
    mark, began = uuid.uuid4().hex[:8], time.time()
    people = [user(f"user-{mark}-{one}") for one in range(number)]
    file = folder / f"{mark}.jsonl"
    file.write_bytes(lines(*people))
    receipt = way(workflow, file)
    whole = time.time() - began
    execution = receipt["execution"]
    workflow.ended(execution)
    assert receipt["status"] == "succeeded"
    assert [(one["line"], one["result"]) for one in receipt["lines"]] == [
        (line, "created") for line in range(1, number + 1)
    ]
    assert all(workflow.api.signs_in(one["emailAddress"], one["password"]) for one in people)
    assert workflow.residue() == NOTHING
    parts = parts_of(workflow.states, execution)
    assert sum(parts.values()) <= whole + 1
    return {"upload to receipt": whole, **parts, "events": len(history_of(workflow.states, execution))}


def tell(what: str, figures: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    units = {name: "s" if name != "events" else "" for name in figures}
    record(
        re.sub(r"\W+", "-", f"add users {what}"),
        [
            {"name": f"{what}, {name}", "value": round(figure, 2), "unit": units[name]}
            for name, figure in figures.items()
        ],
    )
    with capsys.disabled():
        told = ", ".join(f"{name} {figure:.2f}" for name, figure in figures.items() if name != "events")
        print(f"\n{what}, seconds: {told}; {figures['events']:.0f} events")  # noqa: T201 - asked for


# --- the file is refused ---

GOOD = lines(user("good"))
REFUSED = {
    "malformed": (GOOD + b'{"name": \n', 2, "is not JSON"),
    "not UTF-8": (b"\xff\n" + GOOD, 1, "is not UTF-8"),
    "byte-order mark": (b"\xef\xbb\xbf" + GOOD, 1, "byte-order mark"),
    "empty": (b"", 0, "the file is empty"),
    "too large": (b"x" * 51_000_000, 0, "larger than 50000000 bytes"),
    "duplicates": (GOOD + GOOD, 2, "has the same emailAddress as line 1"),
    "unknown role": (lines(user("king", role="king")), 1, "has a value in the field role that is not one of"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_not_as_it_should_be_is_refused_by_line_before_anybody_is_added(
    workflow: Workflow, what: str
) -> None:
    content, number, reason = REFUSED[what]
    receipt = workflow.process(content)
    assert receipt["failure"] == {"step": "Validate", "error": "FileRefused", "reason": "the receipt names the lines"}
    assert receipt["refused"]["first"][0]["line"] == number
    assert reason in receipt["refused"]["first"][0]["reason"]
    assert "Copy" not in workflow.states_of(receipt["execution"])
    assert workflow.ended(receipt["execution"])["status"] == "FAILED"
    assert workflow.residue() == NOTHING


@pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_each_line_that_is_refused_is_in_the_receipt_however_many_there_are(workflow: Workflow, number: int) -> None:
    king = {**user("king", role="king"), "crown": "gold"}
    receipt = workflow.process(lines(*({**king, "emailAddress": f"{one}@example.gov.uk"} for one in range(number))))
    reasons = "has a field that is not known; has a value in the field role that is not one of buyer, slow, unheard-of"
    assert receipt["lines"] == [{"line": line, "result": "refused", "reason": reasons} for line in range(1, number + 1)]
    assert (receipt["counts"]["refused"], receipt["refused"]["count"]) == (number, 2 * number)
    assert workflow.residue() == NOTHING


# --- the task fails ---


def test_a_line_that_the_api_refuses_is_named_with_the_kind_of_failure_and_the_others_are_added(
    workflow: Workflow,
) -> None:
    content = unique("ada") + unique("bad", role="unheard-of") + unique("grace")
    receipt = workflow.process(content)
    assert receipt["failure"]["step"] == "Run"
    assert "exit code 1" in receipt["failure"]["reason"]
    assert [line["result"] for line in receipt["lines"]] == ["created", "failed", "created"]
    assert receipt["lines"][1]["reason"] == "the script ended with exit code 1 (HTTPError, 400)"
    assert workflow.residue() == NOTHING


def test_a_script_that_is_killed_is_a_line_that_failed(workflow: Workflow) -> None:
    key, version = workflow.upload(unique("slow", role="slow"))
    os.kill(workflow.script(), signal.SIGKILL)
    receipt = workflow.receipt(key, version)
    assert receipt["lines"] == [{"line": 1, "result": "failed", "reason": "the script ended with exit code 137"}]
    assert workflow.residue() == NOTHING


def test_a_task_that_is_killed_leaves_its_lines_unknown_and_no_residue(workflow: Workflow) -> None:
    key, version = workflow.upload(unique("slow", role="slow"))
    os.kill(_parent(workflow.script()), signal.SIGKILL)
    receipt = workflow.receipt(key, version)
    assert receipt["failure"]["error"] == "States.TaskFailed"
    assert receipt["lines"] == [{"line": 1, "result": "unknown"}]
    assert "Hand the same file over again" in receipt["next"]
    assert workflow.residue() == NOTHING


@pytest.mark.slow
def test_a_script_that_takes_too_long_is_ended(workflow: Workflow) -> None:
    receipt = workflow.process(unique("ada") + unique("slow", role="slow") + unique("grace"))
    assert receipt["lines"] == [
        {"line": 1, "result": "created"},
        {"line": 2, "result": "failed", "reason": "the time was over"},
        {"line": 3, "result": "unknown"},
    ]
    assert workflow.residue() == NOTHING


def test_an_image_that_cannot_be_pulled_is_told_of(workflow: Workflow, ground: Ground) -> None:
    with ground.without_image():
        receipt = workflow.process(unique("ada"))
    assert receipt["failure"]["step"] == "Run"
    assert "CannotPullContainerError" in receipt["failure"]["reason"]
    assert workflow.residue() == NOTHING


def test_a_secret_that_is_missing_is_told_of(workflow: Workflow, ground: Ground) -> None:
    secrets = workflow.client("secretsmanager")
    secrets.delete_secret(SecretId=ground.secret, RecoveryWindowInDays=7)
    try:
        receipt = workflow.process(unique("ada"))
    finally:
        secrets.restore_secret(SecretId=ground.secret)
    assert receipt["failure"]["step"] == "Run"
    assert "unable to pull secrets" in receipt["failure"]["reason"]
    assert workflow.residue() == NOTHING


def test_a_task_that_outlasts_its_state_is_stopped_and_told_of(workflow: Workflow) -> None:
    with workflow.time_limit(6, "Run"):
        key, version = workflow.upload(unique("ada") + unique("slow", role="slow"))
        script = workflow.script()
        receipt = workflow.receipt(key, version)
    assert (receipt["failure"]["step"], receipt["failure"]["error"]) == ("Run", "States.Timeout")
    assert receipt["lines"] == [{"line": 1, "result": "created"}, {"line": 2, "result": "unknown"}]
    assert workflow.ended(receipt["execution"])["status"] == "FAILED"
    assert ("ExecutionsFailed", workflow.machine) in workflow.alarms()
    eventually(lambda: identify(script) is None, "the end of the task")
    assert workflow.residue() == NOTHING


# --- the staging area fails ---


def test_a_copy_that_fails_once_is_made_again(workflow: Workflow) -> None:
    with workflow.broken_staging() as mended:
        key, version = workflow.upload(unique("ada"))
        execution = workflow.execution_of(key, version)
        eventually(lambda: workflow.failures_of(execution).get("Copy"), "a failed copy")
        mended()
        receipt = workflow.receipt(key, version)
    assert receipt["status"] == "succeeded"
    assert workflow.residue() == NOTHING


def test_a_copy_that_always_fails_ends_the_workflow(workflow: Workflow) -> None:
    with workflow.broken_staging():
        receipt = workflow.process(unique("ada"))
    assert receipt["failure"]["step"] == "Copy"
    assert receipt["failure"]["error"] == "Unavailable"
    assert workflow.failures_of(receipt["execution"])["Copy"] == 4  # and three retries
    assert workflow.residue() == NOTHING


@pytest.mark.slow
def test_a_staging_area_that_is_full_is_told_of(workflow: Workflow) -> None:
    with workflow.turn_taken():
        key, version = workflow.upload(unique("ada"))
        folder = workflow.staging / "files" / workflow.execution_of(key, version).rpartition(":")[2]
        folder.mkdir(parents=True)
        (folder / "file").symlink_to("/dev/full")
    receipt = workflow.receipt(key, version)
    assert receipt["failure"]["step"] == "Copy"
    assert "error 28" in receipt["failure"]["reason"]
    assert workflow.residue() == NOTHING


# --- order, and what comes twice ---


def test_an_event_that_is_delivered_twice_is_one_execution(workflow: Workflow) -> None:
    content = unique("ada")
    key, version = workflow.upload(content)
    workflow.receipt(key, version)
    detail = {
        "bucket": {"name": workflow.uploads},
        "object": {"key": key, "version-id": version, "size": len(content)},
    }
    function = workflow.client("lambda")
    answer = function.invoke(FunctionName=f"{workflow.name}-start", Payload=json.dumps({"detail": detail}))
    assert json.loads(answer["Payload"].read())["started"] is False
    assert [email for email in workflow.api.calls if email in emails(content)] == emails(content)


def test_two_uploads_at_once_are_worked_on_one_after_the_other(workflow: Workflow) -> None:
    uploads = [workflow.upload(unique("ada", "grace")) for _ in range(2)]
    receipts = [workflow.receipt(*upload) for upload in uploads]
    assert [receipt["status"] for receipt in receipts] == ["succeeded", "succeeded"]
    spans = sorted(span_of(workflow.states, receipt["execution"], "Copy", "GiveTurn") for receipt in receipts)
    assert spans[0][1] <= spans[1][0]
    assert workflow.residue() == NOTHING


@pytest.mark.slow
def test_a_turn_whose_holder_has_died_ends_by_itself(workflow: Workflow) -> None:
    with workflow.turn_taken(ends=time.time() + 20):
        receipt = workflow.process(unique("ada"))
    assert receipt["status"] == "succeeded"
    assert "WaitForTurn" in workflow.states_of(receipt["execution"])


# --- the workflow itself dies ---


def test_an_execution_that_somebody_ends_is_swept_up_after_at_once(workflow: Workflow) -> None:
    key, version = workflow.upload(unique("slow", role="slow"))
    script = workflow.script()
    workflow.states.stop_execution(executionArn=workflow.execution_of(key, version))
    receipt = workflow.receipt(key, version)
    assert receipt["failure"]["error"] == "ABORTED"
    assert_swept_up(workflow, receipt, script)
    assert ("ExecutionsAborted", workflow.machine) in workflow.alarms()


def test_an_execution_whose_time_is_over_is_swept_up_after_at_once(workflow: Workflow) -> None:
    with workflow.time_limit(6):
        key, version = workflow.upload(unique("ada") + unique("slow", role="slow"))
        script = workflow.script()
        receipt = workflow.receipt(key, version)
    assert workflow.ended(receipt["execution"])["status"] == "TIMED_OUT"
    assert receipt["failure"]["error"] == "TIMED_OUT"
    assert receipt["lines"] == [{"line": 1, "result": "created"}, {"line": 2, "result": "unknown"}]
    assert_swept_up(workflow, receipt, script)
    assert ("ExecutionsTimedOut", workflow.machine) in workflow.alarms()


def assert_swept_up(workflow: Workflow, receipt: dict[str, Any], script: int) -> None:
    """Nothing is left of an execution that did not end by itself: no task, no turn, no file."""
    assert receipt["cleaned"] is True
    eventually(lambda: identify(script) is None, "the end of the task")
    assert workflow.residue()["objects"] == []
    assert workflow.process(unique("ada"))["status"] == "succeeded"  # whose turn it is now
    assert workflow.residue() == NOTHING


@pytest.mark.parametrize("ended", ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionsStarted"])
def test_however_a_sweep_ends_without_success_or_does_not_begin_an_alarm_tells_of_it(
    workflow: Workflow, ended: str
) -> None:
    assert (ended, f"{workflow.machine}-sweep") in workflow.alarms()


def test_what_no_execution_knows_of_is_found_by_the_sweeper_which_calls_for_a_person(workflow: Workflow) -> None:
    with workflow.no_event_heard():
        key, version = workflow.upload(unique("lost"))
    stray = workflow.staging / "files" / "stray"
    stray.mkdir(parents=True)
    (stray / "file").write_bytes(b"left")
    assert workflow.sweep()["status"] == "SUCCEEDED"  # it is too young to be lost
    ended = workflow.sweep_when_old()
    assert (ended["status"], ended["error"]) == ("FAILED", "LeftoversFound")
    assert workflow.receipt(key, version)["failure"]["error"] == "WorkflowDied"
    assert workflow.residue() == NOTHING


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "action", "step", "left"),
    [
        ("stage", "s3:GetObjectVersion", "Validate", False),
        ("stage", "s3:DeleteObjectVersion", "CleanUp", True),
        ("stage", "s3:PutObject", "Receipt", False),
    ],
)
def test_a_step_that_is_refused_by_aws_ends_as_a_failure_with_the_cause(
    workflow: Workflow, function: str, action: str, step: str, left: bool
) -> None:
    with workflow.denied(function, action):
        key, version = workflow.upload(unique("ada"))
        execution = workflow.execution_of(key, version)
        ended = workflow.ended(execution)
        swept = workflow.swept_after(execution)
    assert ended["status"] == "FAILED"
    assert swept["status"] == ("SUCCEEDED" if step == "Validate" else "FAILED")
    assert step in ended["cause"]
    assert workflow.failures_of(execution)[step] >= 1
    assert bool(workflow.residue()["objects"]) is left
    found = workflow.residue() != NOTHING
    assert workflow.sweep_when_old().get("error") == ("LeftoversFound" if found else None)  # and an alarm tells of it
    assert workflow.residue() == NOTHING


@pytest.mark.slow
def test_a_table_of_turns_that_is_gone_ends_the_workflow(workflow: Workflow) -> None:
    with workflow.no_table():
        receipt = workflow.process(unique("ada"))
    assert receipt["failure"]["step"] == "TakeTurn"
    assert workflow.residue() == NOTHING


@pytest.mark.slow
def test_an_event_that_starts_nothing_goes_to_the_dead_letters(workflow: Workflow) -> None:
    with workflow.denied("start", "states:StartExecution"):
        key, version = workflow.upload(unique("lost"))
        messages = eventually(workflow.dead_letters, "a dead letter")
    assert version in json.dumps(messages)
    workflow.forget_dead_letters()
    assert workflow.sweep_when_old()["error"] == "LeftoversFound"
    assert workflow.receipt(key, version)["failure"]["error"] == "WorkflowDied"
    assert workflow.residue() == NOTHING


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
