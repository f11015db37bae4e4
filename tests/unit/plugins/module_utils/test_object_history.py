# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back to a moment, on buckets of which any history is made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._object_history import (
    Plan,
    histories,
    moment,
    plan,
    shortest_memory,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from hypothesis import given
from hypothesis import strategies as st

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
# Who does what when: a key is written with a content, or deleted.
Event = tuple[str, str | None]


class Bucket:
    """A bucket that keeps versions: each event a second after the one before."""

    def __init__(self, events: list[Event]) -> None:
        self.now = START
        self.entries: list[dict[str, Any]] = []
        for key, content in events:
            self.write(key, content)

    def write(self, key: str, content: str | None) -> None:
        self.now += timedelta(seconds=1)
        kept = {} if content is None else {"ETag": content, "Size": len(content)}
        self.entries.append({"Key": key, "VersionId": str(len(self.entries)), "LastModified": self.now, **kept})

    def pages(self, size: int = 3) -> list[dict[str, Any]]:
        """As S3 lists them: by key, the latest first, markers apart from the rest."""
        ordered = sorted(reversed(self.entries), key=lambda entry: entry["Key"])
        latest = {entry["Key"]: entry["VersionId"] for entry in self.entries}
        told = [{**entry, "IsLatest": latest[entry["Key"]] == entry["VersionId"]} for entry in ordered]
        pages = [told[first : first + size] for first in range(0, len(told), size)]
        return [
            {"Versions": [e for e in page if "ETag" in e], "DeleteMarkers": [e for e in page if "ETag" not in e]}
            for page in pages
        ]

    def objects(self, at: datetime | None = None) -> dict[str, str]:
        """What is there, or was."""
        found = {entry["Key"]: entry.get("ETag") for entry in self.entries if at is None or entry["LastModified"] <= at}
        return {key: content for key, content in found.items() if content is not None}

    def carry_out(self, todo: Plan) -> None:
        by_id = {entry["VersionId"]: entry for entry in self.entries}
        assert all("ETag" not in by_id[version] for _key, version in todo.unmark), "no version of an object is removed"
        gone = {version for _key, version in todo.unmark}
        self.entries = [entry for entry in self.entries if entry["VersionId"] not in gone]
        for one in todo.copy:
            self.write(one.key, by_id[one.version]["ETag"])
        for key in todo.newer:
            self.write(key, None)


HISTORIES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", "long", None])), max_size=14)


@given(HISTORIES, st.integers(0, 15))
def test_every_object_is_what_it_was_at_the_moment(events: list[Event], second: int) -> None:
    bucket, at = Bucket(events), START + timedelta(seconds=second)
    wanted = bucket.objects(at)
    bucket.carry_out(plan(histories(bucket.pages()), at))
    assert bucket.objects() == wanted
    again = plan(histories(bucket.pages()), at)
    assert (again.unmark, again.copy, again.newer) == ([], [], []), "a second time there is nothing to do"


def todo(*events: Event, at: int) -> Plan:
    return plan(histories(Bucket(list(events)).pages()), START + timedelta(seconds=at))


def test_what_was_only_deleted_comes_back_without_a_copy() -> None:
    done = todo(("a", "x"), ("a", None), ("a", None), at=1)
    assert (sorted(done.unmark), done.restored_by_unmarking, done.copy) == ([("a", "1"), ("a", "2")], 1, [])


def test_what_was_overwritten_and_deleted_is_copied() -> None:
    done = todo(("a", "x"), ("a", "y"), ("a", None), at=1)
    assert [(one.key, one.version) for one in done.copy] == [("a", "0")]
    assert done.unmark == []


def test_what_came_later_is_told_apart() -> None:
    assert todo(("a", "x"), ("b", "y"), at=1).newer == ["b"]


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21", "2026-11-21T10:15:00+00:00", "2026-11-31T10:15:00Z", ""])
def test_a_moment_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RefusedError, match=r"is no moment\. Write it in UTC, as in 2026-11-21T10:15:00Z"):
        moment(text, START)


def test_a_moment_to_come_is_refused() -> None:
    with pytest.raises(RefusedError, match="is still to come"):
        moment("2026-11-21T10:00:01Z", START)


RULES = [
    {"Status": "Enabled", "Prefix": "regional/", "NoncurrentVersionExpiration": {"NoncurrentDays": 1}},
    {"Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 90}},
    {"Status": "Disabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 2}},
    {"Status": "Enabled", "Filter": {"And": {"Prefix": "tmp/", "Tags": []}}, "Expiration": {"Days": 1}},
]


@pytest.mark.parametrize(
    ("prefixes", "days"),
    [([""], 1), (["results/"], 90), (["regional/2026/"], 1), (["reg"], 1), (["results/", "regional/"], 1)],
)
def test_versions_are_known_for_as_long_as_the_shortest_rule_of_the_prefixes_keeps_them(
    prefixes: list[str], days: int
) -> None:
    assert shortest_memory(RULES, prefixes, []) == days


def test_what_is_left_alone_need_not_be_known() -> None:
    assert shortest_memory(RULES, [""], ["withdrawals/", "regional/"]) == 90


def test_without_such_rules_versions_are_known_for_ever() -> None:
    assert shortest_memory([], [""], []) is None
