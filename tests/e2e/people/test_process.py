# SPDX-License-Identifier: GPL-3.0-or-later
"""A run now: what was uploaded goes through the pipeline once more, and the operator is told what became of it."""

from __future__ import annotations

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import upload, wait_for_result
from sandbox.settings import Settings
from tests.e2e.conftest import Playbook, failures, sample
from tests.e2e.workings import Workings

ACCOUNT = "croydon"


def test_what_was_uploaded_is_processed_once_more_and_what_is_not_accepted_is_named(
    settings: Settings, organisation: Organisation, playbook: Playbook
) -> None:
    frontend = organisation.frontend(ACCOUNT)
    good, bad = upload(frontend, sample("header.csv")), upload(frontend, sample("header_ragged.csv"))
    assert (wait_for_result(good), wait_for_result(bad)) == ("accepted", "rejected")
    before = organisation.report(ACCOUNT, good.results_prefix)
    both = f"submissions={good.identifier},{bad.identifier}"
    asked = ("-l", ACCOUNT, "-e", "dataset=ssda903", "-e", "year=2026", "-e", both)

    rehearsed = playbook("process", *asked, "--check")
    assert rehearsed.returncode == 0, failures(rehearsed)
    assert rehearsed.stdout.count("to be processed") >= 2
    assert organisation.report(ACCOUNT, good.results_prefix) == before

    processed = playbook("process", *asked)
    assert processed.returncode == 2, failures(processed)
    assert f"Not accepted in {ACCOUNT}: {bad.identifier}. " in processed.stdout
    after = organisation.report(ACCOUNT, good.results_prefix)
    assert after["state"] == "accepted"
    assert after["finished_at"] > before["finished_at"]
    assert len(Workings(settings, ACCOUNT).runs(good)) == 2
