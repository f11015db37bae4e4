# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""Others who write the same policy at the same moment, in the emulator's S3."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils import cloud
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._policy_documents import closed, with_statements
from ansible_collections.localgov.platform.plugins.module_utils._policy_exchange import ATTEMPTS, Task, carry_out
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError, resource_of
from ansible_collections.localgov.platform.plugins.module_utils._policy_stores import store_of

from tests.integration.trust.resources import make_bucket
from tests.sandbox.conftest import Sandbox, policy

OURS = {"Sid": "LocalgovList", "Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": "*"}
THEIRS = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
OLD = {"Sid": "Old", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "*"}


class Contested:
    """A bucket with the policy OLD, a second writer, and a task that puts OURS into it."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        self.made = make_bucket(sandbox, name)
        self.made.write(policy(OLD))
        client = sandbox.client("s3", sandbox.root("camden"))
        resource = resource_of(self.made.arn, None, sandbox.account("camden"), "eu-west-2", "aws")
        self.store = store_of(RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff()), resource)
        self.task = Task(self.store, lambda found: with_statements(found, [OURS], "Localgov"), "Localgov")

    def sids(self) -> list[str]:
        return [statement["Sid"] for statement in (self.made.read() or {"Statement": []})["Statement"]]

    def second_writer(self, *statements: Any) -> None:
        self.made.write(policy(*statements))

    def disturbed(self, after_write: Callable[[int], None]) -> Task:
        """The task, with *after_write* called with the number of each write that it has made."""
        writes: list[str | None] = []

        def write(text: str | None) -> None:
            self.store.write(text)
            writes.append(text)
            after_write(len(writes))

        return replace(self.task, store=replace(self.store, write=write))


@pytest.fixture
def contested(sandbox: Sandbox, unique: str) -> Contested:
    return Contested(sandbox, unique)


def test_what_others_wrote_after_the_plan_is_kept(contested: Contested) -> None:
    planned = contested.task.plan()
    contested.second_writer(OLD, THEIRS)
    outcome = carry_out(contested.task, planned)
    assert contested.sids() == ["Old", "Theirs", "LocalgovList"]
    assert outcome.change.difference == {"before": [], "after": [OURS]}
    assert outcome.warnings == ()


def test_what_others_took_out_after_the_plan_is_not_brought_back(contested: Contested) -> None:
    planned = contested.task.plan()
    contested.second_writer(THEIRS)
    carry_out(contested.task, planned)
    assert contested.sids() == ["Theirs", "LocalgovList"]


def test_what_is_written_between_the_last_look_and_the_write_is_lost_and_nobody_can_see_it(
    contested: Contested,
) -> None:
    """AWS has no conditional write of a policy: this is the window that remains, and the module's notes name it."""
    reads: list[str | None] = []

    def read() -> str | None:
        found = contested.store.read()
        reads.append(found)
        if len(reads) == 2:  # the plan, and the look right before the write
            contested.second_writer(OLD, THEIRS)
        return found

    task = replace(contested.task, store=replace(contested.store, read=read))
    outcome = carry_out(task, task.plan())
    assert contested.sids() == ["Old", "LocalgovList"]
    assert outcome.warnings == ()
    assert len(reads) == 3, "nothing is done between the last look and the write"


def test_whoever_writes_over_ours_gets_it_once_more_beside_theirs(contested: Contested) -> None:
    def overwrite(number: int) -> None:
        if number == 1:
            contested.second_writer(THEIRS)

    task = contested.disturbed(overwrite)
    carry_out(task, task.plan())
    assert contested.sids() == ["Theirs", "LocalgovList"]


def test_a_removal_by_others_meanwhile_is_told(contested: Contested) -> None:
    task = contested.disturbed(lambda number: contested.second_writer(OURS))
    outcome = carry_out(task, task.plan())
    assert contested.sids() == ["LocalgovList"]
    (warning,) = outcome.warnings
    assert "somebody else took out or changed statements of it (Old)" in warning


def test_a_writer_who_never_gives_in_is_reported_and_their_policy_stays(
    contested: Contested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud.time, "sleep", lambda seconds: None)
    numbers: list[int] = []

    def overwrite(number: int) -> None:
        numbers.append(number)
        contested.second_writer({**THEIRS, "Sid": f"Theirs{number}"})

    task = contested.disturbed(overwrite)
    with pytest.raises(RefusedError, match="Somebody else keeps writing the policy of the S3 bucket"):
        carry_out(task, task.plan())
    assert numbers == list(range(1, ATTEMPTS + 1))
    assert contested.sids() == [f"Theirs{ATTEMPTS}"]


def test_revoking_stands_against_a_writer_who_puts_the_old_policy_back(contested: Contested) -> None:
    contested.second_writer(OLD, OURS)
    resource = contested.store.resource

    def put_back(number: int) -> None:
        if number == 1:
            contested.second_writer(THEIRS, OURS)

    task = replace(contested.disturbed(put_back), decide=lambda found: closed(found, resource, "Localgov"))
    carry_out(task, task.plan())
    assert contested.sids() == ["Theirs"]
    assert "LocalgovList" not in json.dumps(contested.made.read())
