# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads, put into the data store by a person's browser, and how those that wait are noticed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

import dagster as dg

from localgov_pipeline.defs.local_authority.rejection import give_up
from localgov_pipeline.defs.local_authority.run import process_submission
from localgov_pipeline.defs.local_authority.submission import ONE_AT_A_TIME, SUBMISSIONS, run_config
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib import submissions

_REQUESTS_PER_TICK = 200
# The context's log would open Dagster's instance, and the code server, which evaluates sensors, has no database.
_log = logging.getLogger(__name__)


def look(storage: Storage, cursor: str | None) -> dg.SensorResult:
    """One run for each version of an upload. An upload stays pending until its report is written, so a lost run is
    asked for again, under another run key; Dagster starts nothing twice for the same."""
    bucket = storage.data_store
    results = {entry.key: entry.last_modified for entry in storage.objects(bucket, submissions.RESULTS_PREFIX)}
    pending = submissions.pending_uploads(
        storage.versions(bucket, submissions.UPLOADS_PREFIX), results, lambda key: _version(storage, key)
    )
    before = {key: submissions.Waiting(*found) for key, found in json.loads(cursor or "{}").items()}
    heard_at = max((written.timestamp() for written in results.values()), default=0.0)
    todo = submissions.agenda(pending, bucket, before, time.time(), heard_at)
    if todo.overdue:
        _say_so(todo.overdue)
    requests = list(islice(_requests(todo, bucket), _REQUESTS_PER_TICK))
    return requested(requests, json.dumps(todo.waiting))


def _say_so(overdue: Sequence[tuple[submissions.Upload, submissions.Waiting]]) -> None:
    """In words that the operators' alarm listens to, and from here: no run may have come so far as to say anything. One
    line for all, for in an outage they are many."""
    upload, waiting = min(overdue, key=lambda pair: pair[1].since)
    since = datetime.fromtimestamp(waiting.since, UTC)
    others = f" and {len(overdue) - 1} more" if len(overdue) > 1 else ""
    _log.error(
        "No run has come to its end of %s%s since %s: retrying.",
        upload.submission.path,
        others,
        f"{since:%Y-%m-%dT%H:%M:%SZ}",
    )


def requested(requests: list[dg.RunRequest], cursor: str | None = None) -> dg.SensorResult:
    """The runs, and the partitions that have to be there before them."""
    partitions = sorted({str(request.partition_key) for request in requests if request.partition_key})
    added = [SUBMISSIONS.build_add_request(partitions)] if partitions else None
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added, cursor=cursor)


def _version(storage: Storage, report_key: str) -> str | None:
    report = storage.fetch(storage.data_store, report_key)
    return None if report is None else json.loads(report.content)["version_id"]


def _requests(todo: submissions.Agenda, bucket: str) -> Iterator[dg.RunRequest]:
    for waiting, again in todo.process:
        yield run_request(process_submission.name, f"#again-{again}" if again else "", waiting, bucket)
    for waiting, again in todo.give_up:
        yield run_request(give_up.name, f"#given-up-{again}", waiting, bucket)


def run_request(job: str, suffix: str, waiting: submissions.Upload, bucket: str) -> dg.RunRequest:
    """The partition is a tag as well, or Dagster would look it up in its database, and the code server has none."""
    path = waiting.submission.path
    partition = {"dagster/partition": path} if job == process_submission.name else {}
    return dg.RunRequest(
        run_key=waiting.run_key(bucket) + suffix,
        job_name=job,
        run_config=run_config(waiting, is_again=suffix.startswith("#again")),
        partition_key=path if partition else None,
        # Versions of one upload cannot overtake each other.
        tags={ONE_AT_A_TIME: path, **partition},
    )
