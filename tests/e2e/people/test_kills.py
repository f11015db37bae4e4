# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed while a file is under way: it comes back, and the file is processed exactly once."""

from __future__ import annotations

import dataclasses
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
import requests

from sandbox.journey.organisation import PREFIX, Organisation, shared_file
from sandbox.journey.person import Submission, upload, wait_for, wait_for_result
from sandbox.processes import is_alive
from sandbox.sessions import client_of_root
from sandbox.settings import Settings
from tests.e2e.conftest import Figure, Playbook, failures, record, sample
from tests.e2e.workings import Workings

ACCOUNT = "camden"
# A run that died is found within 20 seconds and retried within 15 more; then it starts like any other.
PATIENCE = 300
# For a burst: a run that was never launched is found after five minutes, and others wait before it.
LONG_PATIENCE = 3600
TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"
SERVICES = ("frontend", "code-server", "daemon")
# What the agent that ECS puts beside a service uses to forward a port; the sandbox has no such agent.
FORWARDING = {f"ssmmessages:{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")}


@pytest.fixture
def workings(settings: Settings, organisation: Organisation) -> Workings:
    return Workings(settings, ACCOUNT)


def test_a_file_whose_run_and_whose_daemon_are_killed_is_processed_once(
    organisation: Organisation, workings: Workings
) -> None:
    sent = under_way(organisation, workings)
    kill(workings, "run")
    kill(workings, "daemon")
    comes_back(workings, "daemon")
    assert_processed_once(organisation, workings, sent)
    assert sorted(workings.runs(sent)) == ["FAILURE", "SUCCESS"]


def test_a_file_that_comes_while_the_database_is_stopped_is_not_lost(
    settings: Settings, organisation: Organisation, workings: Workings
) -> None:
    with stopped_database(settings, seconds=5):
        sent = upload(organisation.frontend(ACCOUNT), sample("header.csv"))
    assert_processed_once(organisation, workings, sent)


@pytest.mark.slow
def test_the_webserver_stops_a_run_with_every_right_that_its_role_has(
    settings: Settings, organisation: Organisation, workings: Workings
) -> None:
    with switched_on(settings, workings, "dagit"):
        sent = under_way(organisation, workings)
        ((run_id,),) = workings.query("SELECT run_id FROM runs WHERE status = 'STARTED'")
        address = wait_for(lambda: webserver(settings), "the web interface to answer", PATIENCE)
        answer = requests.post(
            f"{address}/graphql",
            json={"query": TERMINATE, "variables": {"run": run_id}},
            headers={"Origin": address},
            timeout=60,
        )
        assert answer.json()["data"]["terminateRun"]["__typename"] == "TerminateRunSuccess", answer.text
        wait_for(lambda: "CANCELED" in workings.runs(sent), "the end of the run", PATIENCE)
    assert workings.used("dagit") | FORWARDING == workings.allowed("dagit")


@pytest.mark.slow
@pytest.mark.parametrize("service", [*SERVICES, "run", "dagit"])
def test_each_process_may_be_killed_while_a_file_is_under_way(
    settings: Settings, organisation: Organisation, workings: Workings, service: str
) -> None:
    with switched_on(settings, workings, "dagit" if service == "dagit" else None):
        sent = under_way(organisation, workings)
        kill(workings, service)
        if service != "run":
            comes_back(workings, service)
        assert_processed_once(organisation, workings, sent)


@pytest.mark.slow
def test_nothing_is_lost_while_the_database_is_stopped_for_half_a_minute(
    settings: Settings, organisation: Organisation, workings: Workings
) -> None:
    before = under_way(organisation, workings)
    with stopped_database(settings, seconds=30):
        meanwhile = [upload(organisation.frontend(ACCOUNT), sample("header.csv")) for _ in range(3)]
    for sent in (before, *meanwhile):
        assert_processed_once(organisation, workings, sent)
    for service in SERVICES:
        assert workings.processes(service)


# Of the small burst every kind of process is killed once.
@pytest.mark.slow
@pytest.mark.parametrize(("files", "kills"), [(6, 1), (200, 20)])
def test_a_burst_is_processed_as_on_a_quiet_day_whatever_is_killed_at_random(
    settings: Settings, organisation: Organisation, workings: Workings, playbook: Playbook, files: int, kills: int
) -> None:
    chance, began = random.Random(files), time.monotonic()  # noqa: S311  # the same order each time
    frontend = organisation.frontend(ACCOUNT)
    good = [sent_by_a_system(workings, frontend, many_children(20)) for _ in range(files - files // 5)]
    bad = [sent_by_a_system(workings, frontend, sample("header_ragged.csv")) for _ in range(files // 5)]

    kill_at_random(settings, workings, chance, kills, files)
    last_kill = time.monotonic() - began

    for sent in good + bad:
        assert_ended_once(organisation, workings, sent, "accepted" if sent in good else "rejected")
    record(f"kills-{files}-files", storm(workings, good + bad, last_kill, time.monotonic() - began))
    again = chance.sample(good, min(10, len(good)))
    named = ",".join(sent.identifier for sent in again)
    quiet = playbook("process", "-l", ACCOUNT, "-e", "dataset=ssda903", "-e", "year=2026", "-e", f"submissions={named}")
    assert quiet.returncode == 0, failures(quiet)
    for sent in again:
        assert_outputs_are_always_the_same(organisation, workings, sent)


def sent_by_a_system(workings: Workings, frontend: str, content: bytes) -> Submission:
    """Straight into the data store: a frontend lets a person begin 120 uploads an hour."""
    identifier = f"{datetime.now(UTC):%Y%m%dt%H%M%S}-{secrets.token_hex(8)}"
    follow = f"{frontend}/submissions/ssda903/2026/{identifier}"
    sent = Submission(identifier, "ssda903", 2026, frontend, follow)
    workings.put("data-store", sent.upload_key, content)
    return sent


def storm(workings: Workings, sent: list[Submission], last_kill: float, last_end: float) -> list[Figure]:
    states = Counter(state for (state,) in workings.query("SELECT status FROM runs"))
    return [
        {"name": "files", "value": len(sent), "unit": "files"},
        *({"name": f"runs that ended as {state}", "value": count, "unit": "runs"} for state, count in states.items()),
        {"name": "runs of one file at most", "value": max(len(workings.runs(one)) for one in sent), "unit": "runs"},
        {"name": "from the first upload to the last kill", "value": round(last_kill), "unit": "s"},
        {"name": "from the first upload to the end of the last file", "value": round(last_end), "unit": "s"},
    ]


def kill_at_random(settings: Settings, workings: Workings, chance: random.Random, times: int, files: int) -> None:
    """Each kind of process so many times, in an order that chance decides, and all over the burst: each when as many
    files as chance decides have ended, so that on a slow machine, too, something is under way."""
    kinds = ["run", "daemon", "code-server", "database"] * times
    chance.shuffle(kinds)
    for kind, ended in zip(kinds, sorted(chance.choices(range(files * 9 // 10), k=len(kinds))), strict=True):
        wait_for(lambda: workings.ended("ssda903/2026") >= ended, f"the end of {ended} files", LONG_PATIENCE)  # noqa: B023
        time.sleep(chance.uniform(0, 5))
        if kind == "database":
            crash_database(settings, workings)
        else:
            kill_one(workings, kind, chance)


def kill_one(workings: Workings, service: str, chance: random.Random) -> None:
    """One of the service's processes, as soon as there is any that does not end by itself at that very moment."""

    def killed() -> bool:
        found = workings.processes(service)
        with suppress(ProcessLookupError):
            if found:
                os.kill(chance.choice(found).pid, signal.SIGKILL)
                return True
        return False

    wait_for(killed, f"a process of {service} to kill", LONG_PATIENCE)


def crash_database(settings: Settings, workings: Workings) -> None:
    """RDS starts a server that crashed by itself; the sandbox is told to."""
    victims = wait_for(workings.database, "the database to kill", LONG_PATIENCE)
    for process in victims:
        os.kill(process.pid, signal.SIGKILL)
    rds = client_of_root(settings, ACCOUNT, "rds")

    def state() -> str:
        return str(rds.describe_db_instances(DBInstanceIdentifier=PREFIX)["DBInstances"][0]["DBInstanceStatus"])

    rds.stop_db_instance(DBInstanceIdentifier=PREFIX)
    wait_for(lambda: state() == "stopped", "the end of the database", PATIENCE)
    rds.start_db_instance(DBInstanceIdentifier=PREFIX)
    wait_for(lambda: state() == "available", "the database to come back", PATIENCE)


def assert_ended_once(organisation: Organisation, workings: Workings, sent: Submission, state: str) -> None:
    """With one state that was never another. How many runs that took is no matter: one may die after its report."""
    base = organisation.frontend(ACCOUNT)
    followed = dataclasses.replace(sent, follow=sent.follow.replace(sent.frontend, base))
    assert wait_for_result(followed, LONG_PATIENCE) == state
    wait_for(lambda: runs_have_ended(workings, sent), "the end of the file's runs", LONG_PATIENCE)
    first, *others = workings.reports(sent)
    assert first["state"] == state
    assert all(other == first for other in others), "a run that came again says the same"


def assert_outputs_are_always_the_same(organisation: Organisation, workings: Workings, sent: Submission) -> None:
    """Whichever run wrote them, on the day of the kills or on the quiet one."""
    first, *others = workings.reports(sent)
    assert others
    assert all(other == first for other in others)
    shared = [shared_file(first, form).key for form in ("csv", "parquet")]
    results = [f"{sent.results_prefix}{name}" for name in ("header.csv", "errors.csv")]
    for kind, keys in (("data-store", results), ("shared", shared)):
        for key in keys:
            written = workings.versions(kind, key)
            assert len(written) >= 2, f"{key} was written once more"
            assert len(set(written)) == 1, key


def webserver(settings: Settings) -> str | None:
    """The address of the web interface, once it answers."""
    ecs = client_of_root(settings, ACCOUNT, "ecs")
    tasks = ecs.list_tasks(cluster=PREFIX, serviceName="dagit")["taskArns"]
    described = ecs.describe_tasks(cluster=PREFIX, tasks=tasks)["tasks"] if tasks else []
    details = [detail for task in described for part in task["attachments"] for detail in part["details"]]
    for host in (detail["value"] for detail in details if detail["name"] == "privateIPv4Address"):
        with suppress(requests.ConnectionError):
            requests.get(f"http://{host}:3000/server_info", timeout=30).raise_for_status()
            return f"http://{host}:3000"
    return None


def under_way(organisation: Organisation, workings: Workings) -> Submission:
    """A file of some size, whose run has started."""
    sent = upload(organisation.frontend(ACCOUNT), many_children(50_000))
    wait_for(lambda: "STARTED" in workings.runs(sent) and workings.processes("run"), "a run of the file", PATIENCE)
    return sent


def many_children(number: int) -> bytes:
    head, row, *_ = sample("header.csv").decode().splitlines()
    _, separator, rest = row.partition(",")
    first = 1_000_000 + secrets.randbelow(1_000_000)
    return "\n".join([head, *(f"{child}{separator}{rest}" for child in range(first, first + number))]).encode()


def kill(workings: Workings, service: str) -> None:
    victims = workings.processes(service)
    assert victims, f"no process of {service} runs"
    for process in victims:
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, victims)), f"the end of {service}", PATIENCE)


def comes_back(workings: Workings, service: str) -> None:
    wait_for(lambda: workings.processes(service), f"{service} to come back", PATIENCE)


def assert_processed_once(organisation: Organisation, workings: Workings, sent: Submission) -> None:
    """Accepted, reported once, shared once, and no second run that says the same."""
    base = organisation.frontend(ACCOUNT)
    followed = dataclasses.replace(sent, follow=sent.follow.replace(sent.frontend, base))
    assert wait_for_result(followed, PATIENCE) == "accepted"
    wait_for(lambda: runs_have_ended(workings, sent), "the end of the file's runs", PATIENCE)
    assert workings.runs(sent).count("SUCCESS") == 1
    assert len(workings.versions("data-store", f"{sent.results_prefix}report.json")) == 1
    shared = shared_file(organisation.report(ACCOUNT, sent.results_prefix)).key
    assert len(set(workings.versions("shared", shared))) == 1, "a second attempt writes the same"


def runs_have_ended(workings: Workings, sent: Submission) -> bool:
    states = set(workings.runs(sent))
    return bool(states) and states <= {"SUCCESS", "FAILURE", "CANCELED"}


@contextmanager
def stopped_database(settings: Settings, seconds: float) -> Iterator[None]:
    """The account's PostgreSQL, stopped for as long and at least as long as the block takes."""
    rds, began = client_of_root(settings, ACCOUNT, "rds"), time.monotonic()
    rds.stop_db_instance(DBInstanceIdentifier=PREFIX)
    try:
        yield
        time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    finally:
        rds.start_db_instance(DBInstanceIdentifier=PREFIX)


@contextmanager
def switched_on(settings: Settings, workings: Workings, service: str | None) -> Iterator[None]:
    """A service that is off by default."""
    if service is None:
        yield
        return
    ecs = client_of_root(settings, ACCOUNT, "ecs")
    ecs.update_service(cluster=PREFIX, service=service, desiredCount=1)
    try:
        comes_back(workings, service)
        yield
    finally:
        ecs.update_service(cluster=PREFIX, service=service, desiredCount=0)
