# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing a policy that others may write at the same moment.

AWS has no conditional write of a policy, so what was decided on may have changed. Therefore the policy is read again
right before it is written, and once more after, until it holds what was to be changed and everything else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.amazon.aws.plugins.module_utils.cloud import CloudRetry
from ansible_collections.localgov.platform.plugins.module_utils._policy_documents import (
    Change,
    Policy,
    check_limits,
    lost,
    policy_of,
    text_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError, Resource

ATTEMPTS = 5


class TryAgainError(Exception):
    """Not yet as it should be, and it may become so."""


class ContestedError(TryAgainError):
    """AWS refused a write because another one was under way, or another writer has undone this one."""


class StillOldError(TryAgainError):
    """What was written is not to be seen yet: S3 and IAM may take seconds."""


class _Again(CloudRetry):  # type: ignore[misc]  # amazon.aws has no type stubs
    base_class = TryAgainError

    @staticmethod
    def status_code_from_exception(error: Exception) -> str:
        return type(error).__name__


@dataclass(frozen=True)
class Store:
    """Where the policy of one resource is kept. `write` takes None to remove it."""

    resource: Resource
    read: Callable[[], str | None]
    write: Callable[[str | None], None]


@dataclass(frozen=True)
class Task:
    """One policy and what is to become of it. `decide` is pure: the policy as it should be for the one that is."""

    store: Store
    decide: Callable[[Policy | None], Policy | None]
    sid: str

    def plan(self) -> Change:
        """The change that is needed now; RefusedError when it cannot be made."""
        before = policy_of(self.store.read(), self.store.resource.label)
        change = Change(before, self.decide(before), self.sid)
        # A policy that only gets smaller is never refused: whoever revokes must not be told to tidy up first.
        if change.is_needed and change.after is not None and change.difference["after"]:
            check_limits(change.after, self.store.resource)
        return change


@dataclass(frozen=True)
class Outcome:
    """What was changed, and what else was seen to happen to the policy meanwhile."""

    resource: Resource
    change: Change
    warnings: tuple[str, ...] = ()


def carry_out(task: Task, planned: Change) -> Outcome:
    """Make the change that was planned, on whatever the policy is by now, and see that it stands."""
    try:
        final, warnings = _written_and_seen(task)
    except ContestedError:
        raise RefusedError(
            f"Somebody else keeps writing the policy of the {task.store.resource.label}: {ATTEMPTS} times the "
            f"statements of sid '{task.sid}' did not stand. Find out who writes that policy as a whole (a task with a "
            "`policy`, a stack, a script), make them leave these statements alone, then run this again."
        ) from None
    except StillOldError:
        raise RefusedError(
            f"AWS accepted the new policy of the {task.store.resource.label}, but still answers with the one before. "
            "Either it is slow, or somebody put the old one back. Run this again; it writes only what is missing."
        ) from None
    return Outcome(task.store.resource, Change(planned.before, final, task.sid), warnings)


# Writers that disturb each other wait for times of different length.
@_Again.jittered_backoff(retries=ATTEMPTS, delay=0.5, max_delay=4, catch_extra_error_codes=["ContestedError"])  # type: ignore[untyped-decorator]
def _written_and_seen(task: Task) -> tuple[Policy | None, tuple[str, ...]]:
    change = task.plan()
    if not change.is_needed:
        return change.after, ()
    task.store.write(None if change.after is None else text_of(change.after))
    seen = _seen_after(task, change)
    if Change(seen, task.decide(seen), task.sid).is_needed:
        raise ContestedError
    return seen, _warnings(task, change, seen)


@_Again.exponential_backoff(retries=8, delay=0.25, max_delay=8, catch_extra_error_codes=["StillOldError"])  # type: ignore[untyped-decorator]
def _seen_after(task: Task, change: Change) -> Policy | None:
    """The policy as AWS answers once it no longer answers with the one before *change*."""
    seen = policy_of(task.store.read(), task.store.resource.label)
    if _canonical(seen) == _canonical(change.before):
        raise StillOldError
    return seen


def _canonical(policy: Policy | None) -> str:
    return json.dumps(policy, sort_keys=True)


def _warnings(task: Task, change: Change, seen: Policy | None) -> tuple[str, ...]:
    gone = lost(change.after, seen, task.sid)
    if not gone:
        return ()
    names = ", ".join(str(statement.get("Sid", "one without a Sid")) for statement in gone)
    return (
        f"While this task changed the policy of the {task.store.resource.label}, somebody else took out or changed "
        f"statements of it ({names}). They were left as they are now.",
    )
