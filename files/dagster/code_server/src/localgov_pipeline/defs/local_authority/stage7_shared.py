# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in the shared bucket. Until a manifest names them nobody takes them for shared."""

# No postponed annotations here: Dagster must see the type of `context` itself.

from typing import Any

import dagster as dg

from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import CSV, PARQUET, Storage
from localgov_pipeline.lib.manifests import ManifestName

_TYPES = {"parquet": PARQUET, "csv": CSV}


@dg.asset(
    partitions_def=SUBMISSIONS,
    kinds={"s3", "parquet", "csv"},
    description="What the organisation may read, as parquet and CSV, in the authority's own shared bucket. It counts "
    "as shared when the manifest of its dataset, profile and year names it, which is the last step.",
)
def shared(
    pseudonymised: Facts, storage: Storage, submission: SubmissionResource, scratch: Scratch
) -> dg.Output[Facts]:
    from localgov_pipeline.lib.outputs import digest

    entries: list[dict[str, Any]] = []
    for part in pseudonymised.shared:
        folder = scratch.folder(f"shared/{part['profile']}")
        tables = {}
        for name, found in part["tables"].items():
            files = {}
            for form, content_type in _TYPES.items():
                path = folder / f"{name}.{form}"
                sha256 = digest(path)
                key = submission.identity.shared_key(part["profile"], name, sha256, form)
                storage.put_file(storage.shared, key, path, content_type)
                files[form] = {"key": key, "sha256": sha256}
            tables[name] = {**found, **files}
        manifest = ManifestName(submission.dataset, part["profile"], submission.year).key
        entries.append({"profile": part["profile"], "bucket": storage.shared, "manifest": manifest, "tables": tables})
    facts = pseudonymised._replace(shared=tuple(entries))
    rows = {f"rows of {name}": table.shared for name, table in facts.tables.items()}
    manifests = {f"manifest of {part['profile']}": f"s3://{part['bucket']}/{part['manifest']}" for part in entries}
    metadata: dict[str, int | str] = {"profiles": len(entries), **rows, **manifests}
    return dg.Output(facts, metadata=metadata, data_version=facts.version())
