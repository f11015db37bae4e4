# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads that are announced by a queue: a real SQS, and Dagster's own daemons over them."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import dagster as dg
import pytest
from buckets import SAMPLES, client
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from localgov_pipeline.defs.local_authority import announcements
from localgov_pipeline.defs.local_authority.announcements import announced_uploads
from localgov_pipeline.lib.announcements import Announcement, Memory, NotUnderstoodError, understood

SOURCE = Path(__file__).parent.parent / "src"
KEY = "uploads/ssda903/2026/{}.csv"
VISIBILITY_SECONDS, RECEIVE_COUNT, RUNS_AT_ONCE = 1, 2, 5


def event(bucket: str, key: str, version: str, **more: str) -> str:
    """As EventBridge delivers what S3 says of a new object."""
    detail = {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "version-id": version}, **more}
    return json.dumps({"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": detail})


class Announced:
    """A local authority's queue and its dead letters, and the sensor with what it remembers."""

    def __init__(self, bucket: str, memory: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bucket, self.sqs, self.memory = bucket, client(service="sqs"), memory
        name = f"uploads-{secrets.token_hex(4)}"
        self.failed = self.sqs.create_queue(QueueName=f"{name}-failed")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.failed, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVE_COUNT})
        attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": redrive}
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        monkeypatch.setenv("UPLOADS_QUEUE_URL", self.url)
        self.cursor: str | None = None

    def upload(self, submission: str) -> str:
        content = (SAMPLES / "header.csv").read_bytes()
        answer = client().put_object(Bucket=self.bucket, Key=KEY.format(submission), Body=content)
        return str(answer["VersionId"])

    def announce(self, submission: str, version: str, **more: str) -> None:
        self.say(event(self.bucket, KEY.format(submission), version, **more))

    def say(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def tick(self) -> list[dg.RunRequest]:
        outcome = announced_uploads(dg.build_sensor_context(self.memory, cursor=self.cursor))
        assert isinstance(outcome, dg.SensorResult)
        self.cursor = outcome.cursor
        return list(outcome.run_requests or [])

    def held(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(number) for number in found.values())

    def ticks_until(self, reached: Callable[[], bool], seconds: float = 30) -> None:
        deadline = monotonic() + seconds
        while not reached():
            assert monotonic() < deadline, "not reached in time"
            self.tick()


@pytest.fixture
def announced(locations: dict[str, str], memory: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Announced:
    monkeypatch.setattr(announcements, "_WAIT_SECONDS", 0)
    found = Announced(locations["data-store"], memory, monkeypatch)
    found.tick()  # the first one lists
    return found


def test_an_announced_upload_is_asked_for_as_one_that_is_found_and_its_message_goes_a_tick_later(
    announced: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = announced.upload("one")
    announced.announce("one", version)
    (request,) = announced.tick()
    assert announced.held(announced.url) == 1, "Dagster may not have kept the request yet"
    assert announced.tick() == []
    assert announced.held(announced.url) == 0

    monkeypatch.delenv("UPLOADS_QUEUE_URL")
    (found,) = announced.tick()
    assert (found.run_key, found.job_name, found.tags, found.run_config) == (
        request.run_key,
        request.job_name,
        request.tags,
        request.run_config,
    )


def test_what_was_received_and_not_kept_comes_once_more_with_the_same_run_key(announced: Announced) -> None:
    announced.announce("one", "version")
    before = announced.cursor
    (first,) = announced.tick()
    announced.cursor = before  # as after a daemon's death
    deadline = monotonic() + 30
    while not (again := announced.tick()):
        assert monotonic() < deadline, "the message does not come again"
    assert [request.run_key for request in again] == [first.run_key]


def test_what_nobody_understands_ends_in_the_dead_letters_and_holds_up_nothing(announced: Announced) -> None:
    announced.say("who are you?")
    announced.announce("one", "version")
    assert len(announced.tick()) == 1
    announced.ticks_until(lambda: announced.held(announced.failed) == 1)
    assert announced.held(announced.url) == 0


def test_an_announced_withdrawal_is_asked_for_at_once(announced: Announced) -> None:
    announced.say(event(announced.bucket, "withdrawals/ssda903/2026/one.json", "version"))
    (request,) = announced.tick()
    assert request.job_name == "withdraw"
    assert request.run_config["resources"]["submission"]["config"]["submission"] == "one"
    announced.tick()
    assert (announced.held(announced.url), announced.held(announced.failed)) == (0, 0)


def test_what_is_neither_an_upload_nor_a_withdrawal_is_forgotten(announced: Announced) -> None:
    announced.say(event(announced.bucket, "uploads/.access-probe/run", "version"))
    assert announced.tick() == []
    announced.tick()
    assert (announced.held(announced.url), announced.held(announced.failed)) == (0, 0)


def test_a_request_is_a_run_of_its_own(announced: Announced) -> None:
    announced.announce("one", "version")
    announced.announce("one", "version", requested="20260401t101500")
    assert {str(request.run_key).partition("@")[2] for request in announced.tick()} == {
        "version",
        "version#requested-20260401t101500",
    }


def test_what_was_never_announced_is_found_by_listing_a_minute_later(announced: Announced) -> None:
    announced.upload("one")
    assert announced.tick() == []
    memory = Memory.of(announced.cursor)
    announced.cursor = memory._replace(listed_at=memory.listed_at - announcements.LISTING_SECONDS).cursor()
    assert len(announced.tick()) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"detail": {}}',
        event("another", KEY.format("one"), "version"),
        event("ours", KEY.format("one"), "version", requested="no name; of a request"),
        json.dumps({"detail": {"bucket": {"name": "ours"}, "object": {"key": ["k"], "version-id": "v"}}}),
    ],
    ids=["nothing", "a-list", "no-object", "another-bucket", "a-strange-request", "no-text"],
)
def test_a_message_of_anything_else_is_not_understood_and_never_quoted(body: str) -> None:
    with pytest.raises(NotUnderstoodError) as refused:
        understood(body, "ours")
    assert "uploads/" not in str(refused.value)


def test_keys_are_taken_as_they_are() -> None:
    """EventBridge does not encode them, as S3's own notifications do."""
    body = event("ours", "uploads/a%20b+c.csv", "version")
    assert understood(body, "ours") == Announcement("uploads/a%20b+c.csv", "version")


# --- A burst, with Dagster's daemons ---


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    overrides = {
        "run_launcher": {"module": "dagster._core.test_utils", "class": "MockedRunLauncher"},
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": "QueuedRunCoordinator",
            "config": {"max_concurrent_runs": RUNS_AT_ONCE},
        },
    }
    with dg.instance_for_test(overrides=overrides) as made:
        yield made


# Each run costs Dagster a good tenth of a second of CPU.
@pytest.mark.parametrize("burst", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_a_burst_is_queued_and_limited_and_nothing_of_it_is_lost_or_started_twice(
    announced: Announced, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, burst: int
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    announced.sqs.set_queue_attributes(QueueUrl=announced.url, Attributes={"VisibilityTimeout": "120"})
    names = [f"burst-{number}" for number in range(burst)]
    for name in names:
        announced.announce(name, "version")
    for name in names[:10]:  # SQS delivers at least once
        announced.announce(name, "version")
    target = ModuleTarget("localgov_pipeline.definitions", None, None, "pipeline")
    with create_test_daemon_workspace_context(target, instance) as context:
        deadline = monotonic() + 600
        while announced.held(announced.url) > 0:
            assert monotonic() < deadline, "the queue is not drained"
            _sensors_look(context)
        runs = instance.get_runs()
        list(QueuedRunCoordinatorDaemon(1).run_iteration(context))

    assert len(runs) == burst
    assert {run.tags["dagster/run_key"] for run in runs} == {
        f"{announced.bucket}/{KEY.format(name)}@version" for name in names
    }
    assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])) == RUNS_AT_ONCE
    assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])) == burst - RUNS_AT_ONCE
    assert announced.held(announced.failed) == 0


def _sensors_look(context: Any) -> None:  # noqa: ANN401  # Dagster's own context of a workspace
    with ThreadPoolExecutor(max_workers=1) as workers:
        list(execute_sensor_iteration(context, logging.getLogger("sensors"), None, workers))
