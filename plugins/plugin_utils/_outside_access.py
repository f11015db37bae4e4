# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a resource's policy lets in from outside the account that owns the resource. Pure.

It errs on the safe side: conditions are not weighed, and what is not plainly the account's own counts as outside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Policy = dict[str, Any]
Statement = dict[str, Any]


class PolicyError(ValueError):
    """A policy, or an account, of which nothing can be said: says why."""


def outside_access(policy: Policy | str | None, account_id: str, bucket: str | None = None) -> list[str]:
    """One text, its Sid and principal, for each principal of an Allow statement that is not plainly the account's own.

    A resource without a policy lets in nobody. With *bucket* the policy is a key's: then services of AWS, which use
    keys for the account, do not count, nor do statements that open what S3 has encrypted for other buckets, and nothing
    else.
    """
    if re.fullmatch(r"[0-9]{12}", account_id) is None:
        raise PolicyError(f"the account '{account_id}' is not a string of twelve digits")
    return [
        f"{statement.get('Sid') or f'statement {number}'}: {principal}"
        for number, statement in enumerate(statements_of(policy), start=1)
        if statement.get("Effect") != "Deny" and not (bucket and _is_for_other_buckets(statement, bucket))
        for principal in _outsiders(statement, account_id, services_count=bucket is None)
    ]


def _is_for_other_buckets(statement: Statement, bucket: str) -> bool:
    """By a condition that nothing encrypted for *bucket* can meet: S3 puts a bucket's ARN, or an object's, there."""
    condition = statement.get("Condition")
    tests = [
        condition[operator]
        for operator in ("StringEquals", "StringLike")
        if isinstance(condition, dict) and isinstance(condition.get(operator), dict)
    ]
    # Of a name that stands twice, in another case, each value has to be for others.
    found = [value for test in tests for name, value in test.items() if name.lower() == _CONTEXT_OF_S3]
    values = [each for value in found for each in (value if isinstance(value, list) else [value])]
    return bool(values) and all(_bucket_of(value) not in (None, bucket) for value in values)


_CONTEXT_OF_S3 = "kms:encryptioncontext:aws:s3:arn"


def _bucket_of(arn: object) -> str | None:
    """None where it is not told, as with wildcards."""
    match = re.fullmatch(r"arn:aws[a-z-]*:s3:::([a-z0-9.-]+)(/.*)?", arn, re.DOTALL) if isinstance(arn, str) else None
    return match and match[1]


def statements_of(policy: Policy | str | None) -> list[Statement]:
    """None where there is no policy. PolicyError when it cannot be understood."""
    if isinstance(policy, str) and policy.strip():
        policy = json.loads(policy, object_pairs_hook=_without_doubles)
    elif not policy or isinstance(policy, str):
        return []
    found = policy.get("Statement") if isinstance(policy, dict) else None
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(statement, dict) for statement in found):
        raise PolicyError("its Statement is neither an object nor a list of objects")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key written twice Python keeps the last, and AWS might mean the first."""
    if len(dict(pairs)) != len(pairs):
        raise PolicyError("a key stands in it twice")
    return dict(pairs)


def _outsiders(statement: Statement, account_id: str, *, services_count: bool) -> Iterator[str]:
    """A service may hand on what it reads to anybody, as one that delivers web pages does; a key it only uses."""
    if "NotPrincipal" in statement:
        yield f"everybody but {json.dumps(statement['NotPrincipal'])}"
    elif isinstance(statement.get("Principal"), dict) and statement["Principal"]:
        for kind, values in statement["Principal"].items():
            for value in values if isinstance(values, list) else [values]:
                if not _is_own(kind, value, account_id) and (services_count or not _is_service(kind, value)):
                    yield f"{kind} {value}"
    else:
        yield str(statement.get("Principal") or "no principal")


def _is_service(kind: str, value: object) -> bool:
    named = isinstance(value, str) and re.fullmatch(r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", value)
    return kind == "Service" and bool(named)


def _is_own(kind: str, value: object, account_id: str) -> bool:
    own = rf"{account_id}|arn:aws[a-z-]*:(iam|sts)::{account_id}:[^*?]+"
    return kind == "AWS" and isinstance(value, str) and re.fullmatch(own, value) is not None
