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


def test_an_owners_table_holds_what_was_allowed_and_names_who_was_shut_out() -> None:
    matrix = access.matrix(
        [
            trial(),
            trial(action="list"),
            trial(prefix="ssda903"),
            trial(account="camden", action="put", outcome="refused"),
            trial(account="sutton", outcome="refused"),
            trial(IMAGE, "pull", "refused"),
        ]
    )
    camden, hub = matrix["tables"]
    (reader,) = camden["let_in"]
    assert (camden["owner"], reader["principal"]) == ("camden", "hub/localgov-run-task")
    assert dict(zip(camden["places"], reader["cells"], strict=True)) == {
        "localgov-012345670123-shared": {"allowed": ["get", "list"], "surprise": False},
        "localgov-012345670123-shared/ssda903": {"allowed": ["get"], "surprise": False},
    }
    assert [row["principal"] for row in camden["shut_out"]] == ["camden/localgov-run-task", "sutton/localgov-run-task"]
    assert (hub["owner"], hub["places"], hub["let_in"]) == ("hub", ["localgov/frontend"], [])


def test_who_was_expected_and_not_let_in_is_not_among_those_shut_out() -> None:
    table = access.matrix([trial(), trial(account="croydon", outcome="refused", expected="allowed")])["tables"][0]
    assert table["shut_out"] == []
    assert table["let_in"][1]["principal"] == "croydon/localgov-run-task"
    assert table["let_in"][1]["cells"] == [{"allowed": [], "surprise": True}]


def test_every_trial_is_told_with_its_expectation_outcome_and_reason_and_those_that_ended_alike_together() -> None:
    table = access.matrix(
        [
            trial(outcome="refused", reason="AccessDenied: get"),
            trial(action="list", outcome="refused", reason="AccessDenied: list"),
            trial(action="put", outcome="allowed", expected="refused", reason=""),
        ]
    )["tables"][0]
    assert table["let_in"][0]["groups"] == [
        {
            "place": "localgov-012345670123-shared",
            "actions": ["get", "list"],
            "expected": "refused",
            "because": "no arrow asks for it",
            "outcome": "refused",
            "reason": "AccessDenied: get",
        },
        {
            "place": "localgov-012345670123-shared",
            "actions": ["put"],
            "expected": "refused",
            "because": "no arrow asks for it",
            "outcome": "allowed",
            "reason": "",
        },
    ]


def test_a_cell_is_empty_where_nothing_was_tried() -> None:
    table = access.matrix([trial(), trial(account="camden", prefix="ssda903")])["tables"][0]
    assert table["let_in"][0]["cells"][1] is None


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
    assert matrix["lines"][2:] == [
        "SURPRISE: hub/localgov-run-task get camden:localgov-012345670123-shared was allowed, expected refused "
        "(no arrow asks for it). AccessDenied: no",
        "SURPRISE: hub/localgov-run-task get camden:localgov-012345670123-shared/ssda903 was refused, expected allowed "
        "(no arrow asks for it). AccessDenied: no",
        "SURPRISE: hub/localgov-run-task get camden:localgov-012345670123-shared failed, expected refused "
        "(no arrow asks for it). the probe is missing",
    ]


def test_a_principal_has_one_line_with_all_that_it_was_let_into() -> None:
    lines = access.matrix([trial(), trial(action="list"), trial(IMAGE, "pull", "refused")])["lines"]
    assert lines == [
        "Who                    Tried  Refused  Surprises  Let into",
        "hub/localgov-run-task      3        1          0  get+list camden:localgov-012345670123-shared",
    ]


def test_statements_that_are_not_the_declared_ones_are_a_surprise_and_no_principal() -> None:
    differs = trial(action="trust", outcome="differs", expected="as declared", reason="Run site.yml.")
    matrix = access.matrix([trial(), differs, trial(action="trust", outcome="as declared")])
    assert matrix["lines"][2:] == [
        "SURPRISE: camden:localgov-012345670123-shared differs from its declaration. Run site.yml."
    ]
    assert [row["principal"] for row in matrix["tables"][0]["let_in"]] == ["hub/localgov-run-task"]


def test_what_is_not_declared_does_not_hide_what_is_other_than_declared() -> None:
    differs = trial(action="trust", outcome="differs", expected="as declared", reason="Sabotage.", mend="Run site.yml.")
    assert access.matrix([trial(), differs])["lines"][2:] == [
        "SURPRISE: camden:localgov-012345670123-shared differs from its declaration. Sabotage. Run site.yml."
    ]
