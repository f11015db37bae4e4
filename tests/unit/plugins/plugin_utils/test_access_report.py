# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  records are any JSON
"""Who read what, as people are told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _access_report

HUB = "200000000001"
ROLE = f"arn:aws:iam::{HUB}:role/localgov-run-task"


def record(**changes: Any) -> dict[str, Any]:
    return {
        "time": "2026-11-21T10:15:31Z",
        "principal": ROLE,
        "principal_account": HUB,
        "action": "GetObject",
        "bucket": "shared",
        "key": "a.csv",
        "bytes": 10,
        "outcome": "allowed",
        **changes,
    }


@pytest.mark.parametrize(
    ("principal", "account", "name"),
    [
        (ROLE, HUB, "hub/localgov-run-task"),
        (f"arn:aws:iam::{HUB}:role/teams/readers/one", HUB, "hub/one"),
        (f"arn:aws:iam::{HUB}:root", HUB, "hub/root"),
        ("arn:aws:iam::300000000009:user/maria", "300000000009", "300000000009/maria"),
        ("AROAQRSTUVWXYZEXAMPLE", HUB, "hub/AROAQRSTUVWXYZEXAMPLE"),
        ("anonymous", "anonymous", "anonymous"),
    ],
)
def test_a_caller_is_named_by_account_and_role(principal: str, account: str, name: str) -> None:
    assert _access_report.who(record(principal=principal, principal_account=account), {HUB: "hub"}) == name


@pytest.mark.parametrize(("action", "verb"), [("GetObject", "read"), ("CopyObject", "copied"), ("GetObjectAcl",) * 2])
def test_a_request_is_a_verb_where_there_is_one(action: str, verb: str) -> None:
    assert _access_report.rows([record(action=action)], {})[0]["did"] == verb


def test_a_file_is_shown_without_what_would_meddle_with_a_page() -> None:
    (row,) = _access_report.rows([record(key="a\x1b.csv")], {})
    assert (row["file"], row["key"], row["moment"]) == (r"a\x1b.csv", "a\x1b.csv", "2026-11-21 10:15:31")


def test_each_caller_is_summed_up_and_the_busiest_is_first() -> None:
    rows = _access_report.rows(
        [
            record(time="2026-11-21T10:00:00Z"),
            record(time="2026-11-21T09:00:00Z"),
            record(time="2026-11-21T11:00:00Z", key="b.csv", bytes=5),
            record(time="2026-11-21T12:00:00Z", key="c.csv", bytes=0, outcome="AccessDenied"),
            record(principal=f"arn:aws:iam::{HUB}:role/other"),
        ],
        {HUB: "hub"},
    )
    busiest, other = _access_report.by_principal(rows)
    assert busiest == {
        "who": "hub/localgov-run-task",
        "principal": ROLE,
        "requests": 4,
        "failed": 1,
        "files": 2,
        "bytes": 25,
        "first": "2026-11-21 09:00:00",
        "last": "2026-11-21 12:00:00",
    }
    assert (other["who"], other["requests"]) == ("hub/other", 1)


def test_nobody_is_nothing() -> None:
    assert _access_report.by_principal([]) == []
