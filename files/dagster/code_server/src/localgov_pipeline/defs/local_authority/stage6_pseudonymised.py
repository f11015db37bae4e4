# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of each table that may leave the authority, profile by profile, in the workspace."""

# No postponed annotations here: Dagster must see the type of `context` itself.

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from localgov_pipeline.defs.discretion import values_kept_out_of_logs
from localgov_pipeline.defs.local_authority.submission import SUBMISSIONS, Facts, SubmissionResource
from localgov_pipeline.defs.scratch import Scratch
from localgov_pipeline.defs.storage import PARQUET, Storage

if TYPE_CHECKING:
    from localgov_pipeline.lib.declarations import Dataset
    from localgov_pipeline.lib.pseudonyms import Keys

ONLY_DECLARED = dg.AssetCheckSpec(
    "only_declared_columns",
    asset="pseudonymised",
    blocking=True,
    description="Each part has exactly the columns that the declaration lets out under its profile, and no row more.",
)

FORMS = dg.TableSchema(
    [
        dg.TableColumn(name, "int" if name == "rows" else "string")
        for name in ("profile", "table", "column", "form", "rows")
    ]
)


@dg.asset(
    partitions_def=SUBMISSIONS,
    check_specs=[ONLY_DECLARED],
    kinds={"s3", "parquet", "polars"},
    description="What may leave the authority: identifiers replaced by pseudonyms that only the authority's key can "
    "make, dates of birth to the month, postcodes to the sector, nothing that is not declared. In doubt nothing comes "
    "out.",
)
def pseudonymised(
    context: dg.AssetExecutionContext,
    checked: Facts,
    storage: Storage,
    submission: SubmissionResource,
    scratch: Scratch,
) -> Iterator[dg.Output[Facts] | dg.AssetCheckResult]:
    from localgov_pipeline.lib.declarations import declared
    from localgov_pipeline.lib.pseudonyms import keys_from

    dataset = declared(submission.dataset, submission.year)
    shared: list[dict[str, Any]] = []
    as_declared = True
    with values_kept_out_of_logs():
        keys = keys_from(os.environ)
        for profile in dataset.profiles:
            parts = {}
            for name in checked.tables:
                wanted = dataset.tables[name].shareable(profile)
                if wanted:
                    rows, columns, notes = _part(profile, name, storage, submission, scratch, keys)
                    parts[name] = {"rows": rows, "columns": columns, "notes": notes}
                    as_declared &= columns == wanted and rows == checked.tables[name].written
            shared.append({"profile": profile, "tables": parts})
    facts = checked._replace(shared=tuple(shared)).with_counts(
        shared={
            name: max((part["tables"][name]["rows"] for part in shared if name in part["tables"]), default=0)
            for name in checked.tables
        }
    )
    leaves = dg.MetadataValue.table(_forms(shared, dataset), FORMS)
    yield dg.Output(
        facts,
        metadata={"profiles": dg.MetadataValue.int(len(shared)), "what leaves": leaves},
        data_version=facts.version(),
    )
    yield dg.AssetCheckResult(passed=as_declared)


def _forms(shared: list[dict[str, Any]], dataset: "Dataset") -> list[dg.TableRecord]:
    """Each column with the form in which it is shared: what the rows look like, without any of them."""
    return [
        dg.TableRecord(
            {
                "profile": part["profile"],
                "table": name,
                "column": column,
                "form": dataset.tables[name].columns[column].share[part["profile"]],
                "rows": found["rows"],
            }
        )
        for part in shared
        for name, found in part["tables"].items()
        for column in found["columns"]
    ]


def _part(
    profile: str, name: str, storage: Storage, submission: SubmissionResource, scratch: Scratch, keys: "Keys"
) -> tuple[int, list[str], list[str]]:
    """Rows, columns and notes of one table under one profile, which lies in the workspace and on this disk then."""
    import polars as pl

    from localgov_pipeline.lib.declarations import declared
    from localgov_pipeline.lib.outputs import write_shared
    from localgov_pipeline.lib.sharing import notes, shared_table

    table = declared(submission.dataset, submission.year).tables[name]
    rows = pl.scan_parquet(scratch.folder("cleaned") / f"{name}.parquet")
    paths = write_shared(shared_table(rows, table, profile, keys), table, scratch.folder(f"shared/{profile}"))
    key = submission.identity.stage_key("pseudonymised", f"{profile}/{name}")
    storage.put_file(storage.workspace, key, paths["parquet"], PARQUET)
    part = pl.scan_parquet(paths["parquet"])
    count: int = part.select(pl.len()).collect().item()
    return count, part.collect_schema().names(), notes(rows, table, profile)
