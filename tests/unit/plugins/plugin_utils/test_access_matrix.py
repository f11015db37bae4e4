# SPDX-License-Identifier: GPL-3.0-or-later
"""A matrix says who was let in where, and puts what was not expected where nobody overlooks it."""

from __future__ import annotations

from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _access_matrix as access

SHARED = "arn:aws:s3:::localgov-012345670123-shared"
IMAGE = "arn:aws:ecr:eu-west-2:200000000001:repository/localgov/frontend"


def trial(resource: str = SHARED, action: str = "get", outcome: str = "allowed", **more: str) -> dict[str, Any]:
    return {
        "account": "hub",
        "role": "localgov-run-task",
        "owner": "camden" if resource == SHARED else "hub",
        "resource": resource,
        "action": action,
        "prefix": "",
        "expected": outcome,
        "because": "no arrow asks for it",
        "outcome": outcome,
        "reason": "AccessDenied: no",
        **more,
    }


def test_a_cell_holds_what_was_allowed_and_nothing_where_nothing_was_tried() -> None:
    matrix = access.matrix(
        [trial(), trial(action="list"), trial(IMAGE, "pull", "refused"), trial(account="camden", action="put")]
    )
    assert matrix["columns"] == [
        {"owner": "camden", "place": "localgov-012345670123-shared"},
        {"owner": "hub", "place": "localgov/frontend"},
    ]
    assert [(row["account"], row["cells"]) for row in matrix["rows"]] == [
        ("hub", [{"allowed": ["get", "list"], "surprises": []}, {"allowed": [], "surprises": []}]),
        ("camden", [{"allowed": ["put"], "surprises": []}, None]),
    ]


def test_a_surprise_in_either_direction_and_a_failed_trial_are_told_with_awss_reason() -> None:
    matrix = access.matrix(
        [
            trial(),
            trial(expected="refused"),
            trial(outcome="refused", expected="allowed", prefix="ssda903"),
            trial(outcome="failed", expected="refused", reason="the probe is missing"),
        ]
    )
    assert matrix["counts"] == {"trials": 4, "surprises": 3, "allowed": 2, "refused": 1, "failed": 1}
    assert matrix["lines"][1:] == [
        "SURPRISE: hub/localgov-run-task get camden:localgov-012345670123-shared was allowed, expected refused "
        "(no arrow asks for it). AccessDenied: no",
        "SURPRISE: hub/localgov-run-task get camden:localgov-012345670123-shared/ssda903 was refused, expected allowed "
        "(no arrow asks for it). AccessDenied: no",
        "SURPRISE: hub/localgov-run-task get camden:localgov-012345670123-shared was failed, expected refused "
        "(no arrow asks for it). the probe is missing",
    ]


def test_a_principal_has_one_line_with_all_that_it_was_let_into() -> None:
    lines = access.matrix([trial(), trial(action="list"), trial(IMAGE, "pull", "refused")])["lines"]
    assert lines == ["hub/localgov-run-task  refused   1 of   3  get+list camden:localgov-012345670123-shared"]
