# SPDX-License-Identifier: GPL-3.0-or-later
"""No password and no token is in anything that the account can show, nor in what the sandbox keeps."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator

import pytest

from tests.integration.users.conftest import PASSWORD, TOKEN, Workflow, eventually, lines, user
from tests.integration.users.search import ITS_PLACE, having, kept, process_lists, shown

MARK = uuid.uuid4().hex


@pytest.mark.parametrize("kind", ["workflow", "once"])
def test_no_list_of_processes_has_a_password_or_the_token_while_users_are_added(
    request: pytest.FixtureRequest, kind: str
) -> None:
    chosen: Workflow = request.getfixturevalue(kind)
    with process_lists() as seen:
        receipt = chosen.process(lines(*(user(f"listed-{kind}-{number}") for number in range(5))))
    assert receipt["counts"]["created"] == 5
    assert any(b"TASK_FILES" in line for line in seen)  # the container's own process was among them
    assert having((("a list of processes", line) for line in seen), PASSWORD, TOKEN) == []


@pytest.fixture(scope="module")
def worked(workflow: Workflow) -> Iterator[Workflow]:
    """A workflow that has added, refused, failed and not even begun; earlier tests of the session have too."""
    for content in (
        lines(user("seen"), user("seen-too", role="unheard-of")),
        lines(user("broken")) + f'{{"password": "{PASSWORD}"'.encode(),
    ):
        workflow.process(content, key=f"uploads/alice/{MARK}.jsonl")
    with workflow.denied("start", "states:StartExecution"):
        workflow.upload(lines(user("lost")), key=f"uploads/alice/{MARK}-lost.jsonl")
        eventually(workflow.dead_letters, "a dead letter")
    workflow.sweep_when_old()
    yield workflow
    workflow.forget_dead_letters()


def test_nothing_that_the_account_shows_has_a_password_or_the_token(worked: Workflow) -> None:
    places = list(shown(worked.client))
    # What was uploaded is told of in each of these, so each was really looked into.
    marked = {where.partition(":")[0] for where in having(iter(places), MARK)}
    assert marked >= {"workflows", "objects", "queues"}
    assert len(places) > 100
    assert having(iter(places), PASSWORD, TOKEN) == []


def test_a_secret_is_found_as_it_is_and_in_base64() -> None:
    texts = [before + PASSWORD.encode() + after for before in (b"", b"a", b"ab") for after in (b"", b"c", b"cd")]
    places = [(str(number), base64.b64encode(text)) for number, text in enumerate(texts)]
    assert len(having(iter(places), PASSWORD)) == len(texts)
    assert having(iter([("elsewhere", base64.b64encode(b"another text"))]), PASSWORD) == []


# The last of all, as sessions end with the sandbox.
def test_nothing_that_the_sandbox_keeps_has_a_password_or_the_token(worked: Workflow) -> None:
    executions = [
        entry["name"] for entry in worked.states.list_executions(stateMachineArn=worked.machine)["executions"]
    ]
    worked.sandbox.run("stop")  # which writes what it has in memory
    try:
        places = list(kept(worked.sandbox.folder, except_in=ITS_PLACE))
    finally:
        worked.sandbox.start()
    assert any("stepfunctions" in where for where in having(iter(places), *executions))
    assert having(iter(places), PASSWORD, TOKEN) == []
