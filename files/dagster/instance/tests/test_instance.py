# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance as its services load it: a real PostgreSQL, a real code server, an emulated ECS."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorType
from dagster._core.test_utils import create_run_for_test
from localgov_dagster_instance import __main__ as service
from localgov_dagster_instance import database as logins
from localgov_dagster_instance import starts
from processes import ACCOUNT, REGION, emulator, free_port, listens, postgresql, wait_until

SOURCE = Path(__file__).parent.parent / "src"
CODE_LOCATION = """
import dagster as dg

@dg.op
def greet(): ...

@dg.job
def greeting():
    greet()

@dg.sensor(job=greeting, minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def visitor():
    yield dg.RunRequest(run_key="the only visitor")

definitions = dg.Definitions(jobs=[greeting], sensors=[visitor])
"""


@pytest.fixture(scope="module")
def database() -> Iterator[dict[str, str]]:
    with postgresql() as variables:
        yield variables


@pytest.fixture(scope="module")
def task_environment(database: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a task of the webserver or daemon finds in its environment (docs/concepts.md, section 5)."""
    with ExitStack() as stack:
        endpoint = stack.enter_context(emulator(tmp_path_factory.mktemp("emulator")))
        host, port = "127.0.0.1", free_port()
        stack.enter_context(code_server(tmp_path_factory.mktemp("code"), host, port))
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
        yield {
            **kept,
            **database,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "CODE_SERVER_HOST": host,
            "CODE_SERVER_PORT": str(port),
            "RUN_CLUSTER": "localgov",
            "RUN_TASK_DEFINITION": "localgov-run",
            "RUN_CAPACITY_PROVIDER": "FARGATE_SPOT",
            "RUN_SUBNETS": "subnet-1,subnet-2",
            "RUN_SECURITY_GROUP": "sg-1",
            "PYTHONPATH": str(SOURCE),
        }


@contextmanager
def code_server(folder: Path, host: str, port: int) -> Iterator[None]:
    (folder / "location.py").write_text(CODE_LOCATION)
    arguments = ["-m", "dagster", "api", "grpc", "-m", "location", "-a", "definitions", "-h", host, "-p", str(port)]
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder)
    try:
        wait_until(lambda: listens(port, host), "the code server listens")
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def instance(task_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name, value in {**task_environment, **service.settings(task_environment)}.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(service.HOME)) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def ecs(task_environment: dict[str, str]) -> Any:  # noqa: ANN401
    client = boto3.client(
        "ecs",
        endpoint_url=task_environment["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="test",
    )
    client.create_cluster(clusterName="localgov")
    client.register_task_definition(
        family="localgov-run",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="512",
        memory="1024",
        containerDefinitions=[{"name": "run", "image": "run:1", "command": ["true"]}],
    )
    return client


@contextmanager
def started(name: str, environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "localgov_dagster_instance", name]
    process = subprocess.Popen(command, env=environment, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) is not None
        assert {path.name for path in service.HOME.iterdir()} == {"dagster.yaml", "workspace.yaml"}


def test_storage_is_in_postgresql(instance: dg.DagsterInstance) -> None:
    import dagster_postgres

    assert isinstance(instance.run_storage, dagster_postgres.PostgresRunStorage)
    assert instance.get_runs_count() >= 0


def test_runs_are_launched_as_the_fixed_task_in_the_network_from_the_environment(
    instance: dg.DagsterInstance,
    ecs: Any,  # noqa: ANN401
) -> None:
    launcher: Any = instance.run_launcher
    assert launcher.task_definition.endswith("task-definition/localgov-run:1")
    assert launcher.secrets_tags == []
    assert launcher.run_task_kwargs == {
        "cluster": "localgov",
        "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        "propagateTags": "TASK_DEFINITION",
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": ["subnet-1", "subnet-2"],
                "securityGroups": ["sg-1"],
                "assignPublicIp": "DISABLED",
            }
        },
    }


def test_runs_are_watched_retried_and_limited_and_ticks_are_forgotten(instance: dg.DagsterInstance) -> None:
    assert (instance.run_monitoring_enabled, instance.run_monitoring_poll_interval_seconds) == (True, 20)
    assert instance.run_monitoring_start_timeout_seconds == 300
    assert instance.run_monitoring_max_runtime_seconds == 3600
    assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 2)
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 5
    one_at_a_time = {limit["key"] for limit in queue.tag_concurrency_limits if limit["limit"] == 1}
    assert one_at_a_time == {"localgov/submission", "localgov/regional_table"}
    days = instance.get_tick_retention_settings(InstigatorType.SENSOR)
    assert {status.name: kept for status, kept in days.items()}["SKIPPED"] == 1
    assert not instance.telemetry_enabled


def test_how_many_runs_an_account_has_at_once_is_said_by_its_environment(
    task_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**task_environment, "RUNS_AT_ONCE": "2"}
    for name, value in {**given, **service.settings(given)}.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(service.HOME)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2


def test_the_reference_that_a_run_gets_names_variables_and_no_secret(
    instance: dg.DagsterInstance, database: dict[str, str]
) -> None:
    reference = repr(instance.get_ref())
    assert "DAGSTER_PG_PASSWORD" in reference
    assert database["DAGSTER_PG_PASSWORD"] not in reference


def test_the_daemon_starts_one_task_for_a_request_says_that_it_lives_and_keeps_its_connections(
    task_environment: dict[str, str],
    ecs: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    environment = {**task_environment, "TMPDIR": str(tmp_path)}

    def alive() -> bool:
        command = [sys.executable, "-m", "localgov_dagster_instance", "check-daemon"]
        return subprocess.run(command, env=environment, cwd=tmp_path, check=False).returncode == 0

    assert not alive()
    with started("daemon", environment, tmp_path):
        wait_until(lambda: bool(tasks(ecs)), "a task is started")
        wait_until(alive, "the daemon has a heartbeat")
        wait_until(lambda: lasting_connections(task_environment) > 0, "a connection is kept")
    # Of what it told last, nobody knows after a while whether it is still true.
    os.utime(tmp_path / "daemon-lives", (time.time() - 600,) * 2)
    assert not alive()
    (task,) = tasks(ecs)
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == "run"
    assert override["command"][:3] == ["dagster", "api", "execute_run"]
    # ECS takes 8192 characters of overrides. Our code location's names are not much longer than these.
    assert len(str(task["overrides"])) < 5000


def test_a_run_whose_task_ended_before_it_began_gives_its_place_up(
    task_environment: dict[str, str],
    instance: dg.DagsterInstance,
    ecs: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    ended, goes_on = starting(instance, ecs), starting(instance, ecs)
    ecs.stop_task(cluster="localgov", task=ended.tags["ecs/task_arn"])

    with started("daemon", task_environment, tmp_path):
        wait_until(lambda: status(instance, ended) == dg.DagsterRunStatus.FAILURE, "the run is failed", 180)

    assert status(instance, goes_on) == dg.DagsterRunStatus.STARTING


def test_a_run_that_got_no_task_is_not_waited_for_longer_than_a_launch_takes(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create_run_for_test(instance, job_name="greeting", status=dg.DagsterRunStatus.STARTING)
    (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))

    assert not starts.never_begins(instance, record)
    monkeypatch.setattr(starts, "_LAUNCH_SECONDS", 0)
    assert starts.never_begins(instance, record)
    instance.report_run_failed(run)
    assert not starts.never_begins(instance, record), "it has ended since it was listed"


def starting(instance: dg.DagsterInstance, ecs: Any) -> dg.DagsterRun:  # noqa: ANN401
    """A run with a task, as the launcher leaves it."""
    (task,) = ecs.run_task(cluster="localgov", taskDefinition="localgov-run")["tasks"]
    tags = {"ecs/cluster": task["clusterArn"], "ecs/task_arn": task["taskArn"]}
    run: dg.DagsterRun = create_run_for_test(
        instance, job_name="greeting", status=dg.DagsterRunStatus.STARTING, tags=tags
    )
    return run


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def lasting_connections(environment: dict[str, str]) -> int:
    """How many connections have been open for longer than any query of Dagster's takes."""
    with closing(logins.connect(environment, logins.APPLICATION)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE usename = current_user AND backend_start < now() - interval '5 seconds'"
        )
        ((number,),) = cursor.fetchall()
    return int(number)


def tasks(ecs: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    listed = {
        arn
        for state in ("RUNNING", "STOPPED")
        for arn in ecs.list_tasks(cluster="localgov", desiredStatus=state)["taskArns"]
    }
    if not listed:
        return []
    described: list[dict[str, Any]] = ecs.describe_tasks(cluster="localgov", tasks=sorted(listed))["tasks"]
    return described


def test_the_webserver_listens_on_its_own_address_only_and_ends_when_told(
    task_environment: dict[str, str], tmp_path: Path
) -> None:
    address, port = "127.45.0.1", int(service.WEBSERVER_PORT)
    with started("webserver", {**task_environment, "BIND_ADDRESS": address}, tmp_path) as process:
        wait_until(lambda: listens(port, address) or process.poll() is not None, "the webserver listens")
        assert listens(port, address)
        assert not listens(port, "127.45.0.2")


def test_a_start_waits_for_the_database_and_says_so(
    database: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    late = {**database, "DAGSTER_PG_PORT": str(free_port())}
    ready = threading.Timer(1.5, late.update, [database])
    ready.start()
    started_at = time.monotonic()
    assert service.wait_for("the database", lambda: service.database_answers(late), 30) is None
    assert time.monotonic() - started_at > 1
    assert "Waiting for the database" in capfd.readouterr().err


def test_a_database_that_never_answers_is_named_without_its_password(database: dict[str, str]) -> None:
    absent = {**database, "DAGSTER_PG_PORT": str(free_port())}
    reason = service.wait_for("the database", lambda: service.database_answers(absent), 0)
    assert reason is not None
    assert database["DAGSTER_PG_PASSWORD"] not in reason


def test_a_hosted_code_location_is_found_by_the_service_that_serves_it() -> None:
    environment = {"HOSTED_CODE_LOCATIONS": "census,new_town"}
    servers = [entry["grpc_server"] for entry in service.hosted_workspace(environment)["load_from"]]
    assert [server["location_name"] for server in servers] == ["census", "new_town"]
    assert servers[1]["host"] == {"env": "NEW_TOWN_CODE_HOST"}
    assert str(service.HOSTED_WORKSPACE) in service.command("daemon", environment)
    assert str(service.HOSTED_WORKSPACE) not in service.command("daemon", {})


def test_an_unknown_service_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(SystemExit, match="webserver, daemon"):
        service.command("no-such", {})


def test_the_database_is_reached_by_the_driver_that_is_installed(instance: dg.DagsterInstance) -> None:
    storage: Any = instance.run_storage
    assert storage.postgres_url.startswith("postgresql+psycopg2://")
