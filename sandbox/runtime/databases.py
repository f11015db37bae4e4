# SPDX-License-Identifier: GPL-3.0-or-later
"""RDS instances of the emulator as real PostgreSQL servers.

Wraps functions of ``ministack.services.rds``. Data are in ``databases/<account>/<instance>`` of the state folder, final
and manual snapshots in ``databases/<account>/.snapshots/<snapshot>/data``: a data folder as it can be started again,
from a copy of which a restored instance begins. Backups by time are in ``database_backups``.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from sandbox import settings as ports
from sandbox.runtime import engine, errors, postgresql
from sandbox.runtime.containers import Container
from sandbox.runtime.database_backups import INHERITED, Backup
from sandbox.runtime.database_front import Front
from sandbox.runtime.postgresql import DatabaseError, Server
from sandbox.runtime.state import Answer, Runtime
from sandbox.settings import Settings

NEEDS = (
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    "ministack.services.cloudformation.provisioners._rds_db_instance_attrs",
    "ministack.services.cloudformation.provisioners._rds_db_instance_create",
    "ministack.services.cloudformation.provisioners._rds_db_instance_delete",
    "ministack.services.rds._ACTION_MAP",
    "ministack.services.rds._create_snapshot_internal",
    "ministack.services.rds._delete_db_instance",
    "ministack.services.rds._delete_db_snapshot",
    "ministack.services.rds._error",
    "ministack.services.rds._instances",
    "ministack.services.rds._is_host_port_free",
    "ministack.services.rds._next_port",
    "ministack.services.rds._p",
    "ministack.services.rds._port_lock",
    "ministack.services.rds._rds_docker_name",
    "ministack.services.rds._resolve_instance",
    "ministack.services.rds._restore_state",
    "ministack.services.rds._rotate_instance_password",
    "ministack.services.rds._single_instance_response",
    "ministack.services.rds._snapshots",
    "ministack.services.rds._start_db_instance",
    "ministack.services.rds._start_rds_container_for_instance",
    "ministack.services.rds._stop_db_instance",
    "ministack.services.rds._try_database_connect",
    "ministack.services.rds.get_account_id",
    "ministack.services.rds.get_state",
)

_log = logging.getLogger("sandbox.databases")

Created = tuple[str, dict[str, str]]

_PORTS = 80  # from the first one on; a sandbox has as many databases
_ELSEWHERE = Path("/var/lib/localgov-sandbox")
_IDENTITY_FILE = "resource-id"
_OWNER_FILE = "state-folder"
# Of an instance's record, until its server has begun: the ARN of a snapshot; whose backups, and as of when.
_RESTORED_FROM = "_sandbox_restored_from"
_RESTORED_AS_OF = "_sandbox_restored_as_of"
# Of an instance's record: whether its backups stay when it goes.
_KEEPS_BACKUPS = "_sandbox_keeps_backups"


@dataclass
class Database:
    """A server with what is known of it only in memory."""

    server: Server
    administrator_password: str = field(repr=False)


class Databases:
    """The wrapped functions and what they share."""

    def __init__(self, runtime: Runtime) -> None:
        from ministack.services import rds

        self._runtime = runtime
        self._settings = runtime.settings
        self._rds = rds
        self._databases: dict[int, Database] = {}  # by port
        self._front = Front(runtime.settings.server_certificate, runtime.settings.server_key)
        self._promised_ports: set[int] = set()
        self._start_container = rds._start_rds_container_for_instance
        self._connects = rds._try_database_connect
        self._snapshot = rds._create_snapshot_internal
        self._delete = rds._delete_db_instance
        self._delete_snapshot = rds._delete_db_snapshot
        self._state = rds.get_state
        self._restore = rds._restore_state

    def patch(self) -> None:
        rds = self._rds
        rds._next_port = self.next_port
        # A restarted database keeps its port although old connections to it are still in TIME_WAIT.
        rds._is_host_port_free = ports.is_free
        rds._try_database_connect = self.connects
        rds._rotate_instance_password = self.rotate_password
        rds._create_snapshot_internal = self.snapshot
        rds._start_rds_container_for_instance = self.start_container
        rds.get_state = self.state
        rds._restore_state = self.restore
        for action, name, function in (
            ("DeleteDBInstance", "_delete_db_instance", self.delete),
            ("DeleteDBSnapshot", "_delete_db_snapshot", self.delete_snapshot),
            ("StartDBInstance", "_start_db_instance", self.start),
            ("StopDBInstance", "_stop_db_instance", self.stop),
        ):
            setattr(rds, name, function)
            rds._ACTION_MAP[action] = function
        self._patch_templates()

    # The container

    def run(
        self,
        image: str,
        labels: dict[str, str],
        name: str,
        environment: dict[str, str],
        ports: dict[str, int],
        **_: object,
    ) -> Container:
        """``docker.containers.run`` for a database; returns when it answers."""
        account, region, identifier = labels["account_id"], labels["region"], labels.get("db_id", "")
        record = self._rds._instances.get_scoped(account, region, identifier)
        if record is None or "postgres" not in image:
            raise errors.ImageNotFound(f"the sandbox runs DB instances of the engine postgres only, not {image}")
        try:
            return self._run(record, account, region, identifier, name, labels, environment, next(iter(ports.values())))
        except DatabaseError as reason:
            raise errors.APIError(f"DB instance {identifier} in account {account}: {reason}") from reason

    def _run(
        self,
        record: dict[str, Any],
        account: str,
        region: str,
        identifier: str,
        name: str,
        labels: dict[str, str],
        environment: dict[str, str],
        port: int,
    ) -> Container:
        folder = self._folder(account, region, identifier)
        _make_passable(folder.parent)
        log = self._settings.state / "logs" / "databases" / f"{account}-{identifier}.log"
        server = self._server(folder, str(record.get("EngineVersion", "")), port, log)
        _set_aside(folder, str(record.get("DbiResourceId", "")))
        if not server.data.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._begin(server, record, environment)
            (folder / _IDENTITY_FILE).write_text(str(record.get("DbiResourceId", "")), encoding="utf-8")
        backup = self._backup(account, record["DbiResourceId"])
        _make_passable(backup.folder.parent)
        backup.begin(server, record)
        # Its log is archived as it is written: without a moment of its own it is described as reaching the present.
        record["LatestRestorableTime"] = ""
        database = Database(server, postgresql.new_password())
        postgresql.set_password(server, postgresql.ADMINISTRATOR, database.administrator_password)
        what = f"the database {identifier} of account {account}"
        launch = postgresql.launch(server, backup.settings())
        container = Container(name, labels, "postgres", what, launch, self._settings.state)
        self._databases[port] = database
        container.on_start(lambda: self._front.open(port, server.host))
        container.on_end(lambda: self._front.close(port))
        container.start()
        postgresql.await_ready(server, database.administrator_password, container)
        return container

    def _server(self, folder: Path, version: str, port: int, log: Path) -> Server:
        major, binaries = postgresql.installed(version)
        return Server(
            data=folder / "data",
            binaries=_reachable_copy(self._settings, binaries),
            major=major,
            host=f"{self._settings.task_network}.0.2",
            port=port,
            log=log,
            user=postgresql.unprivileged_user(),
        )

    def _begin(self, server: Server, record: dict[str, Any], environment: dict[str, str]) -> None:
        """Make the data folder: from what the instance is restored from, or else empty."""
        master, password = environment["POSTGRES_USER"], environment["POSTGRES_PASSWORD"]
        snapshot, point = record.pop(_RESTORED_FROM, None), record.pop(_RESTORED_AS_OF, None)
        if point is not None:
            source, moment = point
            self._backup(_place(record)[0], source).restore(server, datetime.fromisoformat(moment))
        elif snapshot is not None:
            copy = self._snapshot_folder(snapshot) / "data"
            if not copy.is_dir():
                raise DatabaseError(f"the data of the snapshot {snapshot} are not here: it was taken without a server")
            postgresql.copy_stopped(server, server.data, source=copy)
        else:
            postgresql.initialise(server, database=environment["POSTGRES_DB"], master=master, password=password)
            return
        postgresql.set_password(server, master, password)

    def start_container(self, identifier: str, record: dict[str, Any]) -> None:
        """After a restart of the emulator: start what ran, leave what was stopped."""
        if record.pop("_sandbox_stopped", False):
            record["DBInstanceStatus"] = "stopped"
        elif not self._runtime.closing:
            self._start_container(identifier, record)

    # What the API does with it

    def next_port(self) -> int:
        """The lowest port that no instance of any account has."""
        first = self._settings.database_port_base
        with self._rds._port_lock:
            taken = {record.get("_HostPort") for _, record in self._rds._instances.all_items()}
            taken |= self._promised_ports
            for port in range(first, first + _PORTS):
                if port not in taken and ports.is_free(port):
                    self._promised_ports.add(port)
                    return port
        raise DatabaseError(f"all database ports from {first} to {first + _PORTS - 1} are in use")

    def connects(self, host: str, port: int, engine_name: str, *credentials: object) -> bool:
        """Whether the database answers. The emulator may not know the master's password any more; this process is
        the database's administrator."""
        database = self._databases.get(int(port))
        if database is None:
            return bool(self._connects(host, port, engine_name, *credentials))
        return postgresql.is_ready(database.server, database.administrator_password)

    def rotate_password(self, record: dict[str, Any], _: str, password: str) -> None:
        database = self._databases.get(int(record.get("_HostPort") or 0))
        if database is None:
            return
        role, container = record["MasterUsername"], self._container(record)
        if container is not None and container.status == "running":
            postgresql.change_password(database.server, database.administrator_password, role, password)
        else:
            postgresql.set_password(database.server, role, password)

    def stop(self, parameters: dict[str, Any]) -> Answer:
        return self._change(parameters, "StopDBInstance", "available", "stopping", self._stop)

    def start(self, parameters: dict[str, Any]) -> Answer:
        return self._change(parameters, "StartDBInstance", "stopped", "starting", self._start)

    def delete(self, parameters: dict[str, Any]) -> Answer:
        """The emulator stops the server, then takes the final snapshot; the data go last."""
        record = self._rds._resolve_instance(self._rds._p(parameters, "DBInstanceIdentifier"))
        answer: Answer = self._delete(parameters)
        if record is not None and answer[0] < 400:
            self._remove(record)
        return answer

    def snapshot(self, identifier: str, record: dict[str, Any]) -> dict[str, Any]:
        snapshot: dict[str, Any] = self._snapshot(identifier, record)
        database = self._databases.get(int(record.get("_HostPort") or 0))
        if database is not None:
            container = self._container(record)
            target = self._snapshot_folder(snapshot["DBSnapshotArn"]) / "data"
            _make_passable(target.parent.parent)
            shutil.rmtree(target.parent, ignore_errors=True)
            if container is not None and container.status == "running":
                postgresql.copy_running(database.server, database.administrator_password, target)
            else:
                postgresql.copy_stopped(database.server, target)
        return snapshot

    def delete_snapshot(self, parameters: dict[str, Any]) -> Answer:
        snapshot = self._rds._snapshots.get(self._rds._p(parameters, "DBSnapshotIdentifier"))
        answer: Answer = self._delete_snapshot(parameters)
        if snapshot:
            shutil.rmtree(self._snapshot_folder(snapshot["DBSnapshotArn"]), ignore_errors=True)
        return answer

    def _change(
        self,
        parameters: dict[str, Any],
        action: str,
        expected: str,
        during: str,
        work: Callable[[dict[str, Any]], None],
    ) -> Answer:
        rds, refusal = self._rds, cast("Callable[..., Answer]", self._rds._error)
        identifier = rds._p(parameters, "DBInstanceIdentifier")
        record = rds._resolve_instance(identifier)
        if record is None:
            return refusal("DBInstanceNotFound", f"DBInstance {identifier} not found.", 404)
        if record.get("DBInstanceStatus") != expected:
            return refusal(
                "InvalidDBInstanceState",
                f"Instance {identifier} is in {record.get('DBInstanceStatus')} state, it has to be {expected}.",
                400,
            )
        record["DBInstanceStatus"] = during
        answer: Answer = rds._single_instance_response(f"{action}Response", f"{action}Result", record)
        threading.Thread(target=copy_context().run, args=(work, record), daemon=True).start()
        return answer

    def _stop(self, record: dict[str, Any]) -> None:
        container = self._container(record)
        if container is not None:
            container.stop()
        record["DBInstanceStatus"] = "stopped"

    def _start(self, record: dict[str, Any]) -> None:
        container, database = self._container(record), self._databases.get(int(record.get("_HostPort") or 0))
        if container is None or database is None:
            self._start_container(record["DBInstanceIdentifier"], record)
            return
        try:
            container.start()
            postgresql.await_ready(database.server, database.administrator_password, container)
        except (DatabaseError, errors.APIError):
            _log.exception("DB instance %s did not start", record["DBInstanceIdentifier"])
            record["DBInstanceStatus"] = "failed"
        else:
            record["DBInstanceStatus"] = "available"

    def _remove(self, record: dict[str, Any]) -> None:
        container, port = self._container(record), int(record.get("_HostPort") or 0)
        if container is not None:
            container.stop()
            engine.containers.forget(container)
        self._databases.pop(port, None)
        self._promised_ports.discard(port)
        account, region, identifier = _place(record)
        shutil.rmtree(self._folder(account, region, identifier), ignore_errors=True)
        if not record.get(_KEEPS_BACKUPS):
            shutil.rmtree(self._backup(account, record["DbiResourceId"]).folder, ignore_errors=True)

    def _container(self, record: dict[str, Any]) -> Container | None:
        account, region, identifier = _place(record)
        try:
            return engine.containers.get(self._rds._rds_docker_name(identifier, account, region))
        except errors.NotFound:
            return None

    # What outlives the emulator's process

    def state(self) -> dict[str, Any]:
        """What the emulator writes to disk, without passwords: the databases themselves know them."""
        state: dict[str, Any] = self._state()
        for record in state["instances"]._data.values():
            record.pop("_MasterUserPassword", None)
        return state

    def restore(self, data: dict[str, Any] | None, *, resume_runtime: bool = False) -> None:
        instances = getattr((data or {}).get("instances"), "_data", {})
        for record in instances.values():
            record["_sandbox_stopped"] = record.get("DBInstanceStatus") in ("stopped", "stopping")
        self._restore(data, resume_runtime=resume_runtime)

    # CloudFormation, which knows records only

    def _patch_templates(self) -> None:
        from ministack.services.cloudformation import provisioners

        handlers = provisioners._RESOURCE_HANDLERS["AWS::RDS::DBInstance"]
        create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

        def create_server(logical_id: str, properties: dict[str, Any], stack: str) -> Created:
            restored = self._restored(properties)
            physical_id, attributes = create(logical_id, {**properties, **restored}, stack)
            record = self._rds._instances[physical_id]
            record.update(restored)
            record[_KEEPS_BACKUPS] = _keeps_backups(properties)
            self._start_created(physical_id)
            return physical_id, {**attributes, **provisioners._rds_db_instance_attrs(record)}

        def update_server(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: object) -> Created:
            new_id, attributes = update(physical_id, old, new, *rest)
            record = self._rds._instances[new_id]
            record[_KEEPS_BACKUPS] = _keeps_backups(new)
            self._keep_endpoint(record)
            password = new.get("MasterUserPassword")
            if new_id == physical_id and password and password != old.get("MasterUserPassword"):
                self.rotate_password(record, "", password)
            return new_id, {**attributes, **provisioners._rds_db_instance_attrs(record)}

        def delete_server(physical_id: str, properties: dict[str, Any]) -> None:
            record = self._rds._instances.get(physical_id)
            delete(physical_id, properties)
            if record is not None:
                self._remove(record)

        handlers.update(create=create_server, update=update_server, delete=delete_server)
        # A replacement calls these by name.
        provisioners._rds_db_instance_create = create_server
        provisioners._rds_db_instance_delete = delete_server

    def _restored(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Of an instance that a template restores: from what, and what it has from there. Empty for any other.

        Restored, it has the source's master user and database; a template names neither then, as on AWS.
        """
        snapshot = str(properties.get("DBSnapshotIdentifier") or "").rsplit(":", 1)[-1]
        resource_id, moment = properties.get("SourceDbiResourceId"), properties.get("RestoreTime")
        if not snapshot and not resource_id:
            return {}
        for name in INHERITED:
            if name in properties:
                raise ValueError(f"{name} comes from what is restored: leave it out.")
        if resource_id:
            if snapshot or not moment:
                raise ValueError("Beside SourceDbiResourceId stands RestoreTime, and no DBSnapshotIdentifier.")
            as_of = datetime.fromisoformat(moment).astimezone(UTC)
            inherited = self._backup(self._rds.get_account_id(), resource_id).inherited(as_of)
            return {**inherited, _RESTORED_AS_OF: [resource_id, as_of.isoformat()]}
        known: dict[str, Any] | None = self._rds._snapshots.get(snapshot)
        if known is None:
            raise ValueError(f"DBSnapshot {snapshot} not found.")
        return {**{name: known[name] for name in INHERITED}, _RESTORED_FROM: known["DBSnapshotArn"]}

    def _start_created(self, identifier: str) -> None:
        record = self._rds._instances[identifier]
        if record.get("Engine") != "postgres" or record.get("DBClusterIdentifier"):
            return
        record["_HostPort"] = self.next_port()
        self._keep_endpoint(record)
        record["DBInstanceStatus"] = "creating"
        self._start_container(identifier, record)
        if record["DBInstanceStatus"] != "available":
            raise ValueError(f"DB instance {identifier} did not start: see the log of the sandbox")

    def _keep_endpoint(self, record: dict[str, Any]) -> None:
        if record.get("_HostPort"):
            record["Endpoint"] = {**record["Endpoint"], "Address": "127.0.0.1", "Port": record["_HostPort"]}

    def _folder(self, account: str, region: str, identifier: str) -> Path:
        # Identifiers contain no dots, so those of other regions cannot meet those of the sandbox's own.
        name = identifier if region == self._settings.region else f"{identifier}.{region}"
        return home(self._settings) / account / name

    def _backup(self, account: str, resource_id: str) -> Backup:
        return Backup(home(self._settings) / account / ".backups" / resource_id)

    def _snapshot_folder(self, arn: str) -> Path:
        _, _, _, region, account, _, identifier = arn.split(":", 6)
        name = identifier if region == self._settings.region else f"{identifier}.{region}"
        return home(self._settings) / account / ".snapshots" / name


def home(settings: Settings) -> Path:
    """Where databases are: in the state folder, or behind a link from there.

    As root, PostgreSQL runs as ``nobody``, whom a checkout below ``/root`` or a closed state folder shuts out; the
    databases are in /var/lib then.
    """
    folder = settings.state / "databases"
    if folder.is_dir():  # a link to a folder too
        return folder.resolve()
    folder.unlink(missing_ok=True)  # a link to nowhere
    folder.parent.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or _is_open_to_all(folder.parent):
        _make_passable(folder)
    else:
        shutil.rmtree(_elsewhere(settings), ignore_errors=True)  # of a sandbox that was reset
        elsewhere = _make_passable(_elsewhere(settings) / "databases")
        folder.symlink_to(elsewhere)
        # Last, because what has an owner's name and no link is taken for ownerless.
        (elsewhere.parent / _OWNER_FILE).write_text(str(settings.state), encoding="utf-8")
    return folder.resolve()


def remove_ownerless() -> list[str]:
    """Delete databases in /var/lib whose sandbox has been reset or deleted. Their folders."""
    removed = []
    for owner in _ELSEWHERE.glob(f"*/{_OWNER_FILE}"):
        with suppress(OSError):
            link = Path(owner.read_text(encoding="utf-8")) / "databases"
            if not link.exists() or link.resolve().parent != owner.parent:
                shutil.rmtree(owner.parent)
                removed.append(str(owner.parent))
    return removed


def remove_all(settings: Settings) -> None:
    """Delete every database with its snapshots, wherever they are. The sandbox must be stopped."""
    folder = settings.state / "databases"
    shutil.rmtree(folder.resolve(), ignore_errors=True)
    shutil.rmtree(_elsewhere(settings), ignore_errors=True)
    if folder.is_symlink():
        folder.unlink()


def _keeps_backups(properties: dict[str, Any]) -> bool:
    return str(properties.get("DeleteAutomatedBackups", "true")).lower() == "false"


def _make_passable(folder: Path) -> Path:
    """A folder that anybody may pass through and nobody else may list, whatever the umask is."""
    for place in reversed((folder, *folder.parents)):
        if not place.exists():
            place.mkdir()
            place.chmod(0o711)
    return folder


def _reachable_copy(settings: Settings, binaries: Path) -> Path:
    """The binaries where they are, or a copy where ``nobody`` may run them."""
    if os.geteuid() != 0 or _is_open_to_all(binaries):
        return binaries
    target = _elsewhere(settings) / binaries.name
    if not (target / "bin" / "postgres").is_file():
        draft = target.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        _make_passable(draft.parent)
        shutil.copytree(binaries, draft, symlinks=True)
        draft.rename(target)
    return target


def _elsewhere(settings: Settings) -> Path:
    return _ELSEWHERE / hashlib.sha256(str(settings.state).encode()).hexdigest()[:12]


def _is_open_to_all(folder: Path) -> bool:
    """Whether any user may pass through the folder and all above it."""
    resolved = folder.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))


def _set_aside(folder: Path, resource_id: str) -> None:
    """An instance that is made anew begins empty, as on AWS: keep what a lost predecessor of its name left."""
    if not (folder / "data").is_dir():
        return
    try:
        owner = (folder / _IDENTITY_FILE).read_text(encoding="utf-8")
    except OSError:
        owner = ""
    if owner != resource_id:
        aside = folder.with_name(f"{folder.name}.lost-{owner or 'unknown'}")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        _log.warning("Data of an instance that the emulator no longer knows were moved to %s", aside)


def _place(record: dict[str, Any]) -> tuple[str, str, str]:
    _, _, _, region, account, _, identifier = record["DBInstanceArn"].split(":", 6)
    return account, region, identifier
