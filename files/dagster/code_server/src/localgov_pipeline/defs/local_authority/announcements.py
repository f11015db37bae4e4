# SPDX-License-Identifier: GPL-3.0-or-later
"""The sensor that learns of uploads from a queue as they arrive, and now and then looks for itself.

One sensor for both, because Dagster compares run keys with those of the same sensor only: two of them would start two
runs for an upload that one has been told of and the other sees waiting.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import dagster as dg

from localgov_pipeline.defs.local_authority import stage1_upload
from localgov_pipeline.defs.local_authority.rejection import give_up
from localgov_pipeline.defs.local_authority.run import process_submission
from localgov_pipeline.defs.local_authority.withdrawal import run_request, withdraw
from localgov_pipeline.defs.storage import Storage, aws_client
from localgov_pipeline.lib import submissions
from localgov_pipeline.lib.announcements import Announcement, Memory, NotUnderstoodError, understood

# Events can be late or lost; what nobody announced is found by listing.
LISTING_SECONDS = 60
# Dagster looks at its sensors every five seconds, the time that they take included. Nearly all of it is spent
# waiting for a message, so that one that arrives in between is seen at once.
_WAIT_SECONDS = 4
# Their receipts lie in the cursor, which Dagster keeps with each tick.
_MESSAGES_PER_TICK = 100
_MESSAGES_PER_CALL = 10
# The context's log would open Dagster's instance, and the code server, which evaluates sensors, has no database.
_log = logging.getLogger(__name__)


@dg.sensor(
    jobs=[process_submission, give_up, withdraw],
    minimum_interval_seconds=1,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Notices uploads and withdrawals as they are announced in the queue, and once a minute lists uploads "
    "that nobody announced.",
)
def announced_uploads(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """One run for each version of an upload, or for a withdrawal. Messages are deleted in the tick after the one that
    asks for their runs, when Dagster has kept these; what is lost in between comes once more, and starts nothing
    twice."""
    storage = Storage.from_environment()
    memory = Memory.of(context.cursor)
    queue = Queue.from_environment()
    results = []
    if queue is not None:
        queue.delete(memory.handles)
    # Before anything is received: a bucket that cannot be listed must not bring messages to the dead letters.
    if queue is None or time.time() - memory.listed_at >= LISTING_SECONDS:
        results.append(stage1_upload.look(storage, memory.listing))
        memory = memory._replace(listed_at=time.time(), listing=results[0].cursor)
    found = list(_read(queue.receive(), storage.data_store)) if queue is not None else []
    asked_for = [_run(announcement, storage.data_store) for _, announcement in found]
    results.append(stage1_upload.requested([request for request in asked_for if request is not None]))
    return _joined(results, memory._replace(handles=tuple(message.handle for message, _ in found)))


class Message(NamedTuple):
    """`handle` is what deletes it."""

    identifier: str
    handle: str
    body: str


class Queue(NamedTuple):
    url: str

    @classmethod
    def from_environment(cls) -> Queue | None:
        url = os.environ.get("UPLOADS_QUEUE_URL")
        return cls(url) if url else None

    @property
    def client(self) -> Any:  # noqa: ANN401  # botocore makes its clients' types at run time
        return aws_client("sqs", waits=False)

    def receive(self) -> Iterator[Message]:
        """What is there, up to a limit. Only the first call waits for something to come."""
        wait = _WAIT_SECONDS
        for _ in range(_MESSAGES_PER_TICK // _MESSAGES_PER_CALL):
            answer = self.client.receive_message(
                QueueUrl=self.url, MaxNumberOfMessages=_MESSAGES_PER_CALL, WaitTimeSeconds=wait
            )
            received = answer.get("Messages", [])
            yield from (Message(entry["MessageId"], entry["ReceiptHandle"], entry["Body"]) for entry in received)
            if not received:
                return
            wait = 0

    def delete(self, handles: tuple[str, ...]) -> None:
        """A receipt that is no longer valid is that of a message which comes once more, and is deleted then."""
        for start in range(0, len(handles), _MESSAGES_PER_CALL):
            batch = handles[start : start + _MESSAGES_PER_CALL]
            entries = [{"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(batch)]
            self.client.delete_message_batch(QueueUrl=self.url, Entries=entries)


def _read(messages: Iterator[Message], bucket: str) -> Iterator[tuple[Message, Announcement]]:
    """Those that are understood. The others are left, and SQS itself moves them to the dead letters."""
    for message in messages:
        try:
            yield message, understood(message.body, bucket)
        except NotUnderstoodError as reason:
            _log.error("Message %s is %s: it is left for the dead letters.", message.identifier, reason)


def _run(announcement: Announcement, bucket: str) -> dg.RunRequest | None:
    """As listing would ask for it; nothing where what was announced is neither an upload nor a withdrawal. A request is
    a run of its own."""
    withdrawn = submissions.submission_of_withdrawal(announcement.key)
    if withdrawn is not None:
        return run_request(withdrawn, f"{bucket}/{announcement.key}@{announcement.version_id}")
    submission = submissions.submission_of(announcement.key)
    if submission is None:
        return None
    suffix = f"#requested-{announcement.requested}" if announcement.requested else ""
    upload = submissions.Upload(submission, announcement.version_id)
    return stage1_upload.run_request(process_submission.name, suffix, upload, bucket)


def _joined(results: list[dg.SensorResult], memory: Memory) -> dg.SensorResult:
    requests = {request.run_key: request for result in results for request in result.run_requests or []}
    partitions = list(chain.from_iterable(result.dynamic_partitions_requests or [] for result in results))
    return dg.SensorResult(
        run_requests=list(requests.values()), dynamic_partitions_requests=partitions or None, cursor=memory.cursor()
    )
