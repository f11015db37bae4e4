# SPDX-License-Identifier: GPL-3.0-or-later
"""The database's users: an administrator, whose password RDS rotates, and Dagster's own, who owns nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2.extensions import connection as PostgresConnection  # noqa: N812 - a class
from psycopg2.extensions import encrypt_password
from psycopg2.sql import SQL, Identifier, Literal

# Prefixes of the variables that hold a login.
APPLICATION, ADMINISTRATOR = "DAGSTER_PG", "DATABASE_ADMIN"


def connect(environment: Mapping[str, str], login: str) -> PostgresConnection:
    """A connection with one of the two logins. TLS is as libpq's own PGSSLMODE and PGSSLROOTCERT say."""
    return psycopg2.connect(
        host=environment["DAGSTER_PG_HOST"],
        port=environment["DAGSTER_PG_PORT"],
        dbname=environment["DAGSTER_PG_DB"],
        user=environment[f"{login}_USERNAME"],
        password=environment[f"{login}_PASSWORD"],
        connect_timeout=5,
    )


def prepare(environment: Mapping[str, str]) -> None:
    """Dagster's user is there, has its password and may make tables; nobody else may connect. Safe to repeat."""
    name, password = environment[f"{APPLICATION}_USERNAME"], environment[f"{APPLICATION}_PASSWORD"]
    user, database = Identifier(name), Identifier(environment["DAGSTER_PG_DB"])
    with closing(connect(environment, ADMINISTRATOR)) as session, session, session.cursor() as cursor:
        # Two daemons that start at once wait for each other.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('localgov: prepare the database'))")
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(SQL("CREATE ROLE {} LOGIN").format(user))
        # The server gets a verifier: a statement in its log shows no password.
        verifier = encrypt_password(password, name, scope=session, algorithm="scram-sha-256")
        cursor.execute(SQL("ALTER ROLE {} PASSWORD {}").format(user, Literal(verifier)))
        cursor.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        cursor.execute(SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(database, user))
        cursor.execute(SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(user))
