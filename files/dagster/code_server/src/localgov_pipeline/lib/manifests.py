# SPDX-License-Identifier: GPL-3.0-or-later
"""What a local authority shares at this moment, as a pure function of the reports about its submissions.

A manifest names the files that are shared of one dataset, profile and year. Whoever reads a shared bucket reads the
manifest and nothing that it does not name, so to write a manifest is to switch what is shared, in one step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from localgov_pipeline.lib.submissions import SHARED_DIGITS, DatasetYear

Report = Mapping[str, Any]
# Submissions that have the last word on their tables. One that was withdrawn has it too: nothing older comes back.
_DECIDING = frozenset({"accepted", "withdrawn"})
_TABLE = re.compile(r"[a-z0-9_]{1,40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUBMISSION = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")


class ManifestError(ValueError):
    """A manifest of somebody else is not of the agreed form."""


class ManifestName(NamedTuple):
    dataset: str
    profile: str
    year: int

    @property
    def prefix(self) -> str:
        return f"{self.dataset}/{self.profile}/{self.year}/"

    @property
    def key(self) -> str:
        return f"{self.prefix}manifest.json"


def last_uploads(reports: Iterable[Report]) -> dict[str, tuple[str, str]]:
    """Submission to when its content was uploaded last, and as which submission: itself or a duplicate of it.

    Whoever sends a file once more means it to be the latest, also if one that was sent in between ends after it.
    """
    by_name = {report["submission"]: report for report in reports}
    found = {name: (report["uploaded_at"], name) for name, report in by_name.items()}
    for name, report in by_name.items():
        original = _original(report, by_name)
        if original is not None:
            found[original] = max(found[original], (report["uploaded_at"], name))
    return found


def _original(report: Report, by_name: Mapping[str, Report]) -> str | None:
    """Of a duplicate, for as long as the original holds that content."""
    named = str(report.get("duplicate_of"))
    if report["state"] != "duplicate" or by_name.get(named, {}).get("sha256") != report["sha256"]:
        return None
    return named


def deciding_reports(reports: Collection[Report]) -> dict[str, Report]:
    """Table to the report that has the last word on it: the latest upload, by time and then by identifier.

    When a report was written plays no part: files may be processed in any order.
    """
    moments = last_uploads(reports)
    ordered = sorted(
        (report for report in reports if report["state"] in _DECIDING),
        key=lambda report: moments[report["submission"]],
    )
    return {table: report for report in ordered for table in report["tables"]}


def current_reports(
    reports: Collection[Report], withdrawn: Collection[str] = (), shared_since: datetime | None = None
) -> dict[str, Report]:
    """Table to the report of the submission that is shared now.

    `withdrawn` are submissions that somebody has asked to withdraw. What was uploaded before `shared_since` is past
    its date.
    """
    earliest = "" if shared_since is None else in_utc(shared_since)
    moments = last_uploads(reports)
    return {
        table: report
        for table, report in deciding_reports(reports).items()
        if report["state"] == "accepted"
        and report["submission"] not in withdrawn
        and moments[report["submission"]][0] >= earliest
    }


def duplicate_of(sha256: str, submission: str, current: Mapping[str, Report]) -> str | None:
    """The other submission with the same content, where it is the current one of every table that it holds."""
    for report in current.values():
        is_whole = all(current.get(table, {}).get("submission") == report["submission"] for table in report["tables"])
        if report["sha256"] == sha256 and report["submission"] != submission and is_whole:
            return str(report["submission"])
    return None


def duplicates_of(submission: str, by_name: Mapping[str, Report]) -> set[str]:
    return {name for name, report in by_name.items() if _original(report, by_name) == submission}


def profiles_of(reports: Iterable[Report]) -> set[str]:
    """Under which something was shared."""
    return {part["profile"] for report in reports for part in report.get("shared") or ()}


def manifests(where: DatasetYear, profiles: Collection[str], current: Mapping[str, Report]) -> dict[str, bytes]:
    """Profile to its manifest, which is without tables where nothing is left: readers must see that."""
    return {
        profile: _manifest(ManifestName(where.dataset, profile, where.year), current) for profile in sorted(profiles)
    }


def _manifest(name: ManifestName, current: Mapping[str, Report]) -> bytes:
    entries = {
        table: (report, part["tables"][table])
        for table, report in sorted(current.items())
        for part in report.get("shared") or ()
        if part["profile"] == name.profile and table in part["tables"]
    }
    newest = max((report for report, _ in entries.values()), key=lambda report: report["uploaded_at"], default={})
    document = {
        **name._asdict(),
        "schema_version": newest.get("schema_version"),
        "code_version": newest.get("code_version"),
        "tables": {
            table: {
                "submission": report["submission"],
                "uploaded_at": report["uploaded_at"],
                # Of this table: those above are of the latest upload, and another table may be of an earlier release.
                "schema_version": report.get("schema_version"),
                "code_version": report.get("code_version"),
                **{key: entry[key] for key in ("rows", "columns", "parquet", "csv")},
            }
            for table, (report, entry) in entries.items()
        },
        "notes": [f"{table}: {note}" for table, (_, entry) in entries.items() for note in entry.get("notes", ())],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def named_keys(manifest: bytes) -> set[str]:
    """The keys of the files that a manifest names."""
    tables = json.loads(manifest)["tables"].values()
    return {table[form]["key"] for table in tables for form in ("parquet", "csv")}


def read_manifest(content: bytes, name: ManifestName) -> dict[str, dict[str, Any]]:
    """Table to its entry, of a manifest that may hold anything: what is not of the agreed form is an error."""
    try:
        document = json.loads(content)
        found = {table: _entry(name, table, entry) for table, entry in document["tables"].items()}
        is_its_own = (document["dataset"], document["profile"], document["year"]) == tuple(name)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestError(f"the manifest {name.key} cannot be read ({type(error).__name__})") from None
    if not is_its_own:
        raise ManifestError(f"the manifest {name.key} is about something else")
    return found


def _entry(name: ManifestName, table: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    submission, sha256 = str(entry["submission"]), str(entry["parquet"]["sha256"])
    key, start = str(entry["parquet"]["key"]), f"{name.prefix}{table}/{submission}"
    # An earlier release named a file by its submission alone.
    of_content = f"{start}.{sha256[:SHARED_DIGITS]}.parquet"
    if key not in (of_content, f"{start}.parquet") or not _TABLE.fullmatch(table):
        raise ValueError
    if not _SUBMISSION.fullmatch(submission) or not _SHA256.fullmatch(sha256):
        raise ValueError
    return {"submission": submission, "rows": int(entry["rows"]), "key": key, "sha256": sha256}


def in_utc(moment: datetime) -> str:
    """ISO 8601 with a fixed width: such texts sort as the moments do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
