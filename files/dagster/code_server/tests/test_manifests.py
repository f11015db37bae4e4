# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shared, as it follows from the reports: in whatever order they were written."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from localgov_pipeline.lib.manifests import (
    ManifestError,
    ManifestName,
    current_reports,
    duplicate_of,
    manifests,
    named_keys,
    profiles_of,
    read_manifest,
)
from localgov_pipeline.lib.submissions import DatasetYear, ObjectVersion, pending_uploads, submission_of

WHERE = DatasetYear("ssda903", 2026)
NAME = ManifestName("ssda903", "regional", 2026)


def report(submission: str, hour: int, *tables: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    def entry(table: str) -> dict[str, Any]:
        key = f"{NAME.prefix}{table}/{submission}"
        files = {form: {"key": f"{key}.{form}", "sha256": "0" * 64} for form in ("parquet", "csv")}
        return {"rows": 3, "columns": ["SEX"], "notes": ["few rows"], **files}

    return {
        "submission": submission,
        "state": "accepted",
        "uploaded_at": f"2026-04-01T{hour:02}:00:00Z",
        "sha256": submission,
        "tables": {table: {} for table in tables},
        "shared": [{"profile": "regional", "tables": {table: entry(table) for table in tables}}],
        "schema_version": hour,
        "code_version": "code",
        **changes,
    }


def shown(*reports: dict[str, Any], **arguments: Any) -> dict[str, str]:  # noqa: ANN401
    """Table to submission; the same whatever the order of the reports."""
    found = {table: str(entry["submission"]) for table, entry in current_reports(reports, **arguments).items()}
    for others in permutations(reports):
        assert {table: entry["submission"] for table, entry in current_reports(others, **arguments).items()} == found
    return found


def test_of_each_table_the_latest_accepted_upload_is_current() -> None:
    reports = [report("a", 1, "header", "episodes"), report("b", 3, "header"), report("c", 2, "header")]
    assert shown(*reports) == {"header": "b", "episodes": "a"}


def test_of_two_uploads_of_the_same_second_the_later_name_is_current() -> None:
    assert shown(report("b", 1, "header"), report("a", 1, "header")) == {"header": "b"}


@pytest.mark.parametrize("state", ["rejected", "duplicate"])
def test_what_was_not_accepted_supersedes_nothing(state: str) -> None:
    assert shown(report("a", 1, "header"), report("b", 2, "header", state=state)) == {"header": "a"}


def test_what_is_withdrawn_or_asked_to_be_brings_nothing_older_back() -> None:
    older, latest = report("a", 1, "header"), report("b", 2, "header")
    assert shown(older, {**latest, "state": "withdrawn"}) == {}
    assert shown(older, latest, withdrawn={"b"}) == {}
    assert shown(older, latest, withdrawn={"a"}) == {"header": "b"}


def test_what_is_past_its_date_is_not_current() -> None:
    reports = [report("a", 1, "header"), report("b", 3, "episodes")]
    assert shown(*reports, shared_since=datetime(2026, 4, 1, 2, tzinfo=UTC)) == {"episodes": "b"}


def test_a_duplicate_has_the_content_of_a_submission_that_is_current_as_a_whole() -> None:
    whole, header = report("a", 1, "header", "episodes", sha256="same"), report("b", 2, "header")
    assert duplicate_of("same", "c", current_reports([whole])) == "a"
    assert duplicate_of("same", "a", current_reports([whole])) is None, "it is that submission itself"
    assert duplicate_of("other", "c", current_reports([whole])) is None
    assert duplicate_of("same", "c", current_reports([whole, header])) is None, "it would bring a table back"


def test_what_is_sent_once_more_is_the_latest_also_if_one_sent_in_between_ends_after_it() -> None:
    first, between = report("a", 1, "header", sha256="same"), report("b", 2, "header")
    again = report("c", 3, state="duplicate", duplicate_of="a", sha256="same")
    assert shown(first, between, again) == {"header": "a"}
    assert shown(first, between, again, report("d", 4, "header")) == {"header": "d"}
    assert shown({**first, "state": "withdrawn"}, between, again) == {}, "nothing older comes back"
    assert shown(first, between, {**again, "state": "withdrawn"}) == {"header": "b"}
    assert shown({**first, "sha256": "another version"}, between, again) == {"header": "b"}
    limit = datetime(2026, 4, 1, 2, tzinfo=UTC)
    assert shown(first, again, shared_since=limit) == {"header": "a"}, "its date is that of the last time"


def test_each_table_of_a_manifest_has_the_versions_that_it_was_shared_with() -> None:
    reports = [report("a", 1, "header", code_version="of last year"), report("b", 2, "episodes")]
    tables = json.loads(manifests(WHERE, profiles_of(reports), current_reports(reports))["regional"])["tables"]
    versions = {name: (entry["schema_version"], entry["code_version"]) for name, entry in tables.items()}
    assert versions == {"header": (1, "of last year"), "episodes": (2, "code")}


def test_a_manifest_names_files_counts_and_versions_and_reads_back() -> None:
    reports = [report("a", 1, "header"), report("b", 2, "episodes")]
    content = manifests(WHERE, profiles_of(reports), current_reports(reports))["regional"]
    document = json.loads(content)
    assert (document["schema_version"], document["code_version"]) == (2, "code")
    assert document["notes"] == ["episodes: few rows", "header: few rows"]
    assert named_keys(content) == {
        f"{NAME.prefix}{path}.{form}" for path in ("header/a", "episodes/b") for form in ("parquet", "csv")
    }
    assert read_manifest(content, NAME)["header"] == {
        "submission": "a",
        "rows": 3,
        "key": f"{NAME.prefix}header/a.parquet",
        "sha256": "0" * 64,
    }


@pytest.mark.parametrize(
    ("name", "is_read"), [("a", True), (f"a.{'0' * 16}", True), (f"a.{'1' * 16}", False), ("b", False)]
)
def test_a_file_is_named_by_its_submission_and_since_lately_by_its_content(name: str, is_read: bool) -> None:
    reports = [report("a", 1, "header")]
    reports[0]["shared"][0]["tables"]["header"]["parquet"]["key"] = f"{NAME.prefix}header/{name}.parquet"
    content = manifests(WHERE, {"regional"}, current_reports(reports))["regional"]
    with nullcontext() if is_read else pytest.raises(ManifestError):
        assert read_manifest(content, NAME)["header"]["key"] == f"{NAME.prefix}header/{name}.parquet"


def test_a_profile_of_which_nothing_is_left_says_so() -> None:
    reports = [report("a", 1, "header", state="withdrawn")]
    assert json.loads(manifests(WHERE, profiles_of(reports), current_reports(reports))["regional"])["tables"] == {}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"tables": []}', b"\xff"])
def test_a_manifest_of_another_form_is_an_error_that_quotes_nothing_of_it(content: bytes) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(content, NAME)


@pytest.mark.parametrize("form", ["csv", "xlsx", "xml"])
def test_uploads_are_files_of_these_forms(form: str) -> None:
    found = submission_of(f"uploads/ssda903/2026/20260401t101500-aa.{form}")
    assert found is not None
    assert (found.upload_key, found.path) == (
        f"uploads/ssda903/2026/20260401t101500-aa.{form}",
        "ssda903/2026/20260401t101500-aa",
    )


@pytest.mark.parametrize("name", ["a.exe", "a.csv.zip", "A.csv", "a/b.csv", "a"])
def test_nothing_else_is_an_upload(name: str) -> None:
    assert submission_of(f"uploads/ssda903/2026/{name}") is None


def test_of_two_files_of_one_submission_the_later_is_worked_on() -> None:
    """One report can only be about one of them: the other would be asked for again and again."""
    versions = [
        ObjectVersion(f"uploads/ssda903/2026/a.{form}", form, True, datetime(2026, 4, 1, hour, tzinfo=UTC))
        for form, hour in (("xlsx", 2), ("csv", 1))
    ]
    (pending,) = pending_uploads(versions, {}, lambda _: None)
    assert pending.version_id == "xlsx"
