# SPDX-License-Identifier: GPL-3.0-or-later
"""One's own statements among others in the policy of a resource: found, put in, taken out, compared. Pure.

A policy is read with nothing lost or changed: statements of others stay the very objects that were read, at their
place. One's own are those whose Sid is the prefix and one of the known purposes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError, Resource
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import PURPOSES, Statement

Policy = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What becomes of a policy, or of there being none."""

    before: Policy | None
    after: Policy | None
    sid: str

    @property
    def is_needed(self) -> bool:
        return statements(self.before) != statements(self.after)

    @property
    def difference(self) -> dict[str, list[Statement]]:
        """One's own statements before and after; those of others never differ."""
        return {"before": owned(self.before, self.sid), "after": owned(self.after, self.sid)}


# --- Reading ---


def policy_of(text: str | None, label: str) -> Policy | None:
    """The policy of what *label* names, as AWS returned it; None where it has none."""
    if text is None or not text.strip():
        return None
    try:
        policy = json.loads(text, object_pairs_hook=_without_doubles)
    except ValueError as error:
        raise _malformed(label, f"it is not JSON with each key once ({error})") from None
    if not isinstance(policy, dict):
        raise _malformed(label, "it is not an object")
    found = policy.get("Statement")
    if not isinstance(found, dict | list):
        raise _malformed(label, "its Statement is neither an object nor a list")
    for number, statement in enumerate(statements(policy), start=1):
        if not isinstance(statement, dict):
            raise _malformed(label, f"statement {number} is not an object")
        if not isinstance(statement.get("Sid", ""), str):
            raise _malformed(label, f"the Sid of statement {number} is not a string")
    return policy


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key written twice Python keeps the last; to write that back would change what the policy means."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _value in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{double}' stands twice")
    return result


def _malformed(label: str, what: str) -> RefusedError:
    return RefusedError(
        f"The policy that the {label} has cannot be understood: {what}. Nothing was written. Repair or remove that "
        "policy, then run this again."
    )


def statements(policy: Policy | None) -> list[Statement]:
    if policy is None:
        return []
    found = policy["Statement"]
    return [found] if isinstance(found, dict) else list(found)


def owned(policy: Policy | None, sid: str) -> list[Statement]:
    """The statements that were put in with the Sid prefix *sid*."""
    return [statement for statement in statements(policy) if is_owned(statement, sid)]


def is_owned(statement: Statement, sid: str) -> bool:
    return statement.get("Sid") in {sid + purpose for purpose in PURPOSES}


# --- Changing ---


def with_statements(policy: Policy | None, wanted: list[Statement], sid: str) -> Policy:
    """*policy* with exactly *wanted* as one's own; those that mean the same already stay as they are written."""
    missing = {statement["Sid"]: statement for statement in wanted}
    result = []
    for statement in statements(policy):
        if not is_owned(statement, sid):
            result.append(statement)
            continue
        replacement = missing.pop(statement["Sid"], None)
        if replacement is not None:
            result.append(statement if means_the_same(statement, replacement) else replacement)
    return _with(policy, [*result, *missing.values()])


def without_statements(policy: Policy | None, sid: str) -> Policy | None:
    """*policy* without one's own; None when nothing else was in it."""
    others = [statement for statement in statements(policy) if not is_owned(statement, sid)]
    if policy is None or len(others) == len(statements(policy)):
        return policy
    return _with(policy, others) if others else None


def _with(policy: Policy | None, changed: list[Statement]) -> Policy:
    """The Version stays: another one would change what `${...}` means in statements of others."""
    if policy is not None and changed == statements(policy):
        return policy
    return {**(policy or {"Version": "2012-10-17"}), "Statement": changed}


def closed(policy: Policy | None, resource: Resource, sid: str) -> Policy | None:
    """*policy* without one's own statements, as far as *resource* can be without a policy."""
    rest = without_statements(policy, sid)
    if rest is not None or policy is None:
        return rest
    if resource.type == "iam_role":
        return with_statements(policy, [_closing(sid)], sid)
    if resource.type == "sns_topic":
        return _default_of_topic(resource)
    if resource.type == "kms_key":
        raise RefusedError(
            f"The {resource.label} has no statement but those of sid '{sid}', and without any, nobody could manage it. "
            "Nothing was written. First give its policy a statement for its administrators."
        )
    return None


def _closing(sid: str) -> Statement:
    """A role cannot be without a trust policy; this one lets nobody in, and goes when trust is given again."""
    return {"Sid": f"{sid}Closed", "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}


def _default_of_topic(resource: Resource) -> Policy:
    """SNS takes no empty policy: this is the one that it gives to a new topic, for the owner alone."""
    actions = "AddPermission DeleteTopic GetTopicAttributes ListSubscriptionsByTopic Publish RemovePermission"
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in f"{actions} SetTopicAttributes Subscribe".split()],
        "Resource": resource.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": resource.account}},
    }
    return {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}


# --- Comparing ---


def means_the_same(one: Statement, other: Statement) -> bool:
    """Whether two statements differ in no more than order, case of actions and keys, or the form of a value."""
    return not compare_policies(_comparable(one), _comparable(other))


def _comparable(statement: Statement) -> Statement:
    result = dict(statement)
    for name in ("Action", "NotAction"):
        if name in result:
            result[name] = _lower(result[name])
    if isinstance(result.get("Condition"), dict):
        result["Condition"] = {
            operator: {str(key).lower(): value for key, value in tests.items()} if isinstance(tests, dict) else tests
            for operator, tests in result["Condition"].items()
        }
    return result


def _lower(actions: Any) -> Any:  # noqa: ANN401 - a string, a list of them, or what a person mistook for that
    if isinstance(actions, list):
        return [_lower(action) for action in actions]
    return actions.lower() if isinstance(actions, str) else actions


def lost(before: Policy | None, after: Policy | None, sid: str) -> list[Statement]:
    """Statements of others that were in *before* and have no like in *after*."""
    left = statements(after)
    return [
        statement
        for statement in statements(before)
        if not is_owned(statement, sid) and not any(means_the_same(statement, other) for other in left)
    ]


# --- Writing ---


def text_of(policy: Policy) -> str:
    return json.dumps(policy, separators=(",", ":"), ensure_ascii=False)


def check_limits(policy: Policy, resource: Resource) -> None:
    """Raise RefusedError when AWS would not take *policy*: it says so less clearly, and only when it is written."""
    limits = resource.kind.limits
    text = text_of(policy)
    size = len(text.encode()) if limits.white_space_counts else len("".join(text.split()))
    problems = []
    if size > limits.size:
        problems.append(f"{size:,} {'bytes' if limits.white_space_counts else 'characters'} of {limits.size:,}")
    if limits.statements is not None and len(statements(policy)) > limits.statements:
        problems.append(f"{len(statements(policy))} statements of {limits.statements}")
    if limits.actions is not None:
        most = max(_count(statement.get("Action")) for statement in statements(policy))
        problems += [f"{most} actions in a statement of {limits.actions}"] if most > limits.actions else []
    if problems:
        raise RefusedError(
            f"The policy of the {resource.label} would have {' and '.join(problems)} that AWS allows. Nothing was "
            "written. Use role_patterns and wider organisational_unit_paths in place of many ARNs and units, or remove "
            "statements that nobody needs."
        )


def _count(value: object) -> int:
    return len(value) if isinstance(value, list) else 1
