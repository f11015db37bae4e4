# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaving: the stacks go, the data stays, and a return finds it."""

from __future__ import annotations

from sandbox.journey.organisation import READER, Organisation, Principal, shared_file
from sandbox.journey.person import Submission, upload, wait_for_result
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, sample
from tests.e2e.operators.test_deployment import recap
from tests.e2e.workings import Workings

ACCOUNT = "sutton"


def stack_names(settings: Settings) -> set[str]:
    client = client_of_root(settings, ACCOUNT, "cloudformation")
    return {
        stack["StackName"]
        for page in client.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
        if stack["StackStatus"] != "DELETE_COMPLETE"
    }


def snapshots(settings: Settings) -> list[str]:
    client = client_of_root(settings, ACCOUNT, "rds")
    return [snapshot["DBSnapshotIdentifier"] for snapshot in client.describe_db_snapshots()["DBSnapshots"]]


def uploaded(organisation: Organisation) -> Submission:
    sent = upload(organisation.frontend(ACCOUNT), sample("header.csv"))
    assert wait_for_result(sent) == "accepted"
    return sent


def database_rows(workings: Workings) -> set[tuple[str, ...]]:
    """Each run with its state, and how many events it has left."""
    return set(
        workings.query(
            "SELECT run_id, status, count(*)::text FROM runs JOIN event_logs USING (run_id) "
            "WHERE status = 'SUCCESS' GROUP BY run_id, status"
        )
    )


def test_a_torn_down_account_keeps_its_data_shares_nothing_and_comes_back_with_it(
    settings: Settings, organisation: Organisation, playbook: Playbook
) -> None:
    before = uploaded(organisation)
    workings = Workings(settings, ACCOUNT)
    rows = database_rows(workings)
    shared = shared_file(organisation.report(ACCOUNT, before.results_prefix))
    assert organisation.read(READER, shared.bucket, shared.key)

    gone = playbook("teardown", "--limit", ACCOUNT)
    assert gone.returncode == 0, failures(gone)
    # People and their passwords are data too, and so are the key of pseudonyms and who is told of alarms.
    assert stack_names(settings) == {"localgov-keys", "localgov-signin", "localgov-topics"}
    assert len(snapshots(settings)) == 1
    assert organisation.refusal(READER, "get_object", Bucket=shared.bucket, Key=shared.key)

    again = playbook("teardown", "--limit", ACCOUNT)
    assert "changed=0" in again.stdout

    back = playbook("site", "--limit", ACCOUNT)
    assert back.returncode == 0, failures(back)
    assert recap(back).keys() == {ACCOUNT}, "a limit touches one account only"
    assert organisation.report(ACCOUNT, before.results_prefix)["state"] == "accepted"
    assert organisation.read(READER, shared.bucket, shared.key)
    assert database_rows(workings) >= rows, "Dagster remembers every run of the time before"
    uploaded(organisation)
    assert workings.runs(before) == ["SUCCESS"], "what was processed is not processed again"
    pipeline = Principal(ACCOUNT, READER.role)
    results = organisation.keys(pipeline, organisation.bucket(ACCOUNT, "data-store"), "results/")
    assert [key for key in results if before.identifier in key], "what was there before is still there"
