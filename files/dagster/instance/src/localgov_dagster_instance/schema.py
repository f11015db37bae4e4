# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's schema: which revision it has, and bringing it to the one that this version of Dagster expects."""

from __future__ import annotations

import json
import os
import sys
from typing import TypedDict

import dagster
import dagster_postgres
from alembic.script import ScriptDirectory
from dagster._core.storage.sql import get_alembic_config
from sqlalchemy.exc import SQLAlchemyError

# So long a change waits for a table that others use. They wait behind it, so that it must not be longer.
_LOCK_SECONDS = 60


class Versions(TypedDict):
    """What runs, the revision of the schema that its three storages share, and whether a migration would change it."""

    dagster: str
    schema: str | None
    schema_expected: str
    migrates: bool


def versions(instance: dagster.DagsterInstance) -> Versions:
    """A schema that only a newer Dagster knows is left as it is."""
    revision, _ = instance.event_log_storage.alembic_version() or (None, None)
    scripts = ScriptDirectory.from_config(get_alembic_config(dagster_postgres.__file__))
    expected = str(scripts.as_revision_number("head"))
    known = {script.revision for script in scripts.walk_revisions()}
    return {
        "dagster": dagster.__version__,
        "schema": revision,
        "schema_expected": expected,
        "migrates": revision is None or (revision in known and revision != expected),
    }


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tell(instance: dagster.DagsterInstance) -> None:
    """One line of the log, which those who compare accounts look for."""
    say(json.dumps({"versions": versions(instance)}))


def migrate(instance: dagster.DagsterInstance) -> None:
    """As `dagster instance migrate`, but that tells no settings. SystemExit if the schema is not as expected then."""
    try:
        instance.upgrade(say)
    except SQLAlchemyError as reason:
        raise SystemExit(f"The database could not be migrated: {str(reason).strip().splitlines()[0]}") from reason
    found = versions(instance)
    if found["migrates"]:
        raise SystemExit(f"Migrated, the database is at {found['schema']} and not at {found['schema_expected']}.")


def main(task: str) -> None:
    """A task of its own, which ends."""
    os.environ.setdefault("PGOPTIONS", f"-c lock_timeout={_LOCK_SECONDS}s")
    with dagster.DagsterInstance.get() as instance:
        if task == "migrate":
            migrate(instance)
        tell(instance)


if __name__ == "__main__":
    main(sys.argv[1])
