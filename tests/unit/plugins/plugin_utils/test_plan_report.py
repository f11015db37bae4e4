# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a table for a terminal, and by account."""

from __future__ import annotations

from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _plan_report as plans
from ansible_collections.localgov.platform.plugins.plugin_utils._planned_changes import Change, Resource


def resource(**more: Any) -> Resource:  # noqa: ANN401  fields of a resource
    usual: Resource = {
        "name": "Database",
        "type": "AWS::RDS::DBInstance",
        "action": "change",
        "replacement": "no",
        "properties": [],
        "policy": "",
        "data": False,
    }
    return {**usual, **more}  # type: ignore[typeddict-item]


def change(account: str, name: str = "localgov-database", action: str = "change", *resources: Resource) -> Change:
    return {
        "account": account,
        "kind": "stack",
        "name": name,
        "action": action,
        "detail": "",
        "resources": list(resources),
    }


def report(*changes: Change, drifts: dict[str, Any] | None = None) -> dict[str, Any]:
    return plans.report(["camden", "croydon"], changes, [], drifts or {})


def test_without_changes_there_are_no_lines_and_what_was_looked_at_is_counted() -> None:
    found = report(change("camden", action="none"), change("croydon", action="none"))
    assert found["lines"] == []
    assert found["counts"] == {"accounts": 2, "accounts_to_change": 0, "changes": 0, "stacks": 2, "drifted": 0}


def test_what_is_alike_in_several_accounts_is_one_row() -> None:
    found = report(*(change(f"la{number}", "localgov-database", "change", resource()) for number in range(5)))
    assert found["lines"][1].split("  ")[0] == "la0, la1, la2 and 2 more"
    assert len(found["lines"]) == 2


def test_names_that_differ_by_the_accounts_number_alone_are_alike() -> None:
    found = report(change("camden", "x-012345670123-y", "create"), change("croydon", "x-300000000002-y", "create"))
    assert found["lines"][1] == "camden, croydon  stack x-<account id>-y  create"


def test_a_new_stack_is_one_row_with_the_number_of_its_resources() -> None:
    found = report(
        change("camden", "localgov-database", "create", resource(action="create"), resource(action="create"))
    )
    assert found["lines"][1] == "camden   stack localgov-database  create  2 resources"


def test_a_resource_that_loses_its_data_is_told_loudly_and_apart() -> None:
    lost = resource(replacement="yes", data=True, policy="ReplaceAndSnapshot")
    found = report(change("camden", "localgov-database", "change", lost))
    assert found["lines"][1].endswith("yes: IT LOSES ITS DATA (ReplaceAndSnapshot)")
    assert [(one["account"], one["stack"], one["name"]) for one in found["data"]] == [
        ("camden", "localgov-database", "Database")
    ]


def test_a_table_that_no_terminal_would_hold_is_cut_and_says_so() -> None:
    found = report(*(change("camden", f"stack-{number}", "remove") for number in range(250)))
    assert len(found["lines"]) == 202
    assert found["lines"][-1] == "... and 50 more, which the page shows."


def test_what_has_drifted_is_told_by_resource_and_property_and_what_has_not_is_not() -> None:
    queue = {
        "name": "Queue",
        "type": "AWS::SQS::Queue",
        "status": "MODIFIED",
        "differences": [{"path": "/VisibilityTimeout", "kind": "NOT_EQUAL", "expected": "120", "actual": "30"}],
    }
    same = {"stack": "localgov-roles", "status": "IN_SYNC", "reason": "", "checked": 3, "resources": []}
    drifted = {"stack": "localgov-events", "status": "DRIFTED", "reason": "", "checked": 3, "resources": [queue]}
    found = report(drifts={"camden": [same, drifted]})
    assert found["counts"]["drifted"] == 1
    (row,) = found["lines"][1:]
    assert row == "camden   stack localgov-events  drifted  Queue     AWS::SQS::Queue  modified /VisibilityTimeout"


def test_what_could_not_be_compared_is_unclear_and_has_not_drifted() -> None:
    unknown = {
        "stack": "localgov-roles",
        "status": "UNKNOWN",
        "reason": "It took too long.",
        "checked": 0,
        "resources": [],
    }
    found = report(drifts={"camden": [unknown]})
    assert found["counts"]["drifted"] == 0
    detail = "Not compared with what there is: It took too long."
    assert found["unclear"] == [{"account": "camden", "name": "localgov-roles", "detail": detail}]
    assert found["lines"][1] == f"camden   stack localgov-roles  unclear  {detail}"


def test_a_task_without_a_rehearsal_is_told_once_with_its_accounts() -> None:
    unseen = [{"account": account, "task": "Keep the buckets"} for account in ("camden", "croydon", "camden")]
    found = plans.report(["camden", "croydon"], [], unseen, {})  # type: ignore[arg-type]
    assert found["unseen"] == [{"task": "Keep the buckets", "accounts": ["camden", "croydon"]}]
