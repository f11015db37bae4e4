# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload on the task's own disk, known by the hash of its content."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from localgov_pipeline.defs.local_authority.rejection import finish
from localgov_pipeline.defs.local_authority.standing import standing
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import Downloaded, Storage
from localgov_pipeline.lib.manifests import duplicate_of, in_utc


def upload_path(scratch: Scratch, submission: SubmissionResource) -> Path:
    return scratch.folder("uploaded") / f"{submission.submission}.{submission.extension}"


@dg.asset(
    partitions_def=SUBMISSIONS,
    output_required=False,
    kinds={"s3"},
    description="The file as it was sent, in the data store under `uploads/`. Nothing further is done with one that "
    "was replaced or withdrawn since it was noticed, nor with one that has the content of what is current already.",
)
def uploaded(
    context: dg.AssetExecutionContext, storage: Storage, submission: SubmissionResource, scratch: Scratch
) -> Iterator[dg.Output[Facts]]:
    identity = submission.identity
    if storage.has(storage.data_store, identity.withdrawal_key):
        context.log.info("The submission is being withdrawn: nothing to do.")
        return
    found = _latest(storage, submission, upload_path(scratch, submission))
    if found is None:
        context.log.info("This version of the upload is no longer the latest: nothing to do.")
        return
    facts = Facts(found.sha256, in_utc(found.last_modified), {})
    current = standing(storage, identity.dataset_year).current
    original = duplicate_of(found.sha256, identity.submission, current)
    if original is not None:
        context.log.info("The content is that of the submission %s, which is current: nothing to do.", original)
        _report_duplicate(storage, submission, facts, original)
        return
    size = upload_path(scratch, submission).stat().st_size
    metadata: dict[str, int | str] = {"bytes": size, "uploaded at": facts.uploaded_at, "content (sha256)": facts.sha256}
    yield dg.Output(facts, metadata=metadata, data_version=facts.version())


def _latest(storage: Storage, submission: SubmissionResource, path: Path) -> Downloaded | None:
    """The version that the run is about, if it still is the latest."""
    key = submission.identity.upload_key
    if storage.latest_version(storage.data_store, key) != submission.version_id:
        return None
    found = storage.download(storage.data_store, key, path)
    return found if found is not None and found.version_id == submission.version_id else None


def _report_duplicate(storage: Storage, submission: SubmissionResource, facts: Facts, original: str) -> None:
    from localgov_pipeline.lib import outputs

    report = outputs.Report(
        submission.identity,
        submission.version_id,
        "duplicate",
        datetime.now(UTC),
        facts.sha256,
        facts.uploaded_at,
        duplicate_of=original,
    )
    finish(storage, report)
