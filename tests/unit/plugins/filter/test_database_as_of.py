# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose backups reach a moment."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.filter.database_as_of import database_as_of

NOW = "2026-11-21T12:00:00Z"
FIRST = {"dbi_resource_id": "db-1", "instance_create_time": "2026-11-01T09:00:00+00:00", "engine_version": "17.6"}
SECOND = {
    "dbi_resource_id": "db-2",
    "instance_create_time": "2026-11-20T09:00:00.125000+00:00",
    "engine_version": "17.7",
}
GONE = {**FIRST, "snapshot_create_time": "2026-11-19T08:00:00+00:00"}
RUNNING = {**SECOND, "latest_restorable_time": "2026-11-21T11:55:00+00:00"}
CLUSTER = {
    "db_cluster_resource_id": "cluster-1",
    "cluster_create_time": "2026-11-20T09:00:00+00:00",
    "engine_version": "17.7",
}


def as_of(moment: str, *found: dict[str, Any], days: int = 7) -> str:
    return database_as_of(list(found), moment, NOW, days)["resource_id"]


@pytest.mark.parametrize(
    ("moment", "found", "whose"),
    [
        ("2026-11-21T11:00:00Z", [RUNNING, FIRST], "db-2"),
        ("2026-11-20T09:00:00Z", [RUNNING, FIRST], "db-2"),
        ("2026-11-20T08:59:59Z", [RUNNING, FIRST], "db-1"),
        ("2026-11-21T11:59:00Z", [FIRST, SECOND], "db-2"),  # gone meanwhile
        ("2026-11-21T11:00:00Z", [CLUSTER], "cluster-1"),
    ],
)
def test_it_is_the_last_one_that_was_made_before(moment: str, found: list[dict[str, Any]], whose: str) -> None:
    assert as_of(moment, *found) == whose


def test_it_comes_with_its_version_and_since_when_it_was_there() -> None:
    assert database_as_of([RUNNING, SECOND], "2026-11-21T11:00:00Z", NOW, 7) == {
        "resource_id": "db-2",
        "engine_version": "17.7",
        "since": "2026-11-20T09:00:00Z",
    }


@pytest.mark.parametrize(
    ("moment", "found", "said"),
    [
        ("last night", [RUNNING], "is no moment. Write it in UTC, as in 2026-11-21T10:15:00Z"),
        ("2026-11-21T12:00:01Z", [RUNNING], "still to come.*it is 2026-11-21T12:00:00Z"),
        ("2026-11-13T12:00:00Z", [FIRST], "longer ago than 7 days"),
        (
            "2026-11-19T12:00:00Z",
            [RUNNING],
            "no database at .*the first that is known was made at 2026-11-20T09:00:00Z",
        ),
        ("2026-11-19T12:00:00Z", [], "There was no database at .* Give a later moment, or a snapshot"),
        ("2026-11-19T12:00:00Z", [RUNNING, GONE], "the last one before was removed at 2026-11-19T08:00:00Z"),
        ("2026-11-21T11:56:00Z", [RUNNING, SECOND], "reach 2026-11-21T11:55:00.00:00 so far"),
        ("2026-11-21T11:00:00Z", [{"dbi_resource_id": "db-3", "engine_version": "17.7"}], "There was no database"),
    ],
)
def test_a_moment_that_no_backup_reaches_is_refused_with_what_is_possible(
    moment: str, found: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        as_of(moment, *found)
