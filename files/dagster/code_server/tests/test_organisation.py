# SPDX-License-Identifier: GPL-3.0-or-later
"""The organisation's pipeline over the shared buckets of several local authorities, each in its own account."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from buckets import client, make_bucket
from localgov_pipeline.defs import organisation
from localgov_pipeline.defs.organisation.stage1_member_shares import changed_shares
from localgov_pipeline.defs.storage import Storage

ACCOUNTS = {"alphaton": "111111111111", "betaford": "222222222222", "gammashire": "333333333333"}
COLUMNS = "SEX,DOB,ETHNIC,MOTHER,MC_DOB"
KEY = "ssda903/2026/header/20260401t101500-aa.csv"


class Organisation:
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.data_store = make_bucket("organisation-data-store")
        self.shared = {name: make_bucket(f"{name}-shared", account) for name, account in ACCOUNTS.items()}
        for name in self.shared:
            self.open(name)
        self.definitions = organisation.definitions()

    def open(self, name: str, folder: str = "", actions: tuple[str, ...] = ("s3:ListBucket", "s3:GetObject")) -> None:
        """The local authority turns its key: for the whole bucket, or for one folder, such as `ssda903/`."""
        bucket = self.shared[name]
        who = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::012345670123:root"}}
        only_folder = {"Condition": {"StringLike": {"s3:prefix": f"{folder}*"}}} if folder else {}
        statements = [
            {**who, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}", **only_folder},
            {**who, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/{folder}*"},
        ]
        granted = [statement for statement in statements if statement["Action"] in actions]
        policy = json.dumps({"Version": "2012-10-17", "Statement": granted})
        client(ACCOUNTS[name]).put_bucket_policy(Bucket=bucket, Policy=policy)

    def close(self, name: str) -> None:
        client(ACCOUNTS[name]).delete_bucket_policy(Bucket=self.shared[name])

    def share(self, name: str, *rows: str, key: str = KEY, columns: str = COLUMNS) -> None:
        body = "\n".join([columns, *rows, ""]).encode()
        client(ACCOUNTS[name]).put_object(Bucket=self.shared[name], Key=key, Body=body)

    def withdraw(self, name: str) -> None:
        client(ACCOUNTS[name]).delete_object(Bucket=self.shared[name], Key=KEY)

    def storage(self) -> Storage:
        members = {name: f"s3://{bucket}" for name, bucket in self.shared.items()}
        return Storage(data_store_location=f"s3://{self.data_store}", member_shared_locations=json.dumps(members))

    @contextmanager
    def after_the_first_read(self, happens: Callable[[], None]) -> Iterator[None]:
        """Something that happens while the pipeline reads: right after the next object that it gets."""
        events = self.storage().client.meta.events
        pending = [happens]

        def first_read(**_: object) -> None:
            if pending:
                pending.pop()()

        events.register("after-call.s3.GetObject", first_read)
        try:
            yield
            assert not pending, "the pipeline read nothing"
        finally:
            events.unregister("after-call.s3.GetObject", first_read)

    def tick(self) -> list[dg.RunRequest]:
        outcome = changed_shares()
        assert isinstance(outcome, dg.SensorResult)
        return list(outcome.run_requests or [])

    def run(self, request: dg.RunRequest) -> None:
        job = self.definitions.resolve_job_def("write_regional_table")
        assert job.execute_in_process(run_config=request.run_config, instance=self.instance).success

    def settle(self) -> list[str | None]:
        """Run until the sensor asks for nothing; give the run keys."""
        keys: list[str | None] = []
        while requests := self.tick():
            assert len(keys) < 10, "the sensor never settles"
            for request in requests:
                keys.append(request.run_key)
                self.run(request)
        return keys

    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(self._read("csv").splitlines()))

    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads(self._read("json"))
        return manifest

    def put_off(self, by: timedelta) -> None:
        """As if the table had been written that much earlier."""
        manifest = self.manifest()
        manifest["retry_at"] = (datetime.fromisoformat(manifest["retry_at"]) - by).isoformat()
        key = "regional/ssda903/2026/header.json"
        client().put_object(Bucket=self.data_store, Key=key, Body=json.dumps(manifest).encode())

    def _read(self, extension: str) -> str:
        key = f"regional/ssda903/2026/header.{extension}"
        return str(client().get_object(Bucket=self.data_store, Key=key)["Body"].read().decode())


@pytest.fixture
def hub(aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Organisation]:
    with dg.instance_for_test() as instance:
        organisation_under_test = Organisation(instance)
        storage = organisation_under_test.storage()
        monkeypatch.setenv("DATA_STORE_LOCATION", storage.data_store_location)
        monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", storage.member_shared_locations)
        monkeypatch.setenv("PIPELINE", "organisation")
        yield organisation_under_test


def test_the_tables_of_all_local_authorities_are_concatenated(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,", "F,2009-11,MWBC,1,2025-08")
    hub.share("betaford", "U,2018-06,AIND,0,")

    hub.settle()

    assert [(row["local_authority"], row["SEX"], row["DOB"]) for row in hub.rows()] == [
        ("alphaton", "M", "2012-03"),
        ("alphaton", "F", "2009-11"),
        ("betaford", "U", "2018-06"),
    ]
    assert hub.manifest()["rows"] == {"alphaton": 2, "betaford": 1}
    assert hub.manifest()["skipped"] == []


def test_nothing_is_run_when_nothing_has_changed(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    assert len(hub.settle()) == 1
    assert hub.tick() == []


def test_a_bucket_that_refuses_is_left_out_and_noted_and_the_others_go_on(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.close("alphaton")

    hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}
    (skipped,) = hub.manifest()["skipped"]
    assert skipped["local_authority"] == "alphaton"
    assert "access is refused" in skipped["reason"]


def test_closing_a_bucket_takes_its_rows_out_and_opening_it_brings_them_back(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    keys = hub.settle()
    hub.close("alphaton")
    keys += hub.settle()
    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}
    hub.open("alphaton")
    keys += hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"alphaton", "betaford"}
    assert len(set(keys)) == len(keys) == 3


def test_a_bucket_that_closes_while_it_is_read_is_left_out_as_a_whole_and_the_others_go_on(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("alphaton", "F,2009-11,MWBC,1,2025-08", key=KEY.replace("aa.csv", "bb.csv"))
    hub.share("betaford", "U,2018-06,AIND,0,")
    (request,) = hub.tick()
    with hub.after_the_first_read(lambda: hub.close("alphaton")):
        hub.run(request)

    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}
    (skipped,) = hub.manifest()["skipped"]
    assert skipped["local_authority"] == "alphaton"
    assert "access is refused" in skipped["reason"]

    hub.settle()
    hub.open("alphaton")
    hub.settle()
    assert hub.manifest()["rows"] == {"alphaton": 2, "betaford": 1}
    assert hub.manifest()["skipped"] == []


def test_a_bucket_that_is_open_again_before_anybody_looked_is_caught_up_with(hub: Organisation) -> None:
    """The list of what is shared looks as it did, so that only the manifest knows that something is missing."""
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("alphaton", "F,2009-11,MWBC,1,2025-08", key=KEY.replace("aa.csv", "bb.csv"))
    (request,) = hub.tick()
    with hub.after_the_first_read(lambda: hub.close("alphaton")):
        hub.run(request)
    hub.open("alphaton")
    assert hub.tick() == [], "what was refused a moment ago is not asked for at once"

    hub.put_off(timedelta(minutes=10))
    assert len(hub.settle()) == 1
    assert hub.manifest()["rows"] == {"alphaton": 2}


def test_a_bucket_that_can_be_listed_and_not_read_does_not_keep_the_pipeline_busy(hub: Organisation) -> None:
    hub.open("alphaton", actions=("s3:ListBucket",))
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "U,2018-06,AIND,0,")

    assert len(hub.settle()) == 1
    assert hub.manifest()["rows"] == {"betaford": 1}
    assert [entry["local_authority"] for entry in hub.manifest()["skipped"]] == ["alphaton"]


def test_a_share_of_one_dataset_is_read_as_if_the_whole_bucket_were_open(hub: Organisation) -> None:
    hub.open("alphaton", "ssda903/")
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")

    assert len(hub.settle()) == 1
    assert hub.manifest()["rows"] == {"alphaton": 1, "betaford": 1}
    assert hub.manifest()["skipped"] == []


@pytest.mark.parametrize("folder", ["another_dataset/", "ssda903/2026/", "ssda9/"])
def test_a_share_of_something_else_counts_as_closed_for_the_dataset(hub: Organisation, folder: str) -> None:
    hub.open("alphaton", folder)
    hub.share("alphaton", "M,2012-03,WBRI,,", key=KEY.replace("ssda903", "another_dataset"))
    hub.share("betaford", "F,2018-06,AIND,,")

    assert len(hub.settle()) == 1
    assert hub.manifest()["rows"] == {"betaford": 1}
    assert [entry["local_authority"] for entry in hub.manifest()["skipped"]] == ["alphaton"]


def test_a_dataset_without_rules_that_one_shares_as_a_folder_and_another_as_a_bucket_settles(hub: Organisation) -> None:
    key = KEY.replace("ssda903", "another_dataset")
    hub.open("alphaton", "another_dataset/")
    hub.share("alphaton", "M,2012-03,WBRI,,", key=key)
    hub.share("betaford", "F,2018-06,AIND,,", key=key)

    assert len(hub.settle()) == 1


def test_limiting_a_share_takes_out_the_rows_of_the_other_datasets(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.settle()
    hub.open("alphaton", "another_dataset/")
    hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}


def test_a_member_without_a_bucket_does_not_hold_up_the_others(
    hub: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.shared["newtown"] = "no-bucket-of-newtown-yet"
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", hub.storage().member_shared_locations)

    hub.settle()

    assert len(hub.rows()) == 1
    assert hub.manifest()["skipped"][0]["local_authority"] == "newtown"


def test_what_is_withdrawn_does_not_stay(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.settle()
    hub.withdraw("alphaton")
    hub.settle()

    assert hub.rows() == []
    assert hub.manifest()["rows"] == {}


@pytest.mark.parametrize(
    ("columns", "row"), [("UPN,SEX", "TEST0001,M"), ("SEX,DOB", "M")], ids=["identifier", "ragged"]
)
def test_a_file_that_may_not_be_shared_is_left_out_and_its_values_are_not_repeated(
    hub: Organisation, columns: str, row: str
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", *[row, "M,2012-03,1,2,3,4,5"], columns=columns)

    hub.settle()

    assert {entry["local_authority"] for entry in hub.rows()} == {"alphaton"}
    (skipped,) = hub.manifest()["skipped"]
    assert skipped["local_authority"] == "betaford"
    assert "TEST0001" not in json.dumps(hub.manifest())


def test_objects_that_are_no_tables_are_ignored(hub: Organisation) -> None:
    hub.share("alphaton", "hello", key="notes/README.txt")
    assert hub.tick() == []


def test_objects_that_are_no_tables_are_ignored_beside_a_table(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("alphaton", "hello", key="ssda903/2026/header/README.txt")
    assert len(hub.settle()) == 1
    assert hub.manifest()["skipped"] == []
