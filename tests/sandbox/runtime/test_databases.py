# SPDX-License-Identifier: GPL-3.0-or-later
"""What RDS promises: a PostgreSQL with the password that was asked for, whose data outlive restarts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError

from sandbox.runtime import databases
from sandbox.settings import Settings
from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime.conftest import Account, account, eventually, kill_emulator, marked_processes

PASSWORD = "correct horse's battery"


def test_the_password_given_at_creation_is_the_real_one_and_no_other_is(camden: Account) -> None:
    endpoint = create(camden, "main")
    with connection(endpoint) as cursor:
        cursor.execute("SELECT current_user, current_database()")
        assert cursor.fetchone() == ("dagster", "runs")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(**endpoint, user="dagster", dbname="runs", password="wrong")


def test_the_master_user_is_no_superuser(camden: Account) -> None:
    with connection(create(camden, "plain")) as cursor:
        cursor.execute("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, True, True)
        cursor.execute("CREATE TABLE t (i int); INSERT INTO t VALUES (1)")


def test_connections_are_encrypted_and_the_certificate_is_of_the_sandboxs_authority(camden: Account) -> None:
    endpoint = create(camden, "tls")
    with connection(endpoint, sslmode="verify-full", sslrootcert=camden.sandbox.description["ca_bundle"]) as cursor:
        cursor.execute("SELECT repeat('x', 1000000)")
        assert len(cursor.fetchone()[0]) == 1_000_000
        assert cursor.connection.info.ssl_in_use
    with pytest.raises(psycopg2.OperationalError, match="must use TLS"):
        psycopg2.connect(**endpoint, user="dagster", dbname="runs", password=PASSWORD, sslmode="disable")


def test_the_password_is_in_no_command_line_no_environment_and_no_file(camden: Account) -> None:
    create(camden, "secretive")
    for pid in marked_processes(camden.sandbox.folder):
        for name in ("cmdline", "environ"):
            assert PASSWORD.encode() not in _content(Path(f"/proc/{pid}/{name}"))
    places = (camden.sandbox.folder, databases.home(_settings(camden.sandbox)))
    found = subprocess.run(["grep", "-rlF", PASSWORD, *map(str, places)], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_data_and_password_survive_a_restart_of_the_sandbox(own_machine: Sandbox) -> None:
    camden = account(own_machine)
    endpoint = create(camden, "kept")
    with connection(endpoint) as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 'still here' AS words")
    assert own_machine.run("stop").returncode == 0
    assert not marked_processes(own_machine.folder)
    saved = "".join(path.read_text(encoding="utf-8") for path in (own_machine.folder / "state").glob("*.json"))
    assert PASSWORD not in saved
    own_machine.start()
    assert available(camden, "kept")["Endpoint"]["Port"] == endpoint["port"]
    with connection(endpoint) as cursor:
        cursor.execute("SELECT words FROM kept")
        assert cursor.fetchone() == ("still here",)
    camden.client("rds").reboot_db_instance(DBInstanceIdentifier="kept")
    available(camden, "kept")
    camden.client("rds").modify_db_instance(DBInstanceIdentifier="kept", MasterUserPassword="another1")
    psycopg2.connect(**endpoint, user="dagster", dbname="runs", password="another1").close()


def test_a_database_of_a_killed_sandbox_is_ended_cleanly_and_its_data_are_put_aside(own_machine: Sandbox) -> None:
    camden = account(own_machine)
    with connection(create(camden, "lost")) as cursor:
        cursor.execute("CREATE TABLE old ()")
    kill_emulator(own_machine)
    assert marked_processes(own_machine.folder) or _postgres_of(camden)
    own_machine.start()
    assert not _postgres_of(camden)
    with connection(create(camden, "lost")) as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tablename = 'old'")
        assert cursor.fetchone() == (0,)
    assert list(databases.home(_settings(own_machine)).glob(f"{camden.id}/lost.lost-*"))


def test_a_stopped_instance_answers_nobody_until_it_is_started(camden: Account) -> None:
    rds, endpoint = camden.client("rds"), create(camden, "paused")
    with connection(endpoint) as cursor:
        cursor.execute("CREATE TABLE kept ()")
    assert rds.stop_db_instance(DBInstanceIdentifier="paused")["DBInstance"]["DBInstanceStatus"] == "stopping"
    available(camden, "paused", "stopped")
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(**endpoint, user="dagster", dbname="runs", password=PASSWORD)
    with pytest.raises(ClientError, match="InvalidDBInstanceState"):
        rds.stop_db_instance(DBInstanceIdentifier="paused")
    rds.start_db_instance(DBInstanceIdentifier="paused")
    available(camden, "paused")
    with connection(endpoint) as cursor:
        cursor.execute("SELECT * FROM kept")


def test_a_deleted_instance_leaves_its_final_snapshot_and_nothing_else(camden: Account) -> None:
    rds, name = camden.client("rds"), f"{camden.cluster}-gone"
    create(camden, name)
    rds.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier=f"{name}-final")
    snapshots = rds.describe_db_snapshots(DBSnapshotIdentifier=f"{name}-final")["DBSnapshots"]
    assert [snapshot["Status"] for snapshot in snapshots] == ["available"]
    home = databases.home(_settings(camden.sandbox)) / camden.id
    assert (home / ".snapshots" / f"{name}-final" / "data" / "PG_VERSION").is_file()
    assert not (home / name).exists()


def test_a_snapshot_of_a_running_instance_is_a_whole_copy(camden: Account) -> None:
    rds, name = camden.client("rds"), f"{camden.cluster}-running"
    create(camden, name)
    rds.create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=name)
    copy = databases.home(_settings(camden.sandbox)) / camden.id / ".snapshots" / name / "data"
    assert (copy / "backup_label").is_file()
    rds.delete_db_snapshot(DBSnapshotIdentifier=name)
    assert not copy.exists()


def test_a_stack_has_a_real_database_with_a_password_managed_in_secrets_manager(camden: Account) -> None:
    cloudformation, name = camden.client("cloudformation"), camden.cluster
    outputs = stack(camden, DBName="runs", MasterUsername="dagster")
    with connection({}, **login(camden, outputs)):
        pass
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(host=outputs["Host"], port=outputs["Port"], dbname="runs", user="x", password="x")


@pytest.mark.parametrize("running", [True, False], ids=["of a running instance", "final"])
def test_a_stack_restores_an_instance_with_the_rows_of_a_snapshot(camden: Account, running: bool) -> None:
    rds, name = camden.client("rds"), f"{camden.cluster}-lost"
    with connection(create(camden, name)) as cursor:
        cursor.execute("CREATE TABLE kept (i int); INSERT INTO kept SELECT generate_series(1, 1000)")
    snapshot = f"{name}-kept"
    if running:
        rds.create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=snapshot)
    rds.delete_db_instance(
        DBInstanceIdentifier=name, FinalDBSnapshotIdentifier=f"{name}-{'last' if running else 'kept'}"
    )
    outputs = stack(camden, DBInstanceIdentifier=name, DBSnapshotIdentifier=snapshot)
    with connection({}, **login(camden, outputs)) as cursor:
        cursor.execute("SELECT count(*), sum(i) FROM kept")
        assert cursor.fetchone() == (1000, 500500)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(host=outputs["Host"], port=outputs["Port"], dbname="runs", user="dagster", password=PASSWORD)


@pytest.mark.parametrize("version", ["16", "17"])
@pytest.mark.parametrize("last", [False, True], ids=["before the last change", "after the last change"])
def test_a_stack_brings_back_the_rows_that_a_deleted_instance_had_at_a_moment(
    camden: Account, last: bool, version: str
) -> None:
    cloudformation, name = camden.client("cloudformation"), f"{camden.cluster}-then"
    instance = {**named(name), "EngineVersion": version}
    endpoint = login(camden, stack(camden, DBName="runs", MasterUsername="dagster", **instance))
    lost = available(camden, name)["DbiResourceId"]
    with connection({}, **endpoint) as cursor:
        cursor.execute("CREATE TABLE kept (i int); INSERT INTO kept SELECT generate_series(1, 1000)")
        cursor.execute("SELECT clock_timestamp()")
        moment = cursor.fetchone()[0]
        if not last:
            cursor.execute("DELETE FROM kept WHERE i > 10")
    # To that moment one may go back at once.
    assert available(camden, name)["LatestRestorableTime"] >= moment.replace(microsecond=0)
    cloudformation.delete_stack(StackName=camden.cluster)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=camden.cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    restored = stack(camden, SourceDbiResourceId=lost, RestoreTime=moment.isoformat(), **instance)
    with connection({}, **login(camden, restored)) as cursor:
        cursor.execute("SELECT count(*), sum(i) FROM kept")
        assert cursor.fetchone() == (1000, 500500)
        # And it has backups of its own.
        cursor.execute("INSERT INTO kept VALUES (1001)")
    assert available(camden, name)["DbiResourceId"] != lost


def test_a_moment_before_the_backups_begin_is_refused(camden: Account) -> None:
    name = f"{camden.cluster}-young"
    stack(camden, DBName="runs", MasterUsername="dagster", **named(name))
    young = available(camden, name)["DbiResourceId"]
    with pytest.raises(AssertionError, match=f"automated backups of {young} begin at"):
        stack(
            camden,
            f"{camden.cluster}-b",
            SourceDbiResourceId=young,
            RestoreTime="2001-01-01T00:00:00Z",
            **named(f"{name}-b"),
        )


def named(name: str) -> dict[str, str]:
    return {"DBInstanceIdentifier": name, "DeleteAutomatedBackups": "false"}


def test_a_restored_instance_takes_its_master_user_from_the_snapshot(camden: Account) -> None:
    with pytest.raises(AssertionError, match="MasterUsername comes from what is restored"):
        stack(camden, MasterUsername="dagster", DBSnapshotIdentifier="any")


def stack(camden: Account, name: str = "", **properties: str) -> dict[str, str]:
    """Create a stack with a database, by default of the name of the test's cluster. Its outputs."""
    own = {
        "Engine": "postgres",
        "EngineVersion": "16",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": "20",
        "ManageMasterUserPassword": True,
        **properties,
    }
    template = {
        "Resources": {
            "Database": {"Type": "AWS::RDS::DBInstance", "DeletionPolicy": "Snapshot", "Properties": own},
        },
        "Outputs": {
            "Host": {"Value": {"Fn::GetAtt": ["Database", "Endpoint.Address"]}},
            "Port": {"Value": {"Fn::GetAtt": ["Database", "Endpoint.Port"]}},
            "Secret": {"Value": {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]}},
        },
    }
    cloudformation, name = camden.client("cloudformation"), name or camden.cluster
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return None if found["StackStatus"].endswith("IN_PROGRESS") else found

    made = eventually(ended, f"the end of the creation of {name}")
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    assert made["StackStatus"] == "CREATE_COMPLETE", [event.get("ResourceStatusReason") for event in events]
    return {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}


def login(camden: Account, outputs: dict[str, str]) -> dict[str, str]:
    """Where and how a stack's database is opened."""
    secret = json.loads(camden.client("secretsmanager").get_secret_value(SecretId=outputs["Secret"])["SecretString"])
    where = {"host": outputs["Host"], "port": outputs["Port"]}
    return {**where, "dbname": "runs", "user": secret["username"], "password": secret["password"]}


def create(camden: Account, name: str) -> dict[str, Any]:
    """A new instance with a database ``runs`` of the user ``dagster``. Where it answers."""
    camden.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        EngineVersion="16",
        AllocatedStorage=20,
        DBName="runs",
        MasterUsername="dagster",
        MasterUserPassword=PASSWORD,
    )
    endpoint = available(camden, name)["Endpoint"]
    return {"host": endpoint["Address"], "port": endpoint["Port"]}


def available(camden: Account, name: str, status: str = "available") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = camden.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        assert found["DBInstanceStatus"] != "failed", camden.sandbox.log()[-2000:]
        return found if found["DBInstanceStatus"] == status else None

    return eventually(look, f"the DB instance {name} to be {status}")


@contextmanager
def connection(endpoint: dict[str, Any], **more: str) -> Iterator[Any]:
    wanted: dict[str, Any] = {**endpoint, "user": "dagster", "dbname": "runs", "password": PASSWORD, **more}
    opened = psycopg2.connect(**wanted)
    opened.autocommit = True
    try:
        with opened.cursor() as cursor:
            yield cursor
    finally:
        opened.close()


def _postgres_of(camden: Account) -> list[Path]:
    """PostgreSQL writes over its environment, so it is found by its command line."""
    home = str(databases.home(_settings(camden.sandbox)) / camden.id)
    return [entry for entry in Path("/proc").glob("[0-9]*") if home.encode() in _content(entry / "cmdline")]


def _settings(sandbox: Sandbox) -> Settings:
    from dataclasses import replace

    from sandbox import settings

    return replace(settings.load(), state=sandbox.folder)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
