# SPDX-License-Identifier: GPL-3.0-or-later
"""The local authority's pipeline, from an uploaded file to its report, through the real sensor and job on a real S3."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import ModuleType, SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest
from botocore.exceptions import ConnectTimeoutError
from buckets import SAMPLES, client, make_bucket
from localgov_pipeline.defs import local_authority
from localgov_pipeline.defs.local_authority import preview, retention, stage4_cleaned, stage8_report, standing
from localgov_pipeline.defs.local_authority.announcements import announced_uploads
from localgov_pipeline.defs.local_authority.settling import Unsettled, unsettled_reports
from localgov_pipeline.defs.local_authority.standing import settle
from localgov_pipeline.defs.local_authority.submission import SubmissionResource
from localgov_pipeline.defs.local_authority.withdrawal import run_request, withdrawals
from localgov_pipeline.defs.storage import BucketUnreachableError, Storage, aws_client
from localgov_pipeline.lib.announcements import Memory
from localgov_pipeline.lib.declarations import declared, declared_datasets, declared_years
from localgov_pipeline.lib.submissions import LONGEST_SECONDS, DatasetYear, Submission
from workbooks import EPISODE, header_sheet, made

FIRST = "20260401t101500-00000000000000aa"
SECOND = "20260402t101500-00000000000000bb"
THIRD = "20260403t101500-00000000000000cc"
GROUP = "ssda903/regional/2026/"
HEADER = (SAMPLES / "header.csv").read_bytes()
STRANGER = (SAMPLES / "episodes.csv").read_bytes().replace(b"TEST0003", b"TEST0099")
_EPISODE = (SAMPLES / "episodes.csv").read_text().splitlines()[1]
EPISODES_OF_2024 = "\n".join(
    [",".join(EPISODE), *[_EPISODE.replace("2025", "2023").replace("TEST0001", f"TEST{n}") for n in range(10)], ""]
).encode()
REFERENCE, ROW_COUNT = "episodes_have_a_header", "about_as_many_rows_as_last_year"
IDENTIFIERS = ("TEST0001", "TESTUPN", "ZZ99 3A", "05/03/2012", "2012-03-05")


class Authority:
    """One local authority with its buckets and its Dagster instance."""

    def __init__(self, buckets: dict[str, str], instance: dg.DagsterInstance) -> None:
        self.buckets = buckets
        self.instance = instance
        self.definitions = local_authority.definitions()
        self.cursor: str | None = None

    def upload(
        self,
        sample: str | bytes,
        submission: str = FIRST,
        dataset: str = "ssda903",
        year: int = 2026,
        form: str = "csv",
    ) -> str:
        content = sample if isinstance(sample, bytes) else (SAMPLES / sample).read_bytes()
        key = f"uploads/{dataset}/{year}/{submission}.{form}"
        response = client().put_object(Bucket=self.buckets["data-store"], Key=key, Body=content)
        return str(response["VersionId"])

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self.instance,
            definitions=self.definitions,
            cursor=self.cursor,
        )
        outcome = announced_uploads(context)
        assert isinstance(outcome, dg.SensorResult)
        self.cursor = outcome.cursor
        for added in outcome.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions(added.partitions_def_name, list(added.partition_keys))
        return list(outcome.run_requests or [])

    def waited_for(self, seconds: float) -> None:
        """As if what waits had been seen so much earlier."""
        memory = Memory.of(self.cursor)
        waiting = json.loads(memory.listing or "{}")
        earlier = {key: (asked - seconds, *others) for key, (asked, *others) in waiting.items()}
        self.cursor = memory._replace(listing=json.dumps(earlier)).cursor()

    def lose(self, times: int) -> list[dg.RunRequest]:
        """Runs of what waits are lost so often; what is asked for after the last time."""
        for _ in range(times):
            self.waited_for(LONGEST_SECONDS + 1)
            requests = self.tick()
        return requests

    def storage(self) -> Storage:
        locations: dict[str, Any] = {
            f"{name.replace('-', '_')}_location": f"s3://{bucket}" for name, bucket in self.buckets.items()
        }
        return Storage(**locations)

    def run(self, request: dg.RunRequest, tags: dict[str, str] | None = None) -> Any:  # noqa: ANN401
        job = self.definitions.resolve_job_def(str(request.job_name))
        all_tags = {**request.tags, **(tags or {})}
        return job.execute_in_process(
            run_config=request.run_config, instance=self.instance, tags=all_tags, raise_on_error=False
        )

    def tags(self, run_id: str) -> dict[str, str]:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return dict(run.tags)

    def execute(self, job: str) -> None:
        assert self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance).success

    def asked_by(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        outcome = sensor(dg.build_sensor_context(instance=self.instance, definitions=self.definitions))
        assert isinstance(outcome, dg.SensorResult)
        return list(outcome.run_requests or [])

    def withdraw(self, submission: str = FIRST) -> None:
        """As a person asks for it, and the sensor notices."""
        asked = json.dumps({"who": "A. Officer", "when": "2026-04-05T09:00:00Z"}).encode()
        key = f"withdrawals/ssda903/2026/{submission}.json"
        client().put_object(Bucket=self.buckets["data-store"], Key=key, Body=asked)
        (request,) = self.asked_by(withdrawals)
        job = self.definitions.resolve_job_def("withdraw")
        assert job.execute_in_process(run_config=request.run_config, instance=self.instance).success
        assert self.asked_by(withdrawals) == [], "it is done"

    def manifest(self, group: str = GROUP) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read("shared", f"{group}manifest.json"))
        return found

    def shared_files(self) -> set[str]:
        """Their keys, without what of them is their content's."""
        return {re.sub(r"\.[0-9a-f]{16}\.", ".", key) for key in self.keys("shared")}

    def named_files(self) -> dict[str, str]:
        """The files that the manifest names, by key, each with the SHA-256 that the manifest and its content have."""
        found = {}
        for table in self.manifest()["tables"].values():
            for entry in (table["parquet"], table["csv"]):
                content = client().get_object(Bucket=self.buckets["shared"], Key=entry["key"])["Body"].read()
                assert hashlib.sha256(content).hexdigest() == entry["sha256"]
                found[entry["key"]] = entry["sha256"]
        return found

    def result(self, table: str) -> str:
        return self.read("data-store", f"results/ssda903/2026/{FIRST}/{table}.csv")

    def index(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read("data-store", "results/ssda903/2026/index.json"))
        return found

    def current(self, group: str = GROUP) -> dict[str, str]:
        """Table to the submission that is shared of it."""
        return {table: entry["submission"] for table, entry in self.manifest(group)["tables"].items()}

    def versions(self, bucket: str, part: str) -> list[str]:
        """Keys of all versions and marks of deletion that have `part` in them."""
        listed = client().list_object_versions(Bucket=self.buckets[bucket])
        entries = [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]
        return [entry["Key"] for entry in entries if part in entry["Key"]]

    def backdate(self, submission: str, days: int, dataset: str = "ssda903") -> None:
        """As if it had been uploaded that many days ago."""
        report = self.report(submission, dataset)
        report["uploaded_at"] = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        key = f"results/{dataset}/2026/{submission}/report.json"
        client().put_object(Bucket=self.buckets["data-store"], Key=key, Body=json.dumps(report).encode())

    def process_everything(self) -> None:
        for request in self.tick():
            assert self.run(request).success

    def read(self, bucket: str, key: str) -> str:
        response = client().get_object(Bucket=self.buckets[bucket], Key=key)
        return str(response["Body"].read().decode())

    def report(self, submission: str = FIRST, dataset: str = "ssda903") -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.read("data-store", f"results/{dataset}/2026/{submission}/report.json"))
        return report

    def removals(self) -> list[dict[str, Any]]:
        """What is on record of each time that something past its date was removed."""
        keys = sorted(key for key in self.keys("data-store") if key.startswith("retention/"))
        return [json.loads(self.read("data-store", key)) for key in keys]

    def keys(self, bucket: str) -> set[str]:
        listed = client().list_objects_v2(Bucket=self.buckets[bucket])
        return {entry["Key"] for entry in listed.get("Contents", [])}


@pytest.fixture
def authority(locations: dict[str, str], memory: dg.DagsterInstance) -> Authority:
    return Authority(locations, memory)


def test_a_good_file_becomes_a_result_a_shared_part_and_a_report(authority: Authority) -> None:
    version = authority.upload("header.csv")

    authority.process_everything()

    report = authority.report()
    assert report["state"] == "accepted"
    assert report["version_id"] == version
    assert report["sha256"] == hashlib.sha256(HEADER).hexdigest()
    assert report["table"] == "header"
    assert report["rows"] == {"read": 3, "written": 3, "shared": 3}
    assert report["tables"] == {"header": {"rows": report["rows"]}}
    assert report["errors"] == {"total": 0, "by_rule": [], "shown": []}
    (shared,) = report["shared"]
    assert (shared["profile"], shared["bucket"]) == ("regional", authority.buckets["shared"])
    assert shared["manifest"] == f"{GROUP}manifest.json"
    uploaded = HEADER.decode().splitlines()
    assert authority.read("data-store", f"results/ssda903/2026/{FIRST}/header.csv").splitlines() == uploaded
    path = f"ssda903/2026/{FIRST}"
    stages = {"parsed": ["header"], "cleaned": ["header", "header.errors"], "pseudonymised": ["regional/header"]}
    assert authority.keys("workspace") == {
        f"{stage}/{path}/{n}.parquet" for stage, names in stages.items() for n in names
    }


def test_the_manifest_says_what_is_shared_and_its_digests_are_those_of_the_files(authority: Authority) -> None:
    authority.upload("header.csv")

    authority.process_everything()

    manifest = authority.manifest()
    entry = manifest["tables"]["header"]
    assert (manifest["dataset"], manifest["profile"], manifest["year"]) == ("ssda903", "regional", 2026)
    assert manifest["schema_version"] == authority.report()["schema_version"]
    assert manifest["code_version"] == authority.report()["code_version"]
    assert entry["submission"] == FIRST
    assert entry["uploaded_at"] == authority.report()["uploaded_at"]
    keys = {f"{GROUP}header/{FIRST}.{form}" for form in ("parquet", "csv")}
    assert authority.shared_files() == {*keys, f"{GROUP}manifest.json"}
    for form in ("parquet", "csv"):
        content = client().get_object(Bucket=authority.buckets["shared"], Key=entry[form]["key"])["Body"].read()
        assert hashlib.sha256(content).hexdigest() == entry[form]["sha256"]
    rows = list(csv.reader(io.StringIO(authority.read("shared", entry["csv"]["key"]))))
    assert rows[0] == entry["columns"]
    assert len(rows) - 1 == entry["rows"] == 3


@pytest.mark.parametrize("table", ["header", "episodes"])
def test_the_shared_part_holds_no_identifier(authority: Authority, table: str) -> None:
    authority.upload(f"{table}.csv")

    authority.process_everything()

    shared = authority.read("shared", authority.manifest()["tables"][table]["csv"]["key"])
    assert len(shared.splitlines()) == len((SAMPLES / f"{table}.csv").read_text().splitlines())
    for identifier in IDENTIFIERS:
        assert identifier not in shared


def test_a_file_with_bad_cells_is_accepted_and_the_report_says_how_to_mend_them(authority: Authority) -> None:
    authority.upload("header_with_errors.csv")

    authority.process_everything()

    report = authority.report()
    assert report["state"] == "accepted"
    assert report["rows"] == {"read": 4, "written": 3, "shared": 3}
    assert report["errors"]["total"] == 6
    first = report["errors"]["shown"][0]
    assert (first["row"], first["column"], first["rule"], first["table"]) == (2, "DOB", "date", "header")
    assert first["reason"]
    assert sum(group["count"] for group in report["errors"]["by_rule"]) == 6
    of_dates = [group for group in report["errors"]["by_rule"] if (group["rule"], group["column"]) == ("date", "DOB")]
    assert [group["rows"] for group in of_dates] == [[2, 3]]
    errors = authority.read("data-store", f"results/ssda903/2026/{FIRST}/errors.csv").splitlines()
    assert errors[0] == "row,column,rule,reason,table"
    assert len([line for line in errors if line.endswith(",header")]) >= 6


def rejected_samples() -> list[tuple[str, str]]:
    return [
        ("empty.csv", "empty"),
        ("header_missing_column.csv", "columns"),
        ("header_unclosed_quote.csv", "quote"),
        ("header_without_rows.csv", "rows"),
        ("header_without_keys.csv", "rows"),
        ("not_this_return.csv", "columns"),
    ]


@pytest.mark.parametrize(("sample", "rule"), rejected_samples())
def test_a_file_that_cannot_be_trusted_is_rejected_with_a_reason_and_nothing_is_shared(
    authority: Authority, sample: str, rule: str
) -> None:
    authority.upload(sample)

    authority.process_everything()

    report = authority.report()
    assert report["state"] == "rejected"
    assert report["shared"] == []
    assert report["errors"]["total"] == len(report["errors"]["shown"]) > 0
    assert report["errors"]["shown"][0]["rule"] == rule
    assert report["errors"]["shown"][0]["reason"]
    assert authority.keys("shared") == set()
    assert "TEST" not in authority.read("data-store", f"results/ssda903/2026/{FIRST}/report.json")


def check_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    """What the report says of the check."""
    (found,) = (check for check in report["checks"] if check["name"] == name)
    return dict(found)


def test_a_check_that_stops_a_submission_rejects_it_and_names_the_rows(authority: Authority) -> None:
    header, *rows = HEADER.decode().splitlines()
    authority.upload("\n".join([header, *rows, *[rows[0]] * 30, ""]).encode())

    authority.process_everything()

    report = authority.report()
    assert report["state"] == "rejected"
    assert (report["table"], report["rows"]["read"]) == ("header", 33)
    (group,) = report["errors"]["by_rule"]
    assert (group["rule"], group["count"]) == ("one_header_per_child", 30)
    assert group["rows"][0] == 5
    check = check_of(report, "one_header_per_child")
    assert (check["severity"], check["passed"], check["findings"]) == ("error", False, 30)
    listed = csv.DictReader(io.StringIO(authority.read("data-store", f"results/ssda903/2026/{FIRST}/errors.csv")))
    assert [int(row["row"]) for row in listed] == [*range(5, 35)]
    assert authority.keys("shared") == set()


def test_a_file_of_another_year_is_refused_and_the_year_is_named_that_it_seems_to_be_of(authority: Authority) -> None:
    authority.upload(HEADER.replace(b",M,", b",1,").replace(b",F,", b",2,"))
    authority.upload(EPISODES_OF_2024, SECOND)

    authority.process_everything()

    for submission, column, years in ((FIRST, "SEX", "2017 to 2024"), (SECOND, "DEC", "2024")):
        report = authority.report(submission)
        assert report["state"] == "rejected"
        (shown,) = report["errors"]["shown"]
        assert (shown["rule"], shown["column"]) == ("of_the_year_that_was_chosen", column)
        assert f"The file seems to be of {years}. Upload it for its own year" in shown["reason"]
    assert authority.keys("shared") == set()


def test_a_file_of_another_year_is_accepted_for_its_own(authority: Authority) -> None:
    authority.upload(EPISODES_OF_2024, year=2024)
    authority.process_everything()
    report = json.loads(authority.read("data-store", f"results/ssda903/2024/{FIRST}/report.json"))
    assert (report["state"], report["errors"]["total"]) == ("accepted", 0)


def test_an_authority_may_have_files_accepted_whatever_year_they_seem_to_be_of(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECK_THRESHOLDS", json.dumps({"ssda903": {"of_the_year_that_was_chosen": 1}}))
    authority.upload(EPISODES_OF_2024)
    authority.process_everything()
    assert authority.report()["state"] == "accepted"


def test_a_check_that_warns_is_reported_and_shown_by_dagster(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.upload(STRANGER, SECOND)
    (request,) = authority.tick()

    outcome = authority.run(request)

    report = authority.report(SECOND)
    assert report["state"] == "accepted"
    check = check_of(report, REFERENCE)
    assert (check["severity"], check["passed"], check["findings"]) == ("warning", False, 1)
    assert check["shown"][0]["row"] == 5
    assert "TEST0099" not in json.dumps(report)
    evaluations = {found.check_name: found for found in outcome.get_asset_check_evaluations()}
    found = evaluations["ssda903__episodes_have_a_header"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluations["rows_add_up"].passed
    assert evaluations["only_declared_columns"].passed


def test_episodes_that_come_before_their_header_are_compared_when_it_comes(authority: Authority) -> None:
    authority.upload(STRANGER)
    authority.process_everything()
    before = check_of(authority.report(), REFERENCE)
    assert (before["made"], before["passed"]) == (False, False)
    assert "no table header of 2026 has been accepted" in before["shown"][0]["reason"]
    authority.upload("header.csv", SECOND)
    (request,) = authority.tick()

    outcome = authority.run(request)

    report = authority.report(SECOND)
    found = check_of(report, REFERENCE)
    assert report["state"] == "accepted"
    assert (found["made"], found["passed"], found["severity"], found["findings"]) == (True, False, "warning", 1)
    (shown,) = found["shown"]
    assert (shown["table"], shown["row"], shown["column"]) == ("episodes", 5, "CHILD")
    assert f"sent before as {FIRST}" in shown["reason"]
    listed = authority.read("data-store", f"results/ssda903/2026/{SECOND}/errors.csv")
    assert "5,CHILD,episodes_have_a_header" in listed
    evaluations = {found.check_name: found for found in outcome.get_asset_check_evaluations()}
    assert not evaluations["ssda903__episodes_have_a_header"].passed
    assert "TEST0099" not in json.dumps(report)


def test_a_check_that_is_not_made_yet_is_none_of_dagsters(authority: Authority) -> None:
    authority.upload("episodes.csv")
    (request,) = authority.tick()

    outcome = authority.run(request)

    evaluated = {found.check_name for found in outcome.get_asset_check_evaluations()}
    assert "ssda903__episodes_do_not_overlap" in evaluated
    assert "ssda903__episodes_have_a_header" not in evaluated
    (stage,) = outcome.asset_materializations_for_node("checked")
    results = {record.data["check"]: record.data["result"] for record in stage.metadata["checks"].records}
    assert results["Every child with an episode is in the header."] == "not made"
    (stage,) = outcome.asset_materializations_for_node("report")
    assert stage.metadata["warnings"].value == "none"


def test_a_correction_of_the_header_is_compared_with_the_episodes_that_stay(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()
    authority.upload(HEADER.replace(b"TEST0003", b"TEST0004"), THIRD)
    authority.process_everything()

    assert check_of(authority.report(THIRD), REFERENCE)["shown"][0]["row"] == 5


@pytest.mark.parametrize("ends_last", ["header", "episodes"])
def test_tables_whose_runs_go_on_at_the_same_time_are_compared_by_the_one_that_ends_last(
    authority: Authority, ends_last: str
) -> None:
    files = {"header": HEADER, "episodes": STRANGER}
    first = files.pop(ends_last)
    (second,) = files.values()
    authority.upload(first)
    authority.upload(second, SECOND)
    longer, shorter = authority.tick()
    with before_the_first_write_to(authority, f"{FIRST}/report.json", lambda: authority.run(shorter)):
        outcome = authority.run(longer)

    assert outcome.success
    found = check_of(authority.report(), REFERENCE)
    assert (found["made"], found["passed"], found["shown"][0]["row"]) == (True, False, 5)
    assert authority.current() == {"header": SECOND, "episodes": SECOND, ends_last: FIRST}
    listed = authority.read("data-store", f"results/ssda903/2026/{FIRST}/errors.csv")
    assert listed.count("episodes_have_a_header") == 1
    (stage,) = outcome.asset_materializations_for_node("report")
    assert stage.metadata["warnings"].value == "Every child with an episode is in the header."


@pytest.mark.parametrize("how", ["withdrawn", "asked to be withdrawn", "replaced"])
def test_what_is_told_of_a_submission_that_went_meanwhile_is_not_told_again(authority: Authority, how: str) -> None:
    """It went between its own report and that which the checks with the other table would have changed."""
    authority.upload(STRANGER)
    authority.upload("header.csv", SECOND)
    longer, shorter = authority.tick()

    def ask() -> None:
        key = f"withdrawals/ssda903/2026/{FIRST}.json"
        client().put_object(Bucket=authority.buckets["data-store"], Key=key, Body=b"{}")

    def replace() -> None:
        authority.upload("episodes.csv")
        assert authority.run(authority.tick()[-1]).success

    meanwhile = {"withdrawn": authority.withdraw, "asked to be withdrawn": ask, "replaced": replace}[how]
    left: list[dict[str, str]] = []

    def told() -> dict[str, str]:
        names = {f"results/ssda903/2026/{FIRST}/{name}" for name in ("report.json", "errors.csv")}
        return {key: authority.read("data-store", key) for key in names & authority.keys("data-store")}

    def act() -> None:
        meanwhile()
        left.append(told())

    with ExitStack() as later:

        def first() -> Any:  # noqa: ANN401
            outcome = authority.run(shorter)
            # What is written last of a report is the index.
            later.enter_context(before_the_first_write_to(authority, "2026/index.json", act))
            return outcome

        with before_the_first_write_to(authority, f"{FIRST}/report.json", first):
            assert authority.run(longer).success

    assert [told()] == left
    assert authority.report()["state"] == ("withdrawn" if how == "withdrawn" else "accepted")
    # What is asked for is done by the run that comes of it.
    assert authority.current().get("episodes") == (None if how == "withdrawn" else FIRST)


def test_what_the_upload_held_before_it_was_replaced_is_not_compared_with(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.upload("episodes.csv")
    authority.process_everything()

    assert not check_of(authority.report(), REFERENCE)["made"]


def test_a_table_whose_stages_are_past_their_date_is_said_to_be_unchecked(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    client().delete_object(Bucket=authority.buckets["workspace"], Key=f"cleaned/ssda903/2026/{FIRST}/header.parquet")
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()

    found = check_of(authority.report(SECOND), REFERENCE)
    assert not found["made"]
    assert "nothing is kept any more" in found["shown"][0]["reason"]


def test_dagster_shows_what_columns_hold_and_what_checks_found_without_a_cell(authority: Authority) -> None:
    authority.upload("header_with_errors.csv")
    (request,) = authority.tick()

    outcome = authority.run(request)

    (stage,) = outcome.asset_materializations_for_node("checked")
    columns = {record.data["column"]: record.data for record in stage.metadata["what the columns hold"].records}
    dates = [row["DOB"] for row in csv.DictReader(io.StringIO(authority.result("header")))]
    assert (columns["DOB"]["holds"], columns["DOB"]["filled"]) == ("date", sum(map(bool, dates)))
    checks = {record.data["check"]: record.data for record in stage.metadata["checks"].records}
    assert checks["A child is in the header once."] == {
        "check": "A child is in the header once.",
        "result": "passed",
        "findings": 0,
    }
    assert not [date for date in filter(None, dates) if date in repr(stage.metadata)]


def test_an_authority_sets_its_own_thresholds(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECK_THRESHOLDS", json.dumps({"ssda903": {"one_header_per_child": 0.5}}))
    header, *rows = HEADER.decode().splitlines()
    authority.upload("\n".join([header, *rows, rows[0], ""]).encode())

    authority.process_everything()

    assert authority.report()["state"] == "accepted"


def twice_as_many(header: bytes) -> bytes:
    _, rows = header.split(b"\n", 1)
    return header + rows.replace(b"TEST0", b"TEST1")


def test_a_table_with_far_more_rows_than_in_the_year_before_is_warned_of(authority: Authority) -> None:
    authority.upload("header.csv", FIRST, year=2025)
    authority.process_everything()
    authority.upload(twice_as_many(HEADER), SECOND)
    (request,) = authority.tick()

    outcome = authority.run(request)

    report = authority.report(SECOND)
    check = check_of(report, ROW_COUNT)
    assert report["state"] == "accepted"
    assert (check["severity"], check["passed"], check["findings"]) == ("warning", False, 1)
    assert check["shown"][0]["reason"].startswith("6 rows, and 3 in the year before.")
    evaluations = {found.check_name: found for found in outcome.get_asset_check_evaluations()}
    found = evaluations["ssda903__about_as_many_rows_as_last_year"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_an_authority_says_how_much_a_table_may_change_from_year_to_year(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv", FIRST, year=2025)
    authority.process_everything()
    for submission, threshold, rows in ((SECOND, 1.0, twice_as_many(HEADER)), (THIRD, 0.3, twice_as_many(HEADER)[:-1])):
        monkeypatch.setenv("CHECK_THRESHOLDS", json.dumps({"ssda903": {"about_as_many_rows_as_last_year": threshold}}))
        authority.upload(rows, submission)
        authority.process_everything()

    assert check_of(authority.report(SECOND), ROW_COUNT)["passed"]
    assert not check_of(authority.report(THIRD), ROW_COUNT)["passed"]


def test_of_the_first_year_nothing_is_said_of_the_year_before(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    assert "about_as_many_rows_as_last_year" not in {check["name"] for check in authority.report()["checks"]}


def test_a_workbook_is_read_sheet_by_sheet_into_the_same_results(authority: Authority) -> None:
    authority.upload("header_and_episodes.xlsx", form="xlsx")

    authority.process_everything()

    report = authority.report()
    assert report["state"] == "accepted", report["errors"]
    assert set(report["tables"]) == {"header", "episodes"}
    assert report["table"] is None
    assert report["rows"]["read"] == sum(table["rows"]["read"] for table in report["tables"].values())
    assert authority.current() == {"header": FIRST, "episodes": FIRST}


def test_a_sheet_with_a_header_alone_takes_nothing_from_what_is_shared(authority: Authority) -> None:
    authority.upload("episodes.csv")
    authority.process_everything()
    workbook = made(lambda book: (header_sheet(book), book.add_worksheet().write_row(0, 0, list(EPISODE))))
    authority.upload(workbook, SECOND, form="xlsx")
    authority.process_everything()

    report = authority.report(SECOND)
    assert report["state"] == "rejected"
    assert (report["table"], report["errors"]["shown"][0]["rule"]) == ("episodes", "rows")
    assert authority.current() == {"episodes": FIRST}


def test_a_census_without_any_identifier_is_rejected(authority: Authority) -> None:
    census = (SAMPLES / "cin_census.xml").read_bytes()
    blanked = re.sub(rb"<LAchildID>.*?</LAchildID>", b"<LAchildID></LAchildID>", census)
    authority.upload(blanked, dataset="cin", form="xml")

    authority.process_everything()

    report = authority.report(dataset="cin")
    assert (report["state"], report["errors"]["shown"][0]["rule"]) == ("rejected", "rows")


def test_a_census_is_read_from_xml_and_shared_in_the_same_way(authority: Authority) -> None:
    authority.upload("cin_census.xml", dataset="cin", form="xml")

    authority.process_everything()

    report = authority.report(dataset="cin")
    assert report["state"] == "accepted", report["errors"]
    (profile,) = {part["profile"] for part in report["shared"]}
    assert set(authority.current(f"cin/{profile}/2026/")) <= set(report["tables"])
    assert authority.current(f"cin/{profile}/2026/")


def test_a_census_in_which_no_child_has_a_disability_is_accepted(authority: Authority) -> None:
    census = (SAMPLES / "cin_census.xml").read_bytes()
    authority.upload(re.sub(rb"<Disabilities>.*?</Disabilities>", b"", census), dataset="cin", form="xml")

    authority.process_everything()

    report = authority.report(dataset="cin")
    assert report["state"] == "accepted", report["errors"]
    assert report["tables"]["disabilities"]["rows"]["read"] == 0
    assert report["tables"]["events"]["rows"]["shared"] > 0


def test_a_census_in_which_one_child_has_no_identifier_is_accepted_without_that_child(authority: Authority) -> None:
    """A child is many rows of the same number."""
    census = (SAMPLES / "cin_census.xml").read_bytes()
    blanked = census.replace(b"<LAchildID>TEST000001</LAchildID>", b"<LAchildID></LAchildID>")
    assert blanked != census
    authority.upload(blanked, dataset="cin", form="xml")

    authority.process_everything()

    report = authority.report(dataset="cin")
    assert report["state"] == "accepted", report["errors"]
    rows = report["tables"]["events"]["rows"]
    assert 0 < rows["written"] < rows["read"] - 1


def test_a_dataset_without_rules_is_rejected(authority: Authority) -> None:
    authority.upload("header.csv", dataset="unheard_of")

    authority.process_everything()

    report = authority.report(dataset="unheard_of")
    assert report["state"] == "rejected"
    assert report["errors"]["shown"][0]["rule"] == "dataset"


def test_an_upload_is_asked_for_until_it_has_a_report_and_then_no_more(authority: Authority) -> None:
    version = authority.upload("header.csv")

    first, again = authority.tick(), authority.tick()

    key = f"{authority.buckets['data-store']}/uploads/ssda903/2026/{FIRST}.csv@{version}"
    assert [request.run_key for request in first] == [request.run_key for request in again] == [key]
    authority.run(first[0])
    assert authority.tick() == []


def test_a_run_is_a_partition_and_each_stage_says_which_content_it_is_of(authority: Authority) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    assert request.partition_key == f"ssda903/2026/{FIRST}"

    outcome = authority.run(request)

    for stage in ("uploaded", "parsed", "cleaned", "checked", "pseudonymised", "shared", "report"):
        (made,) = outcome.asset_materializations_for_node(stage)
        assert made.partition == f"ssda903/2026/{FIRST}"
        assert (made.tags or {})["dagster/data_version"] == hashlib.sha256(HEADER).hexdigest()


def test_the_same_content_again_is_recognised_and_moves_nothing(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    before = authority.manifest()
    authority.upload("header.csv", SECOND)
    authority.process_everything()

    report = authority.report(SECOND)
    assert (report["state"], report["duplicate_of"]) == ("duplicate", FIRST)
    assert report["shared"] == []
    assert authority.manifest() == before
    assert not [key for bucket in ("shared", "workspace") for key in authority.keys(bucket) if SECOND in key]
    assert authority.tick() == []


def test_content_that_was_superseded_and_comes_again_is_no_duplicate(authority: Authority) -> None:
    for submission, sample in ((FIRST, "header.csv"), (SECOND, "header_with_errors.csv"), (THIRD, "header.csv")):
        authority.upload(sample, submission)
        authority.process_everything()

    assert authority.report(THIRD)["state"] == "accepted"
    assert authority.current() == {"header": THIRD}


def test_a_corrected_submission_supersedes_the_one_before_by_switching_the_manifest(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()
    authority.upload("header_with_errors.csv", THIRD)
    requests: list[tuple[str, str]] = []
    events = authority.storage().client.meta.events

    def seen(model: Any, params: dict[str, Any], **_: object) -> None:  # noqa: ANN401
        requests.append((model.name, params["url_path"]))

    events.register("before-call.s3", seen)
    try:
        authority.process_everything()
    finally:
        events.unregister("before-call.s3", seen)

    assert authority.current() == {"header": THIRD, "episodes": SECOND}
    assert f"{GROUP}header/{FIRST}.csv" not in authority.shared_files()
    assert f"{GROUP}episodes/{SECOND}.csv" in authority.shared_files()
    order = [(name, path) for name, path in requests if GROUP in path and name != "GetObject"]
    switched = next(place for place, (_, path) in enumerate(order) if path.endswith("manifest.json"))
    assert all(name == "PutObject" for name, _ in order[:switched]), (
        "nothing is deleted before the manifest is switched"
    )
    assert {name for name, _ in order[switched + 1 :]} == {"DeleteObject"}


@contextmanager
def before_the_first_write_to(authority: Authority, ending: str, act: Callable[[], Any]) -> Iterator[None]:
    """Something else happens just before an object whose key ends so is first written, and it goes well."""
    events, pending = authority.storage().client.meta.events, [act]

    def before(params: dict[str, Any], **_: object) -> None:
        if pending and params["url_path"].endswith(ending):
            done = pending.pop()()
            assert getattr(done, "success", True)

    events.register("before-call.s3.PutObject", before)
    try:
        yield
    finally:
        events.unregister("before-call.s3.PutObject", before)
    assert not pending, "it was never written"


def test_uploads_that_are_processed_out_of_order_end_with_the_latest(authority: Authority) -> None:
    authority.upload("header.csv")
    (older,) = authority.tick()
    # S3 gives times in whole seconds; the identifier decides between uploads of the same one.
    authority.upload("header_with_errors.csv", SECOND)
    (newer,) = (request for request in authority.tick() if SECOND in str(request.run_key))

    assert authority.run(newer).success
    assert authority.run(older).success

    assert authority.report()["state"] == "accepted"
    assert authority.current() == {"header": SECOND}
    assert not [key for key in authority.keys("shared") if FIRST in key]


def test_runs_that_end_at_the_same_time_agree_on_the_latest(authority: Authority) -> None:
    """Right after the first has read the reports, the second comes to its end as a whole."""
    authority.upload("header.csv")
    authority.upload("header_with_errors.csv", SECOND)
    first, second = authority.tick()
    with before_the_first_write_to(authority, "regional/2026/manifest.json", lambda: authority.run(second)):
        assert authority.run(first).success

    assert authority.current() == {"header": SECOND}
    assert {key for key in authority.shared_files() if "/header/" in key} == {
        f"{GROUP}header/{SECOND}.{form}" for form in ("parquet", "csv")
    }


@pytest.mark.parametrize("how", ["superseded", "withdrawn"])
def test_a_duplicate_whose_original_goes_while_it_is_reported_is_shared_itself(authority: Authority, how: str) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.upload("header_with_errors.csv", SECOND)
    between = authority.tick()[-1]
    authority.upload("header.csv", THIRD)
    again = next(request for request in authority.tick() if THIRD in str(request.run_key))
    meanwhile = authority.withdraw if how == "withdrawn" else lambda: authority.run(between)
    with before_the_first_write_to(authority, f"{THIRD}/report.json", meanwhile):
        assert authority.run(again).success

    assert authority.report(THIRD)["state"] == "accepted"
    assert authority.current() == {"header": THIRD}
    assert len(authority.named_files()) == 2, "and each has the content that the manifest says"


def test_a_run_that_is_killed_before_its_manifests_is_made_up_for(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    with monkeypatch.context() as patched:
        # The workings of the shared bucket fail from here on, as if the task had died.
        patched.setattr(standing, "_switch", _die)
        assert not authority.run(request).success
    assert authority.shared_files() == {f"{GROUP}header/{FIRST}.{form}" for form in ("parquet", "csv")}
    assert authority.asked_by(unsettled_reports) == [], "a run may be on its way from one to the other"

    monkeypatch.setattr("localgov_pipeline.defs.local_authority.settling._OVERDUE_AFTER", -timedelta(seconds=5))
    (repair,) = authority.asked_by(unsettled_reports)
    job = authority.definitions.resolve_job_def("settle_submissions")
    assert job.execute_in_process(run_config=repair.run_config, instance=authority.instance).success

    assert authority.current() == {"header": FIRST}


def test_a_run_that_saw_less_and_ended_last_is_made_up_for(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localgov_pipeline.defs.local_authority.settling._OVERDUE_AFTER", -timedelta(seconds=5))
    authority.upload("header.csv")
    authority.process_everything()
    bucket, key = authority.buckets["data-store"], "results/ssda903/2026/index.json"
    saw_less = authority.read("data-store", key).encode()
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()
    assert authority.asked_by(unsettled_reports) == []

    client().put_object(Bucket=bucket, Key=key, Body=saw_less)

    (repair,) = authority.asked_by(unsettled_reports)
    job = authority.definitions.resolve_job_def("settle_submissions")
    assert job.execute_in_process(run_config=repair.run_config, instance=authority.instance).success
    assert authority.asked_by(unsettled_reports) == []


def _die(*_: object) -> None:
    raise dg.Failure("died", allow_retries=False)


def test_a_withdrawn_submission_is_gone_from_every_bucket_and_it_is_on_record_who_asked(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()

    authority.withdraw(FIRST)

    assert authority.current() == {"episodes": SECOND}
    report = authority.report()
    assert report["state"] == "withdrawn"
    assert (report["withdrawn"]["who"], report["withdrawn"]["when"]) == ("A. Officer", "2026-04-05T09:00:00Z")
    # Both files, and the marks that the switch of the manifest left in their place.
    assert report["withdrawn"]["versions_removed"]["shared"] == 4
    assert authority.index()["current"] == {"episodes": SECOND}
    assert authority.versions("shared", FIRST) == authority.versions("workspace", FIRST) == []
    kept = {key.rpartition("/")[2] for key in authority.versions("data-store", FIRST)}
    assert kept == {"report.json", f"{FIRST}.json"}, "the report, and who asked"
    assert authority.tick() == []


def test_with_a_submission_the_uploads_of_its_duplicates_are_withdrawn(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.upload("episodes.csv", THIRD)
    authority.process_everything()
    authority.upload("header.csv", SECOND)
    authority.process_everything()
    assert authority.report(SECOND)["state"] == "duplicate"

    authority.withdraw(FIRST)

    assert authority.report()["withdrawn"]["versions_removed"]["uploads"] == 2
    assert authority.versions("data-store", "uploads/") == [f"uploads/ssda903/2026/{THIRD}.csv"]
    assert authority.report(SECOND)["state"] == "duplicate", "it stays on record that it was sent"
    assert authority.tick() == []


def test_a_withdrawal_that_two_sensors_ask_for_is_carried_out_once(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.withdraw()
    before = authority.report()

    authority.run(run_request(Submission("ssda903", 2026, FIRST), "by its announcement"))

    assert authority.report() == before


def test_a_withdrawn_submission_does_not_bring_an_older_one_back(authority: Authority) -> None:
    for submission, sample in ((FIRST, "header.csv"), (SECOND, "header_with_errors.csv")):
        authority.upload(sample, submission)
        authority.process_everything()
    authority.withdraw(SECOND)

    assert authority.current() == {}
    authority.upload("header.csv", THIRD)
    authority.process_everything()
    assert authority.current() == {"header": THIRD}


def test_a_submission_that_is_withdrawn_before_its_run_is_never_shared(authority: Authority) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    authority.withdraw(FIRST)

    assert authority.run(request).success
    assert authority.report()["state"] == "withdrawn"
    assert authority.keys("shared") == set()
    assert authority.tick() == []


def test_what_is_sent_by_the_same_form_after_the_withdrawal_is_not_kept(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.withdraw()
    before = authority.report()
    for _ in range(2):
        authority.upload("header.csv")
    (late,) = authority.tick()

    assert authority.run(late).success

    assert authority.versions("data-store", "uploads/") == []
    assert authority.report() == before
    assert authority.keys("shared") == {f"{GROUP}manifest.json"}
    assert authority.tick() == []


def test_what_is_past_its_date_goes_from_every_bucket_and_it_is_on_record(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()
    authority.backdate(FIRST, days=20 * 365)

    authority.execute("retention")

    assert authority.current() == {"episodes": SECOND}
    assert authority.versions("shared", FIRST) == authority.versions("data-store", FIRST) == []
    assert authority.versions("shared", SECOND)
    (night,) = authority.removals()
    (removed,) = night["removed"]
    assert removed["submissions"] == [FIRST]
    assert set(removed["versions"]) == {"shared", "uploads", "results", "reports"}
    assert authority.tick() == []


def test_what_cannot_be_removed_of_one_year_holds_up_no_other_and_is_on_record_night_by_night(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    authority.upload("header.csv", SECOND, dataset="unheard_of")
    authority.process_everything()
    authority.backdate(FIRST, days=20 * 365)
    authority.backdate(SECOND, days=20 * 365, dataset="unheard_of")
    of_others = make_bucket("data-store-of-others", "111111111111")

    # The bucket refuses, as that of another account does.
    def refuse(request: Any, **_: object) -> None:  # noqa: ANN401
        if "/uploads/ssda903/" in request.url:
            request.url = request.url.replace(authority.buckets["data-store"], of_others)

    events = authority.storage().client.meta.events
    events.register("before-send.s3.DeleteObject", refuse)
    try:
        job = authority.definitions.resolve_job_def("retention")
        assert not job.execute_in_process(instance=authority.instance, raise_on_error=False).success
    finally:
        events.unregister("before-send.s3.DeleteObject", refuse)

    assert authority.versions("data-store", SECOND) == []
    assert authority.versions("data-store", "uploads/ssda903/")
    (first,) = authority.removals()
    failed, whole = first["removed"]
    assert (failed["dataset"], failed["submissions"]) == ("ssda903", [FIRST])
    assert "access is refused" in failed["failed"]
    assert set(failed["versions"]) == {"shared"}, "what was removed before"
    assert (whole["dataset"], whole["submissions"]) == ("unheard_of", [SECOND])
    assert "failed" not in whole

    monkeypatch.setattr(retention, "datetime", as_of(seconds=1))
    authority.execute("retention")

    assert authority.versions("data-store", FIRST) == []
    again, second = authority.removals()
    assert again == first
    assert [(entry["dataset"], "failed" in entry) for entry in second["removed"]] == [("ssda903", False)]


def test_with_the_last_report_of_a_year_its_index_goes(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.backdate(FIRST, days=20 * 365)

    authority.execute("retention")

    assert authority.versions("data-store", "results/") == []
    assert authority.asked_by(unsettled_reports) == []


def test_partitions_of_what_is_withdrawn_or_past_its_date_go_and_those_of_the_others_stay(authority: Authority) -> None:
    for submission, sample in ((FIRST, "header.csv"), (SECOND, "episodes.csv"), (THIRD, "header_ragged.csv")):
        authority.upload(sample, submission)
    authority.process_everything()
    authority.withdraw(FIRST)
    authority.backdate(SECOND, days=20 * 365)
    waiting = "20260404t101500-00000000000000dd"
    authority.upload("header.csv", waiting)
    authority.tick()

    authority.execute("retention")

    kept = {f"ssda903/2026/{submission}" for submission in (THIRD, waiting)}
    assert {*authority.instance.get_dynamic_partitions("submissions")} == kept


def test_an_upload_of_what_is_not_declared_goes_after_the_shortest_time_that_is(authority: Authority) -> None:
    shortest = min(declared(name, declared_years(name)[-1]).retention.results for name in declared_datasets())
    for submission in (FIRST, SECOND):
        authority.upload("header.csv", submission, dataset="unheard_of")
    authority.process_everything()
    authority.backdate(FIRST, shortest + 1, dataset="unheard_of")
    authority.backdate(SECOND, shortest - 1, dataset="unheard_of")

    authority.execute("retention")

    kept = authority.versions("data-store", "uploads/unheard_of/")
    assert kept == [f"uploads/unheard_of/2026/{SECOND}.csv"]


def test_an_upload_that_no_run_has_reported_goes_too(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.upload("header.csv", dataset="unheard_of")
    monkeypatch.setattr(retention, "datetime", as_of(days=20 * 365))

    authority.execute("retention")

    assert authority.versions("data-store", FIRST) == []


def as_of(**later: int) -> type[datetime]:
    """A clock that is ahead."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Ahead:
            return cls.fromtimestamp((super().now(tz) + timedelta(**later)).timestamp(), tz)

    return Ahead


def test_old_stages_go_from_the_workspace_and_nothing_else_does(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    before = {bucket: authority.keys(bucket) for bucket in ("data-store", "shared")}
    stages = authority.versions("workspace", FIRST)
    days = declared("ssda903", 2026).retention.workspace

    monkeypatch.setattr(retention, "datetime", as_of(days=days - 1))
    authority.execute("retention")
    assert authority.versions("workspace", FIRST) == stages

    monkeypatch.setattr(retention, "datetime", as_of(days=days + 1))
    authority.execute("retention")

    assert authority.versions("workspace", FIRST) == []
    on_the_day_before, on_the_day = authority.removals()
    assert on_the_day_before["removed"] == []
    (removed,) = on_the_day["removed"]
    assert (removed["dataset"], removed["year"], removed["submissions"]) == ("ssda903", 2026, [])
    assert removed["versions"] == {"workspace": len(stages)} == {"workspace": 4}
    kept = {key for key in authority.keys("data-store") if not key.startswith("retention/")}
    assert {"data-store": kept, "shared": authority.keys("shared")} == before
    assert authority.current() == {"header": FIRST}
    assert authority.report()["state"] == "accepted"
    assert authority.tick() == [], "what is done is not asked for again"


def test_of_one_year_only_the_stages_go_that_are_old_enough(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    old = authority.keys("workspace")
    authority.upload("episodes.csv", SECOND)
    authority.process_everything()
    young = authority.keys("workspace") - old

    def aged(parsed: dict[str, Any], **_: object) -> None:
        """S3 lists the old ones as written forty days ago."""
        for entry in parsed.get("Contents", []):
            entry["LastModified"] -= timedelta(days=40 if entry["Key"] in old else 0)

    events = authority.storage().client.meta.events
    events.register("after-call.s3.ListObjectsV2", aged)
    try:
        authority.execute("retention")
    finally:
        events.unregister("after-call.s3.ListObjectsV2", aged)

    assert authority.versions("workspace", FIRST) == []
    assert authority.keys("workspace") == young


@pytest.mark.parametrize("job", ["retention", "withdraw", "settle_submissions"])
def test_a_job_that_is_given_up_says_so_to_the_alarm_with_its_last_attempt(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setenv("DATA_STORE_LOCATION", "s3://no-such-bucket-of-ours")
    submission = SubmissionResource(dataset="ssda903", year=2026, submission=FIRST, version_id="1")
    unsettled = Unsettled(dataset="ssda903", year=2026)
    given: dict[str, Any] = {"withdraw": {"submission": submission}, "settle_submissions": {"unsettled": unsettled}}
    request = dg.RunRequest(job_name=job, run_config=dg.RunConfig(resources=given.get(job, {})))

    for retry, said in (("1", 0), ("2", 1)):
        outcome = authority.run(request, {"dagster/retry_number": retry})
        assert not outcome.success
        messages = [record.message for record in authority.instance.all_logs(outcome.run_id)]
        assert len([message for message in messages if "Given up after 3 attempts" in message]) == said


def test_results_go_before_what_is_shared_and_the_report_stays_until_then(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.backdate(FIRST, days=4 * 365)

    authority.execute("retention")

    assert authority.current() == {"header": FIRST}
    assert {key.rpartition("/")[2] for key in authority.versions("data-store", FIRST)} == {"report.json"}
    assert authority.tick() == []


@pytest.mark.parametrize("state", ["accepted", "rejected"])
def test_a_report_of_the_form_before_is_no_hindrance(authority: Authority, state: str) -> None:
    before = {
        "submission": SECOND, "dataset": "ssda903", "year": 2026, "table": "header", "state": state, "version_id": "1",
        "finished_at": "2001-04-02T10:15:00Z", "rows": {"read": 3, "written": 3, "shared": 3},
        "errors": {"total": 0, "shown": []},
        "shared": {"bucket": "b", "key": "k"} if state == "accepted" else None,
    }  # fmt: skip
    key = f"results/ssda903/2026/{SECOND}/report.json"
    client().put_object(Bucket=authority.buckets["data-store"], Key=key, Body=json.dumps(before).encode())
    authority.upload("header.csv")

    authority.process_everything()

    assert authority.current() == {"header": FIRST}
    authority.execute("retention")
    assert key not in authority.keys("data-store")


def test_a_replaced_upload_is_processed_again_and_an_overtaken_run_does_nothing(authority: Authority) -> None:
    authority.upload("header.csv")
    overtaken = authority.tick()
    latest = authority.upload("header_with_errors.csv")

    assert authority.run(overtaken[0]).success
    assert authority.keys("shared") == set()
    authority.process_everything()

    assert authority.report()["version_id"] == latest
    assert authority.tick() == []


def test_a_replacement_that_is_rejected_takes_back_what_was_shared(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    assert authority.current() == {"header": FIRST}

    authority.upload("header_missing_column.csv")
    authority.process_everything()

    assert authority.report()["state"] == "rejected"
    assert not [key for key in authority.keys("shared") if FIRST in key]
    assert f"results/ssda903/2026/{FIRST}/header.csv" not in authority.keys("data-store")


def test_a_replacement_by_another_table_leaves_only_the_new_one(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.upload("episodes.csv")
    authority.process_everything()

    assert authority.current() == {"episodes": FIRST}
    results = {key.rpartition("/")[2] for key in authority.keys("data-store") if f"results/ssda903/2026/{FIRST}" in key}
    assert results == {"episodes.csv", "errors.csv", "report.json"}


def test_an_upload_that_is_deleted_before_its_run_is_left_alone(authority: Authority) -> None:
    authority.upload("header.csv")
    requests = authority.tick()
    client().delete_object(Bucket=authority.buckets["data-store"], Key=f"uploads/ssda903/2026/{FIRST}.csv")

    assert authority.run(requests[0]).success
    assert authority.keys("data-store") == set()
    assert authority.tick() == []


def test_the_same_run_twice_leaves_the_same_objects(authority: Authority) -> None:
    authority.upload("header_with_errors.csv")
    request = authority.tick()[0]

    def contents() -> dict[tuple[str, str], Any]:
        return {
            (bucket, key): client().get_object(Bucket=authority.buckets[bucket], Key=key)["Body"].read()
            for bucket in ("data-store", "shared")
            for key in authority.keys(bucket)
            if not key.endswith(("report.json", "index.json"))
        }

    assert authority.run(request).success
    once, report = contents(), authority.report()
    assert authority.run(request).success
    assert contents() == once
    assert {**authority.report(), "finished_at": None} == {**report, "finished_at": None}


def test_what_the_manifest_names_stays_as_it_was_until_the_manifest_names_what_another_run_made_of_it(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    assert authority.run(request).success
    monkeypatch.setenv("PSEUDONYM_KEY", "another key that is used by tests, and by nobody else")
    before = authority.named_files()
    with monkeypatch.context() as patched:
        patched.setattr(stage8_report, "finish", _die)
        assert not authority.run(request).success
    assert authority.named_files() == before
    settle(authority.storage(), DatasetYear("ssda903", 2026))
    assert len(authority.keys("shared")) == 5, "what a run under way has put there stays"

    assert authority.run(request).success

    after = authority.named_files()
    assert {*after} & {*before} == set()
    assert authority.keys("shared") == {*after, f"{GROUP}manifest.json"}


def test_what_fails_for_good_tells_the_uploader_at_once_and_is_not_run_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PSEUDONYM_KEY")
    authority.upload("header.csv")
    (request,) = authority.tick()

    outcome = authority.run(request)

    assert not outcome.success
    assert authority.tags(outcome.run_id)["dagster/max_retries"] == "0"
    assert authority.report()["state"] == "rejected"
    assert authority.report()["errors"]["shown"][0]["rule"] == "platform"
    assert authority.keys("shared") == set()
    assert authority.tick() == []


def test_no_fault_of_the_platform_counts_against_a_file_however_often_it_comes(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    with monkeypatch.context() as without_workspace:
        without_workspace.setenv("WORKSPACE_LOCATION", "s3://no-such-bucket-of-ours")
        for retry in range(5):
            outcome = authority.run(request, {"dagster/retry_number": str(retry)})
            assert not outcome.success
            assert authority.tags(outcome.run_id)["dagster/max_retries"] == "2"
    assert not any(key.endswith("/report.json") for key in authority.keys("data-store"))

    (again,) = authority.lose(1)
    assert again.run_key == f"{request.run_key}#again-1"
    assert authority.run(again).success
    assert authority.report()["state"] == "accepted"


def test_a_run_that_was_asked_for_again_does_nothing_when_the_one_before_ended_after_all(authority: Authority) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    (again,) = authority.lose(1)
    assert authority.run(request).success
    before = authority.versions("data-store", "/report.json")

    assert authority.run(again).success

    assert authority.versions("data-store", "/report.json") == before


def test_a_step_that_fails_for_a_passing_reason_waits_and_goes_on_in_the_same_run(authority: Authority) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()

    with refused_once(authority.buckets["workspace"]):
        outcome = authority.run(request)

    assert outcome.success
    assert tried_again(outcome) == ["parsed"]
    assert authority.report()["state"] == "accepted"
    assert authority.current() == {"header": FIRST}


def test_a_bucket_that_is_closed_is_not_waited_for_in_the_run(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    monkeypatch.setenv("WORKSPACE_LOCATION", "s3://no-such-bucket-of-ours")

    outcome = authority.run(request)

    assert not outcome.success
    assert tried_again(outcome) == []


@contextmanager
def refused_once(bucket: str) -> Iterator[None]:
    """S3 refuses the first object that is put into the bucket, with an answer that its client does not repeat."""
    answers = [{"Error": {"Code": "OperationAborted"}, "ResponseMetadata": {"HTTPStatusCode": 409}}]

    def answer(params: dict[str, Any], **_: object) -> tuple[SimpleNamespace, dict[str, Any]] | None:
        return (SimpleNamespace(status_code=409), answers.pop()) if answers and bucket in params["url"] else None

    events = aws_client("s3").meta.events
    events.register("before-call.s3.PutObject", answer)
    try:
        yield
    finally:
        events.unregister("before-call.s3.PutObject", answer)


def tried_again(outcome: dg.ExecuteInProcessResult) -> list[str | None]:
    """The steps that failed and were to be tried again in the same run."""
    return [event.step_key for event in outcome.all_events if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY]


def test_what_is_accepted_stays_so_when_it_cannot_be_processed_once_more(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    assert authority.run(request).success
    before = authority.report()
    monkeypatch.setenv("WORKSPACE_LOCATION", "s3://no-such-bucket-of-ours")

    assert not authority.run(request).success

    assert authority.report() == before
    assert authority.current() == {"header": FIRST}


def test_the_stages_that_are_done_are_told_until_the_run_ends(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    (request,) = authority.tick()
    done = f"results/ssda903/2026/{FIRST}/done/"
    with monkeypatch.context() as without_shared_bucket:
        without_shared_bucket.setenv("SHARED_LOCATION", "s3://no-such-bucket-of-ours")
        assert not authority.run(request).success
    told = {key.removeprefix(done) for key in authority.keys("data-store") if key.startswith(done)}
    assert told == {"uploaded", "parsed", "cleaned", "checked", "pseudonymised"}

    assert authority.run(request).success

    assert authority.versions("data-store", done) == []


def test_of_a_refused_file_no_progress_is_told_any_more(authority: Authority) -> None:
    authority.upload("header_ragged.csv")
    authority.process_everything()
    assert authority.report()["state"] == "rejected"
    assert authority.versions("data-store", "/done/") == []


def test_an_upload_whose_runs_die_without_a_word_is_given_up_with_a_report(authority: Authority) -> None:
    authority.upload("header.csv")
    first = authority.tick()[0]

    (request,) = authority.lose(5)
    assert request.job_name == "give_up"
    assert request.run_key != first.run_key
    assert authority.run(request).success

    assert authority.report()["errors"]["shown"][0]["rule"] == "platform"
    assert authority.tick() == []


def test_what_is_tried_again_and_again_is_told_to_the_operators_and_a_single_lost_run_is_not(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (FIRST, SECOND):
        authority.upload("header.csv", name)
    authority.tick()
    authority.lose(1)
    assert caplog.messages == []
    authority.lose(1)
    (said,) = caplog.messages
    since = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(
        rf"No run has come to its end of ssda903/2026/{FIRST} and 1 more since {since}: retrying.", said
    )
    authority.tick()
    assert caplog.messages == [said], "it is said once each time"


@pytest.mark.parametrize("sensor", [announced_uploads, withdrawals, unsettled_reports], ids=lambda sensor: sensor.name)
def test_a_sensor_hears_that_a_bucket_is_away_before_dagster_ends_its_minute(
    authority: Authority, sensor: dg.SensorDefinition
) -> None:
    with (
        unreachable(aws_client("s3")) as waited_by_runs,
        unreachable(aws_client("s3", waits=False)) as waited,
        pytest.raises(BucketUnreachableError),
    ):
        authority.asked_by(sensor)
    assert waited_by_runs == []
    assert 0 < sum(waited) < 60


@contextmanager
def unreachable(s3: Any) -> Iterator[list[float]]:  # noqa: ANN401
    """No request of the client arrives. Hands out how many seconds it would have waited for each."""
    waited: list[float] = []

    def away(request: Any, **_: object) -> None:  # noqa: ANN401
        waited.append(s3.meta.config.connect_timeout + s3.meta.config.read_timeout)
        raise ConnectTimeoutError(endpoint_url=request.url)

    s3.meta.events.register("before-send.s3", away)
    try:
        yield waited
    finally:
        s3.meta.events.unregister("before-send.s3", away)


def test_giving_up_does_not_overwrite_a_report_that_came_after_all(authority: Authority) -> None:
    authority.upload("header.csv")
    first = authority.tick()[0]
    (late,) = authority.lose(5)
    assert authority.run(first).success

    assert authority.run(late).success
    assert authority.report()["state"] == "accepted"


def test_giving_up_does_not_overwrite_a_withdrawal(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.tick()
    (late,) = authority.lose(5)
    authority.withdraw()

    assert authority.run(late).success
    assert authority.report()["state"] == "withdrawn"


def test_no_value_of_a_file_is_in_dagsters_records_or_logs_nor_shared(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted in cells that are good, in cells that are blanked, in names of columns and in sheets."""
    caplog.set_level(logging.DEBUG)
    samples = (
        "header.csv",
        "header_with_errors.csv",
        "not_this_return.csv",
        "episodes.csv",
        "header_missing_column.csv",
    )
    for number, sample in enumerate(samples):
        authority.upload(sample, submission=f"{FIRST}{number}")
    authority.upload("header_and_episodes.xlsx", submission=f"{FIRST}9", form="xlsx")
    for request in authority.tick():
        authority.run(request)
    authority.withdraw(f"{FIRST}1")
    authority.execute("retention")

    records = [
        repr(record) for run in authority.instance.get_runs() for record in authority.instance.all_logs(run.run_id)
    ]
    assert len(records) > 200
    runs = [repr((run.run_config, run.tags)) for run in authority.instance.get_runs()]
    partitions = [repr(authority.instance.get_dynamic_partitions("submissions"))]
    reports = [authority.read("data-store", key) for key in authority.keys("data-store") if key.endswith(".json")]
    shared = [
        repr(pl.read_parquet(client().get_object(Bucket=authority.buckets["shared"], Key=key)["Body"].read()).rows())
        if key.endswith(".parquet")
        else authority.read("shared", key)
        for key in authority.keys("shared")
    ]
    assert shared
    for text in [*records, *runs, *partitions, *reports, *shared, caplog.text]:
        for identifier in (*IDENTIFIERS, "TEST PERSON"):
            assert identifier not in text


@pytest.mark.parametrize(("module", "counting"), [(stage4_cleaned, "_errors_by_rule"), (preview, "columns")])
def test_what_fails_while_it_counts_for_dagsters_pages_quotes_no_cell_there(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, module: ModuleType, counting: str
) -> None:
    monkeypatch.setattr(module, counting, _quote_a_cell)
    authority.upload("header.csv")
    (request,) = authority.tick()

    outcome = authority.run(request)

    assert not outcome.success
    records = repr(authority.instance.all_logs(outcome.run_id))
    assert "message withheld" in records
    assert IDENTIFIERS[0] not in records


def _quote_a_cell(*_: object) -> None:
    raise ValueError(f"cannot count {IDENTIFIERS[0]}")


def test_what_is_current_is_read_from_each_report_once(authority: Authority) -> None:
    for number in range(4):
        authority.upload(HEADER.replace(b"TEST0001", f"TEST100{number}".encode()), f"{FIRST}{number}")
    authority.process_everything()
    events = authority.storage().client.meta.events
    fetched: list[str] = []

    def seen(params: dict[str, Any], **_: object) -> None:
        fetched.append(params["url_path"])

    events.register("before-call.s3.GetObject", seen)
    try:
        found = standing.settle(authority.storage(), DatasetYear("ssda903", 2026))
    finally:
        events.unregister("before-call.s3.GetObject", seen)

    assert found.current["header"]["submission"] == f"{FIRST}3"
    assert not [path for path in fetched if path.endswith("report.json")]


def test_many_uploads_are_listed_beyond_the_first_page(authority: Authority) -> None:
    """The emulator and AWS both answer with 1000 keys at most."""
    for number in range(7):
        authority.upload(b"", submission=f"{FIRST}{number:04}")
    storage = authority.storage()
    paginate = storage.client.get_paginator("list_object_versions").paginate
    pages = paginate(Bucket=authority.buckets["data-store"], PaginationConfig={"PageSize": 3})
    assert len(list(pages)) > 1
    assert len(authority.tick()) == 7
