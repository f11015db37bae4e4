# SPDX-License-Identifier: GPL-3.0-or-later
"""The upload on the task's own disk, known by the hash of its content."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from localgov_pipeline.defs.local_authority.erasure import erase_uploads
from localgov_pipeline.defs.local_authority.rejection import is_reported
from localgov_pipeline.defs.local_authority.standing import Standing, settle, standing
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.local_authority.withdrawal import is_withdrawn
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import JSON, Downloaded, Storage
from localgov_pipeline.lib.manifests import ManifestName, duplicate_of, in_utc, named_keys
from localgov_pipeline.lib.submissions import DatasetYear, Submission, submission_of_shared


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
        removed = _erase_what_came_late(storage, identity)
        context.log.info("The submission is withdrawn: of what was uploaded since, %d versions were removed.", removed)
        return
    if submission.is_again and is_reported(storage, submission):
        context.log.info("The run before came to its end after all: nothing to do.")
        return
    found = _latest(storage, submission, upload_path(scratch, submission))
    if found is None:
        context.log.info("This version of the upload is no longer the latest: nothing to do.")
        return
    facts = Facts(found.sha256, in_utc(found.last_modified), {})
    current = standing(storage, identity.dataset_year).current
    original = duplicate_of(found.sha256, identity.submission, current)
    if original is not None and _counts_as(original, storage, submission, facts):
        context.log.info("The content is that of the submission %s, which is current: nothing to do.", original)
        return
    size = upload_path(scratch, submission).stat().st_size
    metadata: dict[str, int | str] = {"bytes": size, "uploaded at": facts.uploaded_at, "content (sha256)": facts.sha256}
    yield dg.Output(facts, metadata=metadata, data_version=facts.version())


def _erase_what_came_late(storage: Storage, identity: Submission) -> int:
    """A form may send a file once more after the withdrawal is done. What came before, the withdrawal removes."""
    asked = next(storage.objects(storage.data_store, identity.withdrawal_key), None)
    if asked is None or not is_withdrawn(storage, identity.report_key, asked.last_modified):
        return 0
    return erase_uploads(storage, identity.dataset_year, {identity.submission})


def _latest(storage: Storage, submission: SubmissionResource, path: Path) -> Downloaded | None:
    """The version that the run is about, if it still is the latest."""
    key = submission.identity.upload_key
    if storage.latest_version(storage.data_store, key) != submission.version_id:
        return None
    found = storage.download(storage.data_store, key, path)
    return found if found is not None and found.version_id == submission.version_id else None


def _counts_as(original: str, storage: Storage, submission: SubmissionResource, facts: Facts) -> bool:
    """Report the duplicate, unless the original has gone by then: superseded or withdrawn by a run that did not yet see
    the report. The report goes as well then: with it, a file that is yet to be processed would pass for done."""
    identity = submission.identity
    where = identity.dataset_year
    storage.put(storage.data_store, identity.report_key, _duplicate_report(submission, facts, original), JSON)
    # Before what is shared is switched to the original, and after: a run may be about to remove its files.
    if all(_is_whole(original, storage, where, look(storage, where)) for look in (standing, settle)):
        return True
    storage.remove(storage.data_store, [identity.report_key])
    return False


def _is_whole(original: str, storage: Storage, where: DatasetYear, found: Standing) -> bool:
    """Whether a submission is current for every table that it holds, and each of its shared files is there."""
    tables = found.reports.get(original, {}).get("tables") or {}
    prefixes = [ManifestName(where.dataset, profile, where.year).prefix for profile in found.manifests]
    there = {entry.key for prefix in prefixes for entry in storage.objects(storage.shared, prefix)}
    named = {key for manifest in found.manifests.values() for key in named_keys(manifest)}
    holders = {found.current.get(table, {}).get("submission") for table in tables}
    return holders == {original} and {key for key in named if submission_of_shared(key) == original} <= there


def _duplicate_report(submission: SubmissionResource, facts: Facts, original: str) -> bytes:
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
    return outputs.report_json(report)
