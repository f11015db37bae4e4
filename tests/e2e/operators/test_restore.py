# SPDX-License-Identifier: GPL-3.0-or-later
"""An accident, and the way back: objects and rows are what they were, and what people took back stays so."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import Submission, upload, wait_for, wait_for_result
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, record, sample
from tests.e2e.layouts import with_another_file, with_image
from tests.e2e.workings import Workings, images

ACCOUNT = "croydon"
KINDS = ("data-store", "workspace", "shared")
RUNS = "SELECT run_id FROM runs WHERE status = 'SUCCESS'"
# All that Dagster knows of such runs, rows as a whole.
ROWS = " UNION ALL ".join(
    f"SELECT '{table}', row_to_json({table})::text FROM {table} WHERE run_id = ANY(%s)"  # noqa: S608
    for table in ("runs", "run_tags", "event_logs")
)


@pytest.fixture
def workings(settings: Settings, organisation: Organisation) -> Workings:
    return Workings(settings, ACCOUNT)


def uploaded(organisation: Organisation, year: int = 2026) -> Submission:
    sent = upload(organisation.frontend(ACCOUNT), sample("header.csv"), year=year)
    assert wait_for_result(sent) == "accepted"
    return sent


def moment() -> str:
    """The second that comes next, once it is over: all that was is earlier, all that follows is later."""
    coming = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    wait_for(lambda: datetime.now(UTC).replace(microsecond=0) > coming or None, f"the end of {coming}", 3)
    return f"{coming:%Y-%m-%dT%H:%M:%SZ}"


def is_withdrawn(organisation: Organisation, sent: Submission) -> bool:
    return bool(organisation.report(ACCOUNT, sent.results_prefix)["state"] == "withdrawn")


def withdraw(workings: Workings, organisation: Organisation, sent: Submission) -> None:
    """As a manager's browser asks for it."""
    asked = b'{"who": "manager", "when": "2026-01-01T00:00:00Z"}'
    workings.put("data-store", f"withdrawals/{sent.path}.json", asked)
    wait_for(lambda: is_withdrawn(organisation, sent) or None, "the withdrawal", 120)


def lose(settings: Settings, bucket: str, prefix: str) -> int:
    """Somebody deletes all below a prefix. How many objects that were."""
    root = client_of_root(settings, ACCOUNT, "s3")
    pages = root.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    for key in keys:
        root.delete_object(Bucket=bucket, Key=key)
    return len(keys)


def test_what_was_deleted_and_what_was_overwritten_comes_back_while_everything_runs(
    settings: Settings, organisation: Organisation, playbook: Playbook, workings: Workings
) -> None:
    kept, taken_back = uploaded(organisation), uploaded(organisation)
    for sent in (kept, taken_back):
        workings.times(sent)  # once their runs have ended nothing writes of them any more
    to, before = moment(), {kind: workings.objects(kind) for kind in KINDS}
    withdraw(workings, organisation, taken_back)
    bucket, report = organisation.bucket(ACCOUNT, "data-store"), f"{kept.results_prefix}report.json"
    overwritten = f"{kept.results_prefix}errors.csv"
    assert lose(settings, bucket, report) == 1
    workings.put("data-store", overwritten, b"broken")

    foreseen = playbook("restore", "--limit", ACCOUNT, "--check", "-e", f"to={to}", "-e", "what=buckets")
    assert foreseen.returncode == 0, failures(foreseen)
    assert report not in workings.objects("data-store")
    run = playbook("restore", "--limit", ACCOUNT, "-e", f"to={to}", "-e", "what=buckets")
    assert run.returncode == 0, failures(run)

    for kind in KINDS:
        after = workings.objects(kind)
        for key, etag in before[kind].items():
            if kept.identifier in key:
                assert after[key] == etag, key
    # It was asked for after that moment, and holds all the same.
    assert is_withdrawn(organisation, taken_back)
    for kind in ("workspace", "shared"):
        assert not [key for key in workings.objects(kind) if taken_back.identifier in key]
    assert taken_back.upload_key not in workings.objects("data-store")


def test_a_moment_that_cannot_be_reached_is_refused_before_anything_is_taken_away(
    playbook: Playbook, workings: Workings
) -> None:
    before = workings.database()
    for to, said in (("2001-01-01T00:00:00Z", "longer ago than 7 days"), ("last night", "Say to which moment")):
        run = playbook("restore", "--limit", ACCOUNT, "-e", f"to={to}")
        assert run.returncode != 0
        assert said in run.stdout
    assert workings.database() == before


def rows_of(workings: Workings, runs: list[str]) -> dict[str, list[str]]:
    """By table, sorted."""
    found: dict[str, list[str]] = {}
    for table, row in workings.query(ROWS, runs, runs, runs):
        found.setdefault(table, []).append(row)
    return {table: sorted(rows) for table, rows in found.items()}


@pytest.mark.slow
def test_rows_and_objects_are_equal_after_a_drill_and_the_same_images_run(
    settings: Settings, organisation: Organisation, playbook: Playbook, workings: Workings, tmp_path: Path
) -> None:
    # Sources that have changed since, whose image nobody has pushed.
    with_image("code-server", with_another_file("files/dagster/code_server", tmp_path), tmp_path / "layouts")
    given = ("--limit", ACCOUNT, "-e", f"platform_image_layouts={tmp_path / 'layouts'}")
    ran = images(settings, ACCOUNT)
    kept = uploaded(organisation)
    workings.times(kept)
    to, objects = moment(), {kind: workings.objects(kind) for kind in KINDS}
    rows = rows_of(workings, runs := [run for (run,) in workings.query(RUNS)])
    assert rows["runs"]
    assert rows["event_logs"]
    # Of another year: it is worked on again once all is back, and would take the place of what was there.
    later = uploaded(organisation, year=2025)
    workings.times(later)
    lost = lose(settings, organisation.bucket(ACCOUNT, "data-store"), "results/")
    assert lost
    workings.damage("DELETE FROM event_logs")

    began = time.monotonic()
    run = playbook("restore", *given, "-e", f"to={to}")
    assert run.returncode == 0, failures(run)
    seconds = round(time.monotonic() - began, 1)

    assert images(settings, ACCOUNT) == ran
    assert rows_of(workings, runs) == rows
    now = {kind: workings.objects(kind) for kind in KINDS}
    taken_back = [
        key[len("withdrawals/") : -len(".json")] for key in now["data-store"] if key.startswith("withdrawals/")
    ]
    different = {
        key
        for kind in KINDS
        for key, etag in objects[kind].items()
        # An index names what came later too, and of what people took back nothing is brought back.
        if now[kind].get(key) != etag
        and not key.endswith("/index.json")
        and not any(path in key for path in taken_back)
    }
    assert not different
    assert wait_for_result(later) == "accepted", "what is newer was kept, and its lost results are made again"
    uploaded(organisation)
    record(
        "restore",
        [
            {"name": "restore drill, database and buckets", "value": seconds, "unit": "s"},
            {"name": "restore drill, objects lost and equal again", "value": lost, "unit": "objects"},
            *(
                {"name": f"restore drill, {table} equal again", "value": len(found), "unit": "rows"}
                for table, found in rows.items()
            ),
        ],
    )
