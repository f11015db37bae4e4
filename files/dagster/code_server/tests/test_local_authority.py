# SPDX-License-Identifier: GPL-3.0-or-later
"""The local authority's pipeline, from an uploaded file to its report, through the real sensor and job on a real S3."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from buckets import SAMPLES, client
from localgov_pipeline.defs import local_authority
from localgov_pipeline.defs.local_authority.stage1_upload import PATIENCE_SECONDS, new_uploads
from localgov_pipeline.defs.storage import Storage

FIRST = "20260401t101500-00000000000000aa"
IDENTIFIERS = ("TEST0001", "TESTUPN", "ZZ99 3A", "05/03/2012", "2012-03-05")


class Authority:
    """One local authority with its buckets and its Dagster instance."""

    def __init__(self, buckets: dict[str, str], instance: dg.DagsterInstance) -> None:
        self.buckets = buckets
        self.instance = instance
        self.definitions = local_authority.definitions()
        self.cursor: str | None = None

    def upload(self, sample: str | bytes, submission: str = FIRST, dataset: str = "ssda903") -> str:
        content = sample if isinstance(sample, bytes) else (SAMPLES / sample).read_bytes()
        key = f"uploads/{dataset}/2026/{submission}.csv"
        response = client().put_object(Bucket=self.buckets["data-store"], Key=key, Body=content)
        return str(response["VersionId"])

    def tick(self) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self.instance,
            definitions=self.definitions,
            cursor=self.cursor,
        )
        outcome = new_uploads(context)
        assert isinstance(outcome, dg.SensorResult)
        self.cursor = outcome.cursor
        return list(outcome.run_requests or [])

    def storage(self) -> Storage:
        return Storage(**{f"{name.replace('-', '_')}_location": f"s3://{b}" for name, b in self.buckets.items()})

    def run(self, request: dg.RunRequest, tags: dict[str, str] | None = None) -> Any:  # noqa: ANN401
        job = self.definitions.resolve_job_def(str(request.job_name))
        all_tags = {**request.tags, **(tags or {})}
        return job.execute_in_process(
            run_config=request.run_config, instance=self.instance, tags=all_tags, raise_on_error=False
        )

    def process_everything(self) -> None:
        for request in self.tick():
            assert self.run(request).success

    def read(self, bucket: str, key: str) -> str:
        response = client().get_object(Bucket=self.buckets[bucket], Key=key)
        return str(response["Body"].read().decode())

    def report(self, submission: str = FIRST, dataset: str = "ssda903") -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.read("data-store", f"results/{dataset}/2026/{submission}/report.json"))
        return report

    def keys(self, bucket: str) -> set[str]:
        listed = client().list_objects_v2(Bucket=self.buckets[bucket])
        return {entry["Key"] for entry in listed.get("Contents", [])}


@pytest.fixture
def authority(locations: dict[str, str]) -> Iterator[Authority]:
    with dg.instance_for_test() as instance:
        yield Authority(locations, instance)


def test_a_good_file_becomes_a_result_a_shared_part_and_a_report(authority: Authority) -> None:
    version = authority.upload("header.csv")

    authority.process_everything()

    report = authority.report()
    assert report.pop("finished_at").endswith("Z")
    assert report == {
        "submission": FIRST,
        "dataset": "ssda903",
        "year": 2026,
        "table": "header",
        "state": "accepted",
        "version_id": version,
        "rows": {"read": 3, "written": 3, "shared": 3},
        "errors": {"total": 0, "shown": []},
        "shared": {"bucket": authority.buckets["shared"], "key": f"ssda903/2026/header/{FIRST}.csv"},
    }
    uploaded = (SAMPLES / "header.csv").read_text().splitlines()
    assert authority.read("data-store", f"results/ssda903/2026/{FIRST}/header.csv").splitlines() == uploaded
    assert authority.keys("workspace") == {
        f"parsed/ssda903/2026/{FIRST}/header.parquet",
        f"cleaned/ssda903/2026/{FIRST}/header.parquet",
        f"cleaned/ssda903/2026/{FIRST}/errors.parquet",
    }


@pytest.mark.parametrize("table", ["header", "episodes"])
def test_the_shared_part_holds_no_identifier(authority: Authority, table: str) -> None:
    authority.upload(f"{table}.csv")

    authority.process_everything()

    shared = authority.read("shared", f"ssda903/2026/{table}/{FIRST}.csv")
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
    assert report["errors"]["shown"][0] == {
        "row": 2,
        "column": "DOB",
        "rule": "date",
        "reason": "Not a date. Write it as DD/MM/YYYY.",
    }
    errors = authority.read("data-store", f"results/ssda903/2026/{FIRST}/errors.csv")
    assert len(errors.splitlines()) == 1 + 6


@pytest.mark.parametrize(
    ("sample", "rule", "words"),
    [
        ("empty.csv", "empty", "empty"),
        ("header_windows_1252.csv", "encoding", "CSV UTF-8"),
        ("header_missing_column.csv", "columns", "missing"),
        ("header_ragged.csv", "cells", "3 cells, the header has 7"),
        ("header_unclosed_quote.csv", "quote", "not closed"),
        ("header_without_rows.csv", "rows", "no rows"),
        ("header_without_keys.csv", "rows", "No row can be used"),
        ("not_this_return.csv", "columns", "not the columns"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_rejected_with_a_reason_and_nothing_is_shared(
    authority: Authority, sample: str, rule: str, words: str
) -> None:
    authority.upload(sample)

    authority.process_everything()

    report = authority.report()
    assert report["state"] == "rejected"
    assert report["shared"] is None
    assert report["errors"]["total"] == len(report["errors"]["shown"]) > 0
    assert report["errors"]["shown"][0]["rule"] == rule
    assert words in report["errors"]["shown"][0]["reason"]
    assert authority.keys("shared") == set()
    assert "TEST" not in authority.read("data-store", f"results/ssda903/2026/{FIRST}/report.json")


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
    assert authority.keys("shared")

    authority.upload("header_windows_1252.csv")
    authority.process_everything()

    assert authority.report()["state"] == "rejected"
    assert authority.keys("shared") == set()
    assert f"results/ssda903/2026/{FIRST}/header.csv" not in authority.keys("data-store")


def test_a_replacement_by_another_table_leaves_only_the_new_one(authority: Authority) -> None:
    authority.upload("header.csv")
    authority.process_everything()
    authority.upload("episodes.csv")
    authority.process_everything()

    assert authority.keys("shared") == {f"ssda903/2026/episodes/{FIRST}.csv"}


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

    def contents() -> dict[tuple[str, str], str]:
        return {
            (bucket, key): authority.read(bucket, key)
            for bucket in ("data-store", "shared")
            for key in authority.keys(bucket)
            if not key.endswith("report.json")
        }

    assert authority.run(request).success
    once, report = contents(), authority.report()
    assert authority.run(request).success
    assert contents() == once
    assert {**authority.report(), "finished_at": None} == {**report, "finished_at": None}


def test_the_last_failed_attempt_tells_the_uploader_and_shares_nothing(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.upload("header.csv")
    request = authority.tick()[0]
    # The workspace has gone: every attempt fails.
    missing = {"WORKSPACE_LOCATION": "s3://no-such-bucket-of-ours"}
    monkeypatch.setenv("WORKSPACE_LOCATION", missing["WORKSPACE_LOCATION"])

    assert not authority.run(request).success
    assert not any(key.startswith("results/") for key in authority.keys("data-store"))
    assert not authority.run(request, {"dagster/retry_number": "2"}).success

    assert authority.report()["state"] == "rejected"
    assert authority.report()["errors"]["shown"][0]["rule"] == "platform"
    assert authority.keys("shared") == set()
    assert authority.tick() == []


def test_an_upload_whose_runs_die_without_a_word_is_given_up_with_a_report(authority: Authority) -> None:
    authority.upload("header.csv")
    first = authority.tick()[0]
    long_ago = {key: seen - PATIENCE_SECONDS - 1 for key, seen in json.loads(authority.cursor or "").items()}
    authority.cursor = json.dumps(long_ago)

    (request,) = authority.tick()
    assert request.job_name == "give_up"
    assert request.run_key != first.run_key
    assert authority.run(request).success

    assert authority.report()["errors"]["shown"][0]["rule"] == "platform"
    assert authority.tick() == []


def test_giving_up_does_not_overwrite_a_report_that_came_after_all(authority: Authority) -> None:
    authority.upload("header.csv")
    first = authority.tick()[0]
    authority.cursor = json.dumps(dict.fromkeys(json.loads(authority.cursor or ""), 0.0))
    (late,) = authority.tick()
    assert authority.run(first).success

    assert authority.run(late).success
    assert authority.report()["state"] == "accepted"


def test_no_value_of_a_file_is_in_dagsters_records_or_logs(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for number, sample in enumerate(("header.csv", "header_with_errors.csv", "not_this_return.csv")):
        authority.upload(sample, submission=f"{FIRST}{number}")
    for request in authority.tick():
        authority.run(request)

    records = [
        repr(record) for run in authority.instance.get_runs() for record in authority.instance.all_logs(run.run_id)
    ]
    assert len(records) > 50
    runs = [repr((run.run_config, run.tags)) for run in authority.instance.get_runs()]
    for text in [*records, *runs, caplog.text]:
        for identifier in (*IDENTIFIERS, "TEST PERSON"):
            assert identifier not in text


def test_many_uploads_are_listed_beyond_the_first_page(authority: Authority) -> None:
    """The emulator and AWS both answer with 1000 keys at most."""
    for number in range(7):
        authority.upload(b"", submission=f"{FIRST}{number:04}")
    storage = authority.storage()
    paginate = storage.client.get_paginator("list_object_versions").paginate
    pages = paginate(Bucket=authority.buckets["data-store"], PaginationConfig={"PageSize": 3})
    assert len(list(pages)) > 1
    assert len(authority.tick()) == 7
