# SPDX-License-Identifier: GPL-3.0-or-later
"""A database of an older Dagster is brought up to date by a task of its own, or left as it was and the reason told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster
import pytest
from localgov_dagster_instance import database
from processes import postgresql

SOURCE = Path(__file__).parent.parent / "src"
# The revision before Dagster gave its limits of concurrency a column more.
OLDER, COLUMN = "6b7fb194ff9c", "using_default_limit"


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What the task has, of a database with Dagster's tables."""
    with postgresql() as variables:
        given = {
            **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}},
            **variables,
            "PYTHONPATH": str(SOURCE),
        }
        assert ended("tell-versions", given).returncode == 0
        yield given


def ended(task: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localgov_dagster_instance", task]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def told(task: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(task.stdout.splitlines()[-1])["versions"]
    return found


def changed(environment: dict[str, str], *statements: str) -> None:
    with closing(database.connect(environment, database.APPLICATION)) as session, session, session.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def columns(environment: dict[str, str]) -> set[str]:
    with closing(database.connect(environment, database.APPLICATION)) as session, session.cursor() as cursor:
        cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'concurrency_limits'")
        return {name for (name,) in cursor.fetchall()}


@pytest.fixture
def older(environment: dict[str, str]) -> dict[str, str]:
    """The same database as the Dagster of before left it."""
    changed(
        environment,
        f"ALTER TABLE concurrency_limits DROP COLUMN IF EXISTS {COLUMN}",
        f"UPDATE alembic_version SET version_num = '{OLDER}'",  # noqa: S608
    )
    return environment


def test_it_is_told_which_dagster_runs_and_which_revision_it_expects(older: dict[str, str]) -> None:
    found = told(ended("tell-versions", older))
    assert (found["dagster"], found["schema"]) == (dagster.__version__, OLDER)
    assert found["schema_expected"] != OLDER
    assert found["migrates"]


def test_a_schema_of_a_newer_dagster_is_left_as_it_is(environment: dict[str, str]) -> None:
    before = told(ended("tell-versions", environment))["schema"]
    changed(environment, "UPDATE alembic_version SET version_num = 'newer'")
    try:
        found = told(ended("tell-versions", environment))
        assert (found["schema"], found["migrates"]) == ("newer", False)
    finally:
        changed(environment, f"UPDATE alembic_version SET version_num = '{before}'")  # noqa: S608


def test_a_migration_changes_the_tables_and_can_be_repeated(older: dict[str, str]) -> None:
    assert COLUMN not in columns(older)
    for _ in range(2):
        done = ended("migrate", older)
        assert done.returncode == 0, done.stderr
        assert told(done)["schema"] == told(done)["schema_expected"]
        assert COLUMN in columns(older)
        assert older["DAGSTER_PG_PASSWORD"] not in done.stdout + done.stderr


def test_a_migration_that_does_not_come_to_the_tables_ends_with_the_reason(older: dict[str, str]) -> None:
    impatient = {**older, "PGOPTIONS": "-c lock_timeout=500ms"}
    with closing(database.connect(older, database.APPLICATION)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE concurrency_limits IN ACCESS SHARE MODE")
        failed = ended("migrate", impatient)
    assert failed.returncode == 1
    assert "could not be migrated" in failed.stderr
    assert "lock timeout" in failed.stderr
    assert COLUMN not in columns(older)
