# SPDX-License-Identifier: GPL-3.0-or-later
"""In which statements a resource's policy is not the declared one. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.localgov.platform.plugins.plugin_utils._outside_access import Policy, Statement, statements_of


def policy_differences(policy: Policy | str | None, declared: list[Statement]) -> list[str]:
    """One text for each statement that is missing or not declared; order, and one value or a list, do not count."""
    found = statements_of(policy)
    missing = [statement for statement in declared if not _is_among(statement, found)]
    foreign = [statement for statement in found if not _is_among(statement, declared)]
    return [
        *(f"{_name(statement)} is missing" for statement in missing),
        *(f"{_name(statement)} is not declared" for statement in foreign),
    ]


def _is_among(statement: Statement, others: list[Statement]) -> bool:
    return any(not compare_policies(_alone(statement), _alone(other)) for other in others)


def _alone(statement: Statement) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [statement]}


def _name(statement: Statement) -> str:
    return str(statement.get("Sid") or f"a statement without Sid ({statement.get('Effect')})")
