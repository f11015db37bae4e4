# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's two logins, with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from localgov_dagster_instance import __main__ as service
from localgov_dagster_instance import database
from processes import postgresql
from psycopg2.extensions import connection as PostgresConnection  # noqa: N812 - a class


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What the container that prepares the database has."""
    with postgresql() as variables:
        administrator = {
            "DATABASE_ADMIN_USERNAME": variables["DAGSTER_PG_USERNAME"],
            "DATABASE_ADMIN_PASSWORD": variables["DAGSTER_PG_PASSWORD"],
        }
        yield {**variables, **administrator, "DAGSTER_PG_USERNAME": "somebody", "DAGSTER_PG_PASSWORD": "first 'secret'"}


def answer(environment: dict[str, str], question: str) -> object:
    with closing(database.connect(environment, database.APPLICATION)) as session, session, session.cursor() as cursor:
        cursor.execute(question)
        (found,) = cursor.fetchone() or (None,)
        return found


def test_dagsters_user_may_make_tables_and_rule_nothing(environment: dict[str, str]) -> None:
    service.prepare_database(environment)
    rights = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
    assert answer(environment, f"SELECT {rights} FROM pg_roles WHERE rolname = current_user") is False  # noqa: S608
    assert answer(environment, "CREATE TABLE runs (id int); SELECT count(*) FROM runs") == 0
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        answer(environment, "SELECT rolpassword FROM pg_authid")


def test_preparing_again_takes_over_a_new_password_and_leaves_the_tables(environment: dict[str, str]) -> None:
    service.prepare_database(environment)
    changed = {**environment, "DAGSTER_PG_PASSWORD": "second $ecret"}
    service.prepare_database(changed)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        answer(environment, "SELECT 1")
    assert answer(changed, "SELECT count(*) FROM pg_tables WHERE tablename = 'runs'") == 1


def test_nobody_else_may_connect(environment: dict[str, str]) -> None:
    service.prepare_database(environment)
    with closing(database.connect(environment, database.ADMINISTRATOR)) as session, session, session.cursor() as cursor:
        cursor.execute("CREATE ROLE other LOGIN PASSWORD 'other'")
    other = {**environment, "DAGSTER_PG_USERNAME": "other", "DAGSTER_PG_PASSWORD": "other"}
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        answer(other, "SELECT 1")


def test_the_password_is_in_no_statement(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server would log of statements, it says to this client."""
    with closing(database.connect(environment, database.ADMINISTRATOR)) as session, session, session.cursor() as cursor:
        cursor.execute("ALTER ROLE CURRENT_USER SET log_statement = 'all'")
        cursor.execute("ALTER ROLE CURRENT_USER SET client_min_messages = 'log'")
    opened: list[PostgresConnection] = []
    connect = psycopg2.connect

    def remembered(**login: Any) -> PostgresConnection:  # noqa: ANN401 - as psycopg2 takes it
        opened.append(connect(**login))
        return opened[-1]

    monkeypatch.setattr(psycopg2, "connect", remembered)
    service.prepare_database(environment)
    logged = "".join(opened[-1].notices)
    assert "ALTER ROLE" in logged
    assert environment["DAGSTER_PG_PASSWORD"] not in logged.replace("''", "'")
