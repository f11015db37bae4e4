# SPDX-License-Identifier: GPL-3.0-or-later
"""The organisation's pipeline over the shared buckets of several local authorities, each in its own account."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import dagster as dg
import polars as pl
import pytest
from buckets import client, make_bucket
from localgov_pipeline.defs import organisation
from localgov_pipeline.defs.organisation import members, stage1_member_shares
from localgov_pipeline.defs.organisation.stage1_member_shares import changed_shares
from localgov_pipeline.defs.storage import Storage

ACCOUNTS = {"alphaton": "111111111111", "betaford": "222222222222", "gammashire": "333333333333"}
COLUMNS = "SEX,DOB,ETHNIC,MOTHER,MC_DOB"
GROUP = "ssda903/regional/2026/"
SUBMISSION = "20260401t101500-aa"


def parquet(columns: str, *rows: str) -> bytes:
    cells = [row.split(",") for row in rows]
    return written(pl.DataFrame(cells, schema=dict.fromkeys(columns.split(","), pl.String), orient="row"))


def written(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    return buffer.getvalue()


def broken_in_a_page() -> bytes:
    """One byte is another: the footer, and so the names and types of the columns, can be read."""
    content = bytearray(parquet("SEX", *["M", "F"] * 500))
    for place in range(4, len(content)):
        spoilt = content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
        pl.read_parquet_schema(bytes(spoilt))
        try:
            pl.read_parquet(bytes(spoilt))
        except pl.exceptions.PolarsError:
            return bytes(spoilt)
    raise AssertionError("every byte of the pages may be any")


def entry(group: str, table: str, submission: str, content: bytes, rows: int) -> dict[str, Any]:
    """What a local authority's manifest says of one table."""
    key, digest = f"{group}{table}/{submission}", hashlib.sha256(content).hexdigest()
    files = {form: {"key": f"{key}.{form}", "sha256": digest} for form in ("parquet", "csv")}
    return {"submission": submission, "rows": rows, "columns": [], "uploaded_at": "2026-04-01T10:15:00Z", **files}


def manifest_of(group: str, tables: dict[str, Any]) -> bytes:
    dataset, profile, year, _ = group.split("/")
    return json.dumps({"dataset": dataset, "profile": profile, "year": int(year), "tables": tables}).encode()


class Organisation:
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.data_store = make_bucket("organisation-data-store")
        self.shared = {name: make_bucket(f"{name}-shared", account) for name, account in ACCOUNTS.items()}
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        for name in self.shared:
            self.open(name)
        self.definitions = organisation.definitions()
        self.cursor: str | None = None

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

    def share(
        self,
        name: str,
        *rows: str,
        table: str = "header",
        submission: str = SUBMISSION,
        group: str = GROUP,
        columns: str = COLUMNS,
    ) -> None:
        """Put a file there and then the manifest that names it, as the authority's pipeline does."""
        content = parquet(columns, *rows)
        tables = self.tables.setdefault((name, group), {})
        tables[table] = entry(group, table, submission, content, len(rows))
        self.put(name, tables[table]["parquet"]["key"], content)
        self.put(name, f"{group}manifest.json", manifest_of(group, tables))

    def put(self, name: str, key: str, content: bytes) -> None:
        client(ACCOUNTS[name]).put_object(Bucket=self.shared[name], Key=key, Body=content)

    def withdraw(self, name: str) -> None:
        """Switch the manifest first, then remove the file."""
        key = self.tables[name, GROUP].pop("header")["parquet"]["key"]
        self.put(name, f"{GROUP}manifest.json", manifest_of(GROUP, self.tables[name, GROUP]))
        client(ACCOUNTS[name]).delete_object(Bucket=self.shared[name], Key=key)

    def storage(self) -> Storage:
        members = {name: f"s3://{bucket}" for name, bucket in self.shared.items()}
        return Storage(data_store_location=f"s3://{self.data_store}", member_shared_locations=json.dumps(members))

    @contextmanager
    def after_the_first_part(self, happens: Callable[[], None]) -> Iterator[None]:
        """Something that happens while the pipeline reads: right after the first file that a manifest names."""
        events = self.storage().client_of_members.meta.events
        pending = [happens]

        def first_part(params: dict[str, Any], **_: object) -> None:
            if pending and params["url_path"].endswith(".parquet"):
                events.register("after-call.s3.GetObject", after)

        def after(**_: object) -> None:
            if pending:
                pending.pop()()

        events.register("before-call.s3.GetObject", first_part)
        try:
            yield
            assert not pending, "the pipeline read nothing"
        finally:
            events.unregister("before-call.s3.GetObject", first_part)
            events.unregister("after-call.s3.GetObject", after)

    @contextmanager
    def counted_requests(self) -> Iterator[Counter[str]]:
        """How many requests of each kind the pipeline makes to S3."""
        storage = self.storage()
        emitters = [each.meta.events for each in (storage.client, storage.client_of_members)]
        counted: Counter[str] = Counter()

        def count(model: Any, **_: object) -> None:  # noqa: ANN401
            counted[model.name] += 1

        for events in emitters:
            events.register("before-call.s3", count)
        try:
            yield counted
        finally:
            for events in emitters:
                events.unregister("before-call.s3", count)

    @contextmanager
    def silent(self, name: str) -> Iterator[list[int]]:
        """The authority's bucket is at a port that accepts whoever comes and never answers. Hands out, for each time
        that it was asked, for how many seconds at most an answer is waited for."""
        meta = self.storage().client_of_members.meta
        events, waits = meta.events, list[int]()
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            place = f"http://127.0.0.1:{server.getsockname()[1]}/{self.shared[name]}"

            def redirect(request: Any, **_: object) -> None:  # noqa: ANN401
                _, found, rest = request.url.partition(f"/{self.shared[name]}")
                if found:
                    request.url = f"{place}{rest}"
                    waits.append(meta.config.connect_timeout + meta.config.read_timeout)

            events.register("before-send.s3", redirect)
            try:
                yield waits
            finally:
                events.unregister("before-send.s3", redirect)

    def tick(self) -> list[dg.RunRequest]:
        outcome = changed_shares(
            dg.build_sensor_context(instance=self.instance, definitions=self.definitions, cursor=self.cursor)
        )
        assert isinstance(outcome, dg.SensorResult)
        self.cursor = outcome.cursor
        return list(outcome.run_requests or [])

    def run(self, request: dg.RunRequest) -> None:
        job = self.definitions.resolve_job_def("gather_shares")
        assert job.execute_in_process(run_config=request.run_config, instance=self.instance).success

    def attempt(self, request: dg.RunRequest, retry: int = 0) -> str:
        """A run that fails; its id. `retry` counts the runs for the same before it."""
        job = self.definitions.resolve_job_def("gather_shares")
        tags = {"dagster/retry_number": str(retry)}
        outcome = job.execute_in_process(
            run_config=request.run_config, instance=self.instance, tags=tags, raise_on_error=False
        )
        assert not outcome.success
        return outcome.run_id

    def said_of_giving_up(self, run_id: str) -> list[str]:
        messages = [str(record.message) for record in self.instance.all_logs(run_id)]
        return [message for message in messages if message.startswith("Given up")]

    def tags(self, run_id: str) -> dict[str, str]:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return dict(run.tags)

    def settle(self) -> list[str | None]:
        """Run until the sensor asks for nothing; give the run keys."""
        keys: list[str | None] = []
        while requests := self.tick():
            assert len(keys) < 10, "the sensor never settles"
            for request in requests:
                keys.append(request.run_key)
                self.run(request)
        return keys

    def rows(self, table: str = "header") -> list[dict[str, str]]:
        return list(csv.DictReader(self.read(f"regional/{GROUP}{table}.csv").decode().splitlines()))

    def all_years(self, table: str = "header") -> pl.DataFrame:
        """As one table, the way that a person reads the folder."""
        prefix = f"regional/ssda903/regional/all_years/{table}/"
        listed = client().list_objects_v2(Bucket=self.data_store, Prefix=prefix).get("Contents", [])
        parts = [pl.read_parquet(self.read(found["Key"])) for found in listed]
        return pl.concat(parts) if parts else pl.DataFrame()

    def traced(self, table: str = "header") -> list[tuple[object, ...]]:
        """Of each row of all years where it comes from."""
        return [*self.all_years(table).select("local_authority", "year", "submission").iter_rows()]

    def account(self, table: str = "header") -> dict[str, Any]:
        """What the organisation says of the rows of a table."""
        found: dict[str, Any] = json.loads(self.read(f"regional/{GROUP}{table}.json"))
        return found

    def put_off(self, by: timedelta) -> None:
        """As if the group had been written that much earlier."""
        key = f"regional/{GROUP}manifest.json"
        state = json.loads(self.read(key))
        state["retry_at"] = (datetime.fromisoformat(state["retry_at"]) - by).strftime("%Y-%m-%dT%H:%M:%SZ")
        client().put_object(Bucket=self.data_store, Key=key, Body=json.dumps(state).encode())

    def read(self, key: str) -> bytes:
        content: bytes = client().get_object(Bucket=self.data_store, Key=key)["Body"].read()
        return content

    def parts(self) -> set[str]:
        """The copies of what is shared, by what comes after the year."""
        listed = client().list_objects_v2(Bucket=self.data_store, Prefix=f"regional/{GROUP}").get("Contents", [])
        keys = (str(found["Key"]).removeprefix(f"regional/{GROUP}") for found in listed)
        return {key for key in keys if "/" in key}


@pytest.fixture
def hub(aws: str, memory: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    organisation_under_test = Organisation(memory)
    storage = organisation_under_test.storage()
    monkeypatch.setenv("DATA_STORE_LOCATION", storage.data_store_location)
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", storage.member_shared_locations)
    monkeypatch.setenv("PIPELINE", "organisation")
    return organisation_under_test


def test_the_tables_of_all_local_authorities_are_concatenated_and_each_row_can_be_traced(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,", "F,2009-11,MWBC,1,2025-08")
    hub.share("betaford", "U,2018-06,AIND,0,", submission="20260402t101500-bb")

    hub.settle()

    assert [(row["local_authority"], row["submission"], row["SEX"], row["DOB"]) for row in hub.rows()] == [
        ("alphaton", SUBMISSION, "M", "2012-03"),
        ("alphaton", SUBMISSION, "F", "2009-11"),
        ("betaford", "20260402t101500-bb", "U", "2018-06"),
    ]
    assert hub.account()["rows"] == {"alphaton": 2, "betaford": 1}
    assert hub.account()["submissions"] == {"alphaton": SUBMISSION, "betaford": "20260402t101500-bb"}
    assert hub.account()["skipped"] == []
    assert pl.read_parquet(hub.read(f"regional/{GROUP}header.parquet")).rows(named=True)[0]["DOB"] == "2012-03"
    assert hub.parts() == {
        f"header/local_authority=alphaton/{SUBMISSION}.parquet",
        "header/local_authority=betaford/20260402t101500-bb.parquet",
    }


def test_nothing_is_run_when_nothing_has_changed(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    assert len(hub.settle()) == 1
    assert hub.tick() == []


def test_a_corrected_submission_takes_the_place_of_the_one_before(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "U,2018-06,AIND,0,")
    hub.settle()
    hub.share("alphaton", "F,2012-03,WBRI,,", submission="20260501t101500-cc")
    hub.settle()

    assert [(row["submission"], row["SEX"]) for row in hub.rows()] == [("20260501t101500-cc", "F"), (SUBMISSION, "U")]
    assert f"header/local_authority=alphaton/{SUBMISSION}.parquet" not in hub.parts()


def test_a_bucket_that_refuses_is_left_out_and_noted_and_the_others_go_on(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.close("alphaton")

    hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}
    (skipped,) = hub.account()["skipped"]
    assert skipped["local_authority"] == "alphaton"
    assert "access is refused" in skipped["reason"]


def test_closing_a_bucket_takes_its_rows_out_and_opening_it_brings_them_back(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    keys = hub.settle()
    hub.close("alphaton")
    keys += hub.settle()
    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}
    assert not [part for part in hub.parts() if "alphaton" in part]
    hub.open("alphaton")
    keys += hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"alphaton", "betaford"}
    assert len(set(keys)) == len(keys) == 3


def test_what_was_published_stays_where_that_was_agreed(hub: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBER_AGREEMENTS", json.dumps({"alphaton": "keep_published"}))
    hub.definitions = organisation.definitions()
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.settle()
    hub.close("alphaton")
    hub.close("betaford")
    hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"alphaton"}
    reasons = {entry["local_authority"]: entry["reason"] for entry in hub.account()["skipped"]}
    assert "kept by agreement" in reasons["alphaton"]
    assert "kept" not in reasons["betaford"]

    monkeypatch.delenv("MEMBER_AGREEMENTS")
    hub.definitions = organisation.definitions()
    hub.settle()

    assert not hub.rows()
    assert not hub.tick()


def test_an_authority_that_has_left_the_inventory_leaves_the_tables(
    hub: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.settle()
    del hub.shared["alphaton"]
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", hub.storage().member_shared_locations)

    assert len(hub.settle()) == 1
    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}


def test_a_bucket_that_closes_while_it_is_read_is_left_out_as_a_whole_and_the_others_go_on(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("alphaton", "2025-04-04", table="episodes", columns="DECOM")
    hub.share("betaford", "U,2018-06,AIND,0,")
    (request,) = hub.tick()
    with hub.after_the_first_part(lambda: hub.close("alphaton")):
        hub.run(request)

    assert {row["local_authority"] for row in hub.rows()} == {"betaford"}
    (skipped,) = hub.account()["skipped"]
    assert skipped["local_authority"] == "alphaton"
    assert "access is refused" in skipped["reason"]

    hub.settle()
    hub.open("alphaton")
    hub.settle()
    assert hub.account()["rows"] == {"alphaton": 1, "betaford": 1}
    assert hub.account("episodes")["rows"] == {"alphaton": 1}
    assert hub.account()["skipped"] == []


def test_a_bucket_that_is_open_again_before_anybody_looked_is_caught_up_with(hub: Organisation) -> None:
    """The list of what is shared looks as it did, so that only the state knows that something is missing."""
    hub.share("betaford", "U,2018-06,AIND,0,")
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("alphaton", "2025-04-04", table="episodes", columns="DECOM")
    (request,) = hub.tick()
    with hub.after_the_first_part(lambda: hub.close("alphaton")):
        hub.run(request)
    hub.open("alphaton")
    assert hub.tick() == [], "what was refused a moment ago is not asked for at once"

    hub.put_off(timedelta(minutes=10))
    assert len(hub.settle()) == 1
    assert hub.account()["rows"] == {"alphaton": 1, "betaford": 1}


def test_a_bucket_that_can_be_listed_and_not_read_does_not_keep_the_pipeline_busy(hub: Organisation) -> None:
    hub.open("alphaton", actions=("s3:ListBucket",))
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "U,2018-06,AIND,0,")

    assert len(hub.settle()) == 1
    assert hub.account()["rows"] == {"betaford": 1}
    assert [entry["local_authority"] for entry in hub.account()["skipped"]] == ["alphaton"]


def test_a_share_of_one_dataset_is_read_as_if_the_whole_bucket_were_open(hub: Organisation) -> None:
    hub.open("alphaton", "ssda903/")
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")

    assert len(hub.settle()) == 1
    assert hub.account()["rows"] == {"alphaton": 1, "betaford": 1}
    assert hub.account()["skipped"] == []


@pytest.mark.parametrize("folder", ["another_dataset/", "ssda903/regional/2026/", "ssda9/"])
def test_a_share_of_something_else_counts_as_closed_for_the_dataset(hub: Organisation, folder: str) -> None:
    hub.open("alphaton", folder)
    hub.share("alphaton", "M,2012-03,WBRI,,", group=GROUP.replace("ssda903", "another_dataset"))
    hub.share("betaford", "F,2018-06,AIND,,")

    hub.settle()
    assert hub.account()["rows"] == {"betaford": 1}
    assert "alphaton" in [entry["local_authority"] for entry in hub.account()["skipped"]]


def test_a_dataset_without_rules_is_noted_and_settles(hub: Organisation) -> None:
    group = GROUP.replace("ssda903", "another_dataset")
    hub.open("alphaton", "another_dataset/")
    hub.share("alphaton", "M,2012-03,WBRI,,", group=group)
    hub.share("betaford", "F,2018-06,AIND,,", group=group)

    hub.settle()
    state = json.loads(hub.read(f"regional/{group}manifest.json"))
    assert "not declared" in state["members"]["betaford"]["reason"]


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
    assert hub.account()["skipped"][0]["local_authority"] == "newtown"


def test_an_authority_that_does_not_answer_does_not_hold_up_what_the_others_have_changed(
    hub: Organisation,
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.settle()
    hub.share("alphaton", "F,2012-03,WBRI,,", submission="20260501t101500-cc")
    hub.share("betaford", "U,2018-06,AIND,,", submission="20260501t101500-dd")

    with hub.silent("alphaton") as waits:
        (request,) = hub.tick()
        assert 0 < sum(waits) < 60, "Dagster gives a sensor a minute"
        hub.run(request)

    assert [(row["local_authority"], row["SEX"]) for row in hub.rows()] == [("alphaton", "M"), ("betaford", "U")]
    assert len(hub.settle()) == 1, "it answers again"
    assert [(row["local_authority"], row["SEX"]) for row in hub.rows()] == [("alphaton", "F"), ("betaford", "U")]


def until_one_shares(looks: Iterable[Future[members.Listing]], _: float) -> None:
    """In place of the time of a look: long enough for any bucket that answers, and not for one that does not."""
    assert any(look.result().manifests for look in as_completed(looks, timeout=15))


def test_those_who_do_not_answer_are_left_to_the_next_look_and_then_take_their_turn_after_the_others(
    hub: Organisation,
) -> None:
    hub.share("gammashire", "F,2018-06,AIND,,")

    with pytest.MonkeyPatch.context() as patch, hub.silent("alphaton"):
        patch.setattr(members, "PARALLEL", 1)
        patch.setattr(members, "LOOK_SECONDS", 1)
        assert hub.tick() == [], "the one who does not answer had the only thread"
        patch.setattr(members, "wait", until_one_shares)
        (request,) = hub.tick()

    assert request.run_key is not None
    assert request.run_key.startswith(GROUP)
    assert hub.tick(), "it answers again"
    assert hub.cursor == "[]"


def test_of_those_who_did_not_answer_the_one_that_waits_longest_is_asked_first(hub: Organisation) -> None:
    hub.cursor = json.dumps(["gammashire", "betaford"])

    with pytest.MonkeyPatch.context() as patch, hub.silent("alphaton"), hub.silent("gammashire"):
        patch.setattr(members, "PARALLEL", 1)
        patch.setattr(members, "LOOK_SECONDS", 1)
        hub.tick()
        assert json.loads(hub.cursor) == ["gammashire", "betaford", "alphaton"], "two have not had their turn"
        hub.tick()
        assert json.loads(hub.cursor) == ["betaford", "alphaton", "gammashire"]

    hub.tick()
    assert hub.cursor == "[]", "all answer"


def test_an_authority_that_stops_answering_while_it_is_looked_at_stays_as_it_was_and_the_others_go_on(
    hub: Organisation,
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    (request,) = hub.tick()

    with hub.silent("alphaton"):
        hub.run(request)

    assert hub.account()["rows"] == {"betaford": 1}
    (skipped,) = hub.account()["skipped"]
    assert skipped["local_authority"] == "alphaton"
    assert "no answer" in skipped["reason"]
    assert hub.account()["retry_at"]


@pytest.mark.parametrize("location", ["https://buckets.example/alphaton", "s3://", "s3://Not a name", None, 5], ids=str)
def test_a_wrong_location_of_an_authority_is_noted_and_the_others_go_on(
    hub: Organisation, monkeypatch: pytest.MonkeyPatch, location: object
) -> None:
    for name in ("alphaton", "betaford"):
        hub.share(name, "M,2012-03,WBRI,,")
    (request,) = hub.tick()
    right = hub.storage().member_shared_locations
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", json.dumps({**json.loads(right), "alphaton": location}))

    (of_the_others,) = hub.tick()
    hub.run(of_the_others)
    assert hub.account()["rows"] == {"betaford": 1}
    hub.run(request)

    (skipped,) = hub.account()["skipped"]
    assert skipped["local_authority"] == "alphaton"
    assert skipped["reason"].endswith("what was there stays")
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", right)
    hub.settle()
    assert hub.account()["rows"] == {"alphaton": 1, "betaford": 1}


def test_what_is_withdrawn_does_not_stay(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.settle()
    hub.withdraw("alphaton")
    hub.settle()

    assert hub.rows() == []
    assert hub.account()["rows"] == {}
    assert hub.parts() == set()


def test_a_file_with_a_column_that_may_not_be_shared_is_left_out_and_its_values_are_not_repeated(
    hub: Organisation,
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "TEST0001,M", columns="UPN,SEX")

    hub.settle()

    assert {row["local_authority"] for row in hub.rows()} == {"alphaton"}
    (skipped,) = hub.account()["skipped"]
    assert skipped["local_authority"] == "betaford"
    assert "TEST0001" not in json.dumps(hub.account())
    assert not [part for part in hub.parts() if "betaford" in part]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "cannot be read"),
        (manifest_of(GROUP.replace("2026", "2025"), {}), "something else"),
        (
            manifest_of(GROUP, {"header": {**entry(GROUP, "header", SUBMISSION, b"", 1), "parquet": {"key": "../x"}}}),
            "read",
        ),
        (manifest_of(GROUP, {"header": entry(GROUP, "header", SUBMISSION, b"other", 1)}), "not the one"),
    ],
    ids=["not JSON", "of another year", "a file elsewhere", "another file"],
)
def test_a_manifest_that_cannot_be_trusted_leaves_its_authority_out(
    hub: Organisation, content: bytes, words: str
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "M,2012-03,WBRI,,")
    hub.put("betaford", f"{GROUP}manifest.json", content)

    assert len(hub.settle()) == 1

    assert hub.account()["rows"] == {"alphaton": 1}
    assert words in hub.account()["skipped"][0]["reason"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (broken_in_a_page(), "not readable as parquet"),
        (written(pl.DataFrame({"SEX": [["M"]]})), "types that are never shared"),
        (written(pl.DataFrame({"SEX": ["M"] * 999})), "999 rows, and its manifest says 1000"),
    ],
    ids=["a byte of a page", "a list", "a row too few"],
)
def test_a_file_of_the_right_digest_that_cannot_be_read_leaves_its_authority_out_and_the_others_go_on(
    hub: Organisation, content: bytes, words: str
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    named = entry(GROUP, "header", SUBMISSION, content, 1000)
    hub.put("betaford", named["parquet"]["key"], content)
    hub.put("betaford", f"{GROUP}manifest.json", manifest_of(GROUP, {"header": named}))

    assert len(hub.settle()) == 1

    assert [row["local_authority"] for row in hub.rows()] == ["alphaton"]
    (skipped,) = hub.account()["skipped"]
    assert skipped["local_authority"] == "betaford"
    assert words in skipped["reason"]
    assert not [part for part in hub.parts() if "betaford" in part]


def test_objects_that_no_manifest_names_are_ignored(hub: Organisation) -> None:
    hub.put("alphaton", "notes/README.txt", b"hello")
    hub.put("alphaton", f"{GROUP}header/{SUBMISSION}.parquet", parquet(COLUMNS, "M,2012-03,WBRI,,"))
    assert hub.tick() == []


def test_a_combined_table_that_somebody_changed_is_written_from_the_parts_again(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("betaford", "F,2018-06,AIND,,")
    hub.settle()
    client().put_object(Bucket=hub.data_store, Key=f"regional/{GROUP}header.parquet", Body=b"spoilt")
    hub.share("betaford", "U,2018-06,AIND,,", submission="20260501t101500-cc")
    hub.settle()

    assert [(row["local_authority"], row["SEX"]) for row in hub.rows()] == [("alphaton", "M"), ("betaford", "U")]


class _Clock(datetime):
    """Says what time it is."""

    moment = datetime(2026, 4, 2, 9, 59, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _Clock:
        return cls.fromtimestamp(cls.moment.timestamp(), tz)


def test_a_run_that_any_other_would_repeat_is_given_up_aloud_and_asked_for_again_the_next_day(
    hub: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.settle()
    for key in ("header.parquet", f"header/local_authority=alphaton/{SUBMISSION}.parquet"):
        client().put_object(Bucket=hub.data_store, Key=f"regional/{GROUP}{key}", Body=b"spoilt by somebody")
    hub.share("betaford", "F,2018-06,AIND,,")
    monkeypatch.setattr(stage1_member_shares, "datetime", _Clock)
    (request,) = hub.tick()

    failed = hub.attempt(request)

    assert hub.said_of_giving_up(failed) == ["Given up after 1 attempt: the job gather_shares was not done."]
    assert hub.tags(failed)["dagster/max_retries"] == "0"
    for later, is_new in ((timedelta(hours=1), False), (timedelta(days=1), True)):
        monkeypatch.setattr(_Clock, "moment", datetime(2026, 4, 2, 9, 59, tzinfo=UTC) + later)
        (again,) = hub.tick()
        assert (again.run_key != request.run_key) == is_new


def test_a_run_that_fails_for_a_reason_that_may_pass_is_given_up_aloud_with_its_last_attempt(
    hub: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    (request,) = hub.tick()
    monkeypatch.setenv("DATA_STORE_LOCATION", "s3://no-such-bucket-of-ours")

    said = [hub.said_of_giving_up(hub.attempt(request, retry)) for retry in range(3)]

    assert said == [[], [], ["Given up after 3 attempts: the job gather_shares was not done."]]


def test_the_summary_shows_no_small_number_and_none_that_could_be_worked_out(hub: Organisation) -> None:
    hub.share("alphaton", *["M,2012-03,WBRI,,"] * 6, *["F,2012-03,WBRI,,"] * 9, "U,2012-03,WBRI,,")
    hub.share("betaford", *["M,2012-03,WBRI,,"] * 5)
    hub.settle()

    summary = list(csv.DictReader(hub.read(f"regional/{GROUP}summary.csv").decode().splitlines()))
    of_sex = {(row["local_authority"], row["code"]): row["count"] for row in summary if row["column"] == "SEX"}
    assert of_sex == {
        ("alphaton", "U"): "<5",
        ("alphaton", "M"): "*",
        ("alphaton", "F"): "9",
        ("betaford", "M"): "5",
    }
    assert not [row for row in summary if row["column"] == "DOB"]


LAST_YEAR = "ssda903/regional/2025/"


def test_all_years_are_one_table_in_which_each_row_can_be_traced(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.share("alphaton", "M,2012-03,WBRI,,", "F,2011-03,WBRI,,", group=LAST_YEAR, submission="20250401t101500-aa")
    hub.share("betaford", "U,2018-06,AIND,0,", group=LAST_YEAR, submission="20250402t101500-bb")

    hub.settle()

    assert sorted(hub.traced()) == [
        ("alphaton", 2025, "20250401t101500-aa"),
        ("alphaton", 2025, "20250401t101500-aa"),
        ("alphaton", 2026, SUBMISSION),
        ("betaford", 2025, "20250402t101500-bb"),
    ]
    assert set(COLUMNS.split(",")) <= set(hub.all_years().columns)


def test_a_year_has_the_columns_of_all_years_and_what_it_does_not_know_is_null(hub: Organisation) -> None:
    """Header files had a sex and have a gender: a release of the declarations may do that at any time."""
    hub.share("alphaton", "2012-03,WBRI", columns="DOB,ETHNIC")
    hub.share("betaford", "M,2012-03,WBRI,,", group=LAST_YEAR)
    hub.settle()

    rows = {row["year"]: row for row in hub.all_years().rows(named=True)}
    assert (rows[2026]["SEX"], rows[2025]["SEX"]) == (None, "M")


def test_an_authority_that_shares_no_longer_leaves_the_table_of_all_years(hub: Organisation) -> None:
    for group in (GROUP, LAST_YEAR):
        hub.share("alphaton", "M,2012-03,WBRI,,", group=group)
    hub.share("betaford", "F,2018-06,AIND,,", group=LAST_YEAR)
    hub.settle()
    hub.close("alphaton")
    hub.settle()

    assert hub.traced() == [("betaford", 2025, SUBMISSION)]


def test_a_correction_of_one_year_leaves_the_files_of_the_others_alone(hub: Organisation) -> None:
    for group in (GROUP, LAST_YEAR):
        hub.share("alphaton", "M,2012-03,WBRI,,", group=group)
    hub.settle()
    hub.share("alphaton", "F,2012-03,WBRI,,", submission="20260501t101500-cc")
    written: list[str] = []
    events = hub.storage().client.meta.events

    def note(params: dict[str, Any], **_: object) -> None:
        written.append(params["url_path"])

    events.register("before-call.s3.PutObject", note)
    try:
        hub.settle()
    finally:
        events.unregister("before-call.s3.PutObject", note)

    assert [path.partition("/all_years/")[2] for path in written if "/all_years/" in path] == ["header/2026.parquet"]
    assert not [path for path in written if "/2025/" in path]
    assert sorted(hub.traced()) == [("alphaton", 2025, SUBMISSION), ("alphaton", 2026, "20260501t101500-cc")]


def test_a_group_of_before_there_was_a_table_of_all_years_is_caught_up_with(hub: Organisation) -> None:
    hub.share("alphaton", "M,2012-03,WBRI,,")
    hub.settle()
    state = json.loads(hub.read(f"regional/{GROUP}manifest.json"))
    del state["shape"]
    client().put_object(Bucket=hub.data_store, Key=f"regional/{GROUP}manifest.json", Body=json.dumps(state).encode())
    client().delete_object(Bucket=hub.data_store, Key="regional/ssda903/regional/all_years/header/2026.parquet")

    assert len(hub.settle()) == 1

    assert hub.traced() == [("alphaton", 2026, SUBMISSION)]


def test_with_150_authorities_a_run_touches_only_what_has_changed(
    hub: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is a bucket of its own. The first run takes them all over, the second what one of them has corrected."""
    account, content = ACCOUNTS["alphaton"], parquet(COLUMNS, "M,2012-03,WBRI,,")
    member = client(account)
    for number in range(150):
        name, bucket = f"authority-{number:03}", make_bucket(f"authority-{number:03}", account)
        who = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::012345670123:root"}, "Action": "s3:*"}
        policy = {
            "Version": "2012-10-17",
            "Statement": [{**who, "Resource": [f"arn:aws:s3:::{bucket}{suffix}" for suffix in ("", "/*")]}],
        }
        member.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        tables = {"header": entry(GROUP, "header", SUBMISSION, content, 1)}
        member.put_object(Bucket=bucket, Key=tables["header"]["parquet"]["key"], Body=content)
        member.put_object(Bucket=bucket, Key=f"{GROUP}manifest.json", Body=manifest_of(GROUP, tables))
        hub.shared[name] = bucket
    monkeypatch.setenv("MEMBER_SHARED_LOCATIONS", hub.storage().member_shared_locations)
    monkeypatch.setitem(ACCOUNTS, "authority-077", account)
    assert len(hub.settle()) == 1
    assert len(hub.rows()) == 150

    hub.share("authority-077", "F,2012-03,WBRI,,", submission="20260501t101500-cc")
    with hub.counted_requests() as in_the_tick:
        (request,) = hub.tick()
    with hub.counted_requests() as in_the_run:
        hub.run(request)

    assert len(hub.rows()) == 150
    assert [row["SEX"] for row in hub.rows() if row["local_authority"] == "authority-077"] == ["F"]
    assert in_the_tick == {"ListObjectsV2": len(hub.shared) + 1, "GetObject": 1}, "one page of each authority's names"
    # Its manifest and its file; state, combined table and summary as they were; all of these and the year written.
    assert sum(in_the_run.values()) <= 21
    assert hub.tick() == []
