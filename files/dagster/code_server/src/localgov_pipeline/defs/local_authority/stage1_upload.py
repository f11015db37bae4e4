# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads, put into the data store by a person's browser, and how those that wait are noticed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice

import dagster as dg

from localgov_pipeline.defs.local_authority.rejection import give_up
from localgov_pipeline.defs.local_authority.run import process_submission
from localgov_pipeline.defs.local_authority.submission import ONE_AT_A_TIME, SUBMISSIONS, run_config
from localgov_pipeline.defs.storage import Storage
from localgov_pipeline.lib import submissions

# Longer than a run may last (`max_runtime_seconds` of the instance) with all its attempts.
PATIENCE_SECONDS = 2 * 60 * 60
_REQUESTS_PER_TICK = 200


def look(storage: Storage, cursor: str | None) -> dg.SensorResult:
    """One run for each version of an upload. An upload stays pending until its report is written, so a lost run is
    asked for again; Dagster starts nothing twice for the same run key."""
    bucket = storage.data_store
    pending = submissions.pending_uploads(
        storage.versions(bucket, submissions.UPLOADS_PREFIX), _reports(storage), lambda key: _version(storage, key)
    )
    first_seen = json.loads(cursor or "{}")
    todo = submissions.agenda(pending, bucket, first_seen, time.time(), PATIENCE_SECONDS)
    requests = list(islice(_requests(todo, bucket), _REQUESTS_PER_TICK))
    return requested(requests, json.dumps(todo.first_seen))


def requested(requests: list[dg.RunRequest], cursor: str | None = None) -> dg.SensorResult:
    """The runs, and the partitions that have to be there before them."""
    partitions = sorted({str(request.partition_key) for request in requests if request.partition_key})
    added = [SUBMISSIONS.build_add_request(partitions)] if partitions else None
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added, cursor=cursor)


def _reports(storage: Storage) -> dict[str, datetime]:
    listed = storage.objects(storage.data_store, submissions.RESULTS_PREFIX)
    return {entry.key: entry.last_modified for entry in listed if entry.key.endswith("/report.json")}


def _version(storage: Storage, report_key: str) -> str | None:
    report = storage.fetch(storage.data_store, report_key)
    return None if report is None else json.loads(report.content)["version_id"]


def _requests(todo: submissions.Agenda, bucket: str) -> Iterator[dg.RunRequest]:
    process = ((process_submission.name, "", upload) for upload in todo.process)
    abandon = ((give_up.name, "#given-up", upload) for upload in todo.give_up)
    for job, suffix, waiting in chain(process, abandon):
        yield run_request(job, suffix, waiting, bucket)


def run_request(job: str, suffix: str, waiting: submissions.Upload, bucket: str) -> dg.RunRequest:
    """The partition is a tag as well, or Dagster would look it up in its database, and the code server has none."""
    path = waiting.submission.path
    partition = {"dagster/partition": path} if job == process_submission.name else {}
    return dg.RunRequest(
        run_key=waiting.run_key(bucket) + suffix,
        job_name=job,
        run_config=run_config(waiting),
        partition_key=path if partition else None,
        # Versions of one upload cannot overtake each other.
        tags={ONE_AT_A_TIME: path, **partition},
    )
