# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of an ECS task in the emulator: prepared, started, watched, stopped, cleared away.

Wraps functions of ``ministack.services.ecs``; the container itself is made by ``run``, which the emulator calls as
``docker.containers.run``.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sandbox.runtime import cloud_map, engine, errors, execution, file_systems, health, images, roles, rollouts, tasks
from sandbox.runtime.addresses import NoAddressError
from sandbox.runtime.containers import Container
from sandbox.runtime.state import Answer, Runtime
from sandbox.runtime.tasks import Task

NEEDS = (
    "ministack.core.concurrency.resource_lock",
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator.evaluate_resource_policy",
    "ministack.core.responses.request_scope",
    "ministack.services.ecs._ACTION_MAP",
    "ministack.services.ecs._attach_started_container",
    "ministack.services.ecs._bump_task_version",
    "ministack.services.ecs._cleanup_task_resources",
    "ministack.services.ecs._cluster_name_from_arn",
    "ministack.services.ecs._fail_task_start",
    "ministack.services.ecs._iso",
    "ministack.services.ecs._mark_task_running",
    "ministack.services.ecs._mark_task_stopped",
    "ministack.services.ecs._maybe_mark_stopped",
    "ministack.services.ecs._recount_cluster",
    "ministack.services.ecs._refresh_service_state",
    "ministack.services.ecs._resolve_cluster_name",
    "ministack.services.ecs._resolve_container_secrets",
    "ministack.services.ecs._resolve_task",
    "ministack.services.ecs._sanitize",
    "ministack.services.ecs._services",
    "ministack.services.ecs._start_task_worker",
    "ministack.services.ecs._stop_task",
    "ministack.services.ecs._task_is_active",
    "ministack.services.ecs._tasks",
    "ministack.services.ecs._ts_to_epoch",
    "ministack.services.ecs._watch_task_lifecycle",
    "ministack.services.ecs_metadata.handle_request",
    "ministack.services.ecs_metadata.set_all_container_status",
    "ministack.services.ecs_metadata.set_task_status",
    "ministack.services.iam._roles",
    "ministack.services.sts.register_session",
    *file_systems.NEEDS,
)

_TASK_LABEL = "com.amazonaws.ecs.task-arn"
_CONTAINER_LABEL = "com.amazonaws.ecs.container-name"
_ENDED_TASKS_KEPT = 3600.0  # seconds that a stopped task is still described, as on ECS
_FOLDERS_KEPT = 20  # of ended tasks of one family
_DEPENDENCY_SECONDS = 600.0  # that a container may take to end which another one waits for
_MAXIMUM_PERCENT = 200  # of the desired tasks that may run during a deployment, unless the service says less
_SUCCESSOR_WAIT = 150.0  # seconds: more than the longest stopTimeout


@dataclass(frozen=True)
class _Prepared:
    """What a task's containers are started with, from the worker thread that prepares it."""

    containers: dict[str, Task]
    secrets: dict[str, dict[str, str]]
    address: str
    platform: dict[str, str]


_prepared: ContextVar[_Prepared] = ContextVar("prepared")


class Lifecycle:
    """The wrapped functions and what they share."""

    def __init__(self, runtime: Runtime) -> None:
        from ministack.services import ecs

        self._runtime = runtime
        self._ecs = ecs
        self._start_worker = ecs._start_task_worker
        self._mark_stopped = ecs._mark_task_stopped
        self._mark_running = ecs._mark_task_running
        self._attach = ecs._attach_started_container

    def patch(self) -> None:
        ecs = self._ecs
        ecs._start_task_worker = self.start_worker
        ecs._mark_task_stopped = self.mark_stopped
        ecs._mark_task_running = self.mark_running
        ecs._attach_started_container = self.attach
        ecs._resolve_container_secrets = self.secrets
        ecs._stop_task = ecs._ACTION_MAP["StopTask"] = self.stop_task

    # Start

    def start_worker(
        self, record: dict[str, Any], definition: dict[str, Any], overrides: object, client: object
    ) -> None:
        """In the task's own thread: prepare, then let the emulator start its containers."""
        try:
            _prepared.set(self._prepare(record, definition))
        except (execution.StartError, NoAddressError) as reason:
            self._ecs._fail_task_start(record, client, str(reason))
            self._clear(record)
            return
        try:
            self._start_worker(record, definition, overrides, client)
        finally:
            if not self._ecs._task_is_active(record["taskArn"], record):  # stopped while it was starting
                self._clear(record)

    def secrets(self, container: dict[str, Any]) -> dict[str, str]:
        return _prepared.get().secrets[container["name"]]

    def run(self, image: str, labels: dict[str, str], name: str, environment: dict[str, str], **_: object) -> Container:
        """``docker.containers.run`` for a container of a task."""
        prepared = _prepared.get()
        task = prepared.containers[labels[_CONTAINER_LABEL]]
        self._await_dependencies(task)
        metadata = environment.get("ECS_CONTAINER_METADATA_URI_V4", "")
        platform = dict(prepared.platform)
        if metadata:
            platform["ECS_CONTAINER_METADATA_URI_V4"] = self._runtime.endpoint.metadata_url(
                metadata[metadata.index("/v4/") :]
            )
        try:
            launch = tasks.launch(
                self._runtime.settings,
                task,
                given=environment,
                platform=platform,
                address=prepared.address,
                namespaces=cloud_map.namespaces(),
                address_of=lambda host: self._runtime.addresses.of(f"{task.account}/{host}"),
            )
        except images.ImageError as reason:
            raise errors.APIError(f"{image}: {reason}") from reason
        container = tasks.container(self._runtime.settings, task, launch, name, labels)
        container.start()
        return container

    def _await_dependencies(self, task: Task) -> None:
        """Containers that this one ``dependsOn`` have come as far as it says; those have been started before it."""
        containers = {container.labels[_CONTAINER_LABEL]: container for container in self._containers(task.arn)}
        for dependency in task.container.get("dependsOn") or []:
            name, condition = dependency["containerName"], dependency["condition"]
            if condition == "HEALTHY":
                raise errors.APIError(f"the sandbox does not wait until a container is healthy, as {name} should be")
            if condition == "START":
                continue  # it was started before this one
            if name not in containers:
                raise errors.APIError(
                    f"container {name}, which {task.container['name']} depends on, is defined after it"
                )
            code = containers[name].wait(timeout=_DEPENDENCY_SECONDS)["StatusCode"]
            if condition == "SUCCESS" and code != 0:
                raise errors.APIError(f"dependent container {name} exited with code {code}")

    def attach(self, record: dict[str, Any], container: Container, index: int, *rest: object) -> bool:
        attached = bool(self._attach(record, container, index, *rest))
        task = _prepared.get().containers[container.labels[_CONTAINER_LABEL]]
        command = tasks.health_command(task, container.launch.address)
        if attached and command:
            health.watch(container, _check(task, command), lambda status: self._report_health(task, index, status))
        return attached

    def mark_running(self, arn: str, record: dict[str, Any]) -> bool:
        marked = bool(self._mark_running(arn, record))
        if marked:
            record["_running_since"] = time.time()
            task = next(iter(_prepared.get().containers.values()))
            cloud_map.register(task, self._service(record), _prepared.get().address)
        return marked

    def _prepare(self, record: dict[str, Any], definition: dict[str, Any]) -> _Prepared:
        arn, settings = record["taskArn"], self._runtime.settings
        containers = [_task(record, definition, entry) for entry in definition.get("containerDefinitions", [])]
        secrets = execution.prepare(settings, containers)
        service = self._service(record)
        name = tasks.keeps_address_as(containers[0], cloud_map.registered_name(service))
        # The successor waits until the predecessor has given its address back.
        wait = _SUCCESSOR_WAIT if service is not None and keeps_its_address(service) else 0.0
        address = self._runtime.addresses.lease(arn, name, wait=wait)
        return _Prepared(
            containers={task.container["name"]: task for task in containers},
            secrets=secrets,
            address=address,
            platform=self._platform(containers[0]),
        )

    def _platform(self, task: Task) -> dict[str, str]:
        """What ECS itself puts into the environment of a container."""
        settings = self._runtime.settings
        platform = {
            "AWS_REGION": task.region,
            "AWS_DEFAULT_REGION": task.region,
            "AWS_ENDPOINT_URL": settings.endpoint_url,
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if settings.endpoint_url.startswith("https:"):
            platform |= {"AWS_CA_BUNDLE": str(settings.ca_bundle), "NODE_EXTRA_CA_CERTS": str(settings.ca_bundle)}
        role = task.task_role
        if role:
            platform |= self._runtime.endpoint.grant(task.arn, lambda: roles.assume(role, task.arn).document())
        return platform

    def _report_health(self, task: Task, index: int, status: str) -> None:
        from ministack.core.responses import request_scope

        record = task.record
        record["containers"][index]["healthStatus"] = status
        record["healthStatus"] = status
        with request_scope(task.account, task.region):
            if self._service(record) is None:
                return
            if status == health.HEALTHY:
                rollouts.became_healthy(record, task.account, task.region)
            else:
                self.stop(record, "Task failed container health checks", "ServiceSchedulerInitiated")
                self._ecs._record_service_task_failure(record)

    # End

    def mark_stopped(
        self, arn: str, record: dict[str, Any], reason: str, stop_code: str, exit_code: int | None = None
    ) -> bool:
        """When the emulator finds that a task ended by itself or could not start."""
        if reason == "Essential container exited":
            # Each container that ended has its own exit code by now; the others get theirs when they have ended too.
            reason, exit_code = "Essential container in task exited", None
        cloud_map.deregister(arn.rsplit("/", 1)[-1], self._service(record))
        marked = bool(self._mark_stopped(arn, record, reason, stop_code, exit_code))
        if marked:
            self._in_background(record, self._clear)
        return marked

    def stop_task(self, data: dict[str, Any]) -> Answer:
        """StopTask, and how the service scheduler stops tasks: answers at once, as ECS does."""
        from ministack.core.responses import error_response_json, json_response

        ecs, refusal = self._ecs, cast("Callable[..., Answer]", error_response_json)
        cluster = ecs._resolve_cluster_name(data.get("cluster", "default"))
        if cluster is None:
            return refusal("ClusterNotFoundException", "Cluster not found.", 400)
        record = ecs._resolve_task(data.get("task", ""), cluster)
        if not record:
            return refusal("InvalidParameterException", "The referenced task was not found.", 400)
        self.stop(record, data.get("reason") or "Task stopped by user", "UserInitiated")
        answer: Answer = json_response({"task": ecs._sanitize(record)})
        return answer

    def stop(self, record: dict[str, Any], reason: str, stop_code: str) -> None:
        from ministack.core.concurrency import resource_lock
        from ministack.services import ecs_metadata

        ecs, arn = self._ecs, record["taskArn"]
        with resource_lock("ecs-task", arn):
            if not ecs._task_is_active(arn, record):
                return
            ecs._bump_task_version(record)
            record.update(
                desiredStatus="STOPPED",
                lastStatus="DEACTIVATING",
                stoppingAt=ecs._iso(),
                stoppedReason=reason,
                stopCode=stop_code,
            )
        ecs_metadata.set_task_status(arn, desired_status="STOPPED")
        cloud_map.deregister(arn.rsplit("/", 1)[-1], self._service(record))
        self._refresh(record)
        self._in_background(record, self._finish_stop)

    def _finish_stop(self, record: dict[str, Any]) -> None:
        from ministack.core.concurrency import resource_lock
        from ministack.services import ecs_metadata

        ecs, arn = self._ecs, record["taskArn"]
        self._clear(record)
        with resource_lock("ecs-task", arn):
            ecs._bump_task_version(record)
            record.update(lastStatus="STOPPED", stoppedAt=ecs._iso(), executionStoppedAt=ecs._iso())
            for container in record.get("containers", []):
                container["lastStatus"] = "STOPPED"
        ecs_metadata.set_task_status(arn, known_status="STOPPED")
        ecs_metadata.set_all_container_status(arn, "STOPPED")
        ecs._cleanup_task_resources(record, None)
        self._refresh(record)
        if self._service(record) is not None:  # whoever stopped it, the service wants its number of tasks
            cluster = ecs._cluster_name_from_arn(record["clusterArn"])
            ecs._reconcile_service_tasks(cluster, f"{cluster}/{record['group'].removeprefix('service:')}")

    def _clear(self, record: dict[str, Any]) -> None:
        """End what still runs of the task and give back what it holds. Safe to repeat."""
        arn = record["taskArn"]
        containers = self._containers(arn)
        stops = [threading.Thread(target=container.stop) for container in containers]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()
        codes = {container.labels[_CONTAINER_LABEL]: container.exit_code for container in containers}
        for entry in record.get("containers", []):
            if entry.get("exitCode") is None and codes.get(entry["name"]) is not None:
                entry["exitCode"] = codes[entry["name"]]
        for container in containers:
            engine.containers.forget(container)
            _tidy(container.launch.log.parent)
        self._runtime.endpoint.revoke(arn)
        self._runtime.addresses.release(arn)
        self._forget_old_tasks()

    def _in_background(self, record: dict[str, Any], action: Callable[[dict[str, Any]], None]) -> None:
        from ministack.core.responses import request_scope

        _, _, _, region, account, _ = record["taskArn"].split(":", 5)

        def run() -> None:
            with request_scope(account, region):
                action(record)

        threading.Thread(target=run, name=f"sandbox-task-{record['taskArn'][-8:]}", daemon=True).start()

    def _containers(self, arn: str) -> list[Container]:
        return engine.containers.list(all=True, filters={"label": f"{_TASK_LABEL}={arn}"})

    def _service(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """The service a task belongs to; within the task's account and region."""
        cluster, group = self._ecs._cluster_name_from_arn(record.get("clusterArn", "")), record.get("group") or ""
        if not group.startswith("service:"):
            return None
        service: dict[str, Any] | None = self._ecs._services.get(f"{cluster}/{group.removeprefix('service:')}")
        return service

    def _refresh(self, record: dict[str, Any]) -> None:
        cluster = self._ecs._cluster_name_from_arn(record.get("clusterArn", ""))
        if cluster:
            self._ecs._recount_cluster(cluster)
            self._ecs._refresh_service_state(cluster, record.get("group") or "")

    def _forget_old_tasks(self) -> None:
        """A service that fails all night would fill the memory with ended tasks."""
        limit = time.time() - _ENDED_TASKS_KEPT
        for arn, record in list(self._ecs._tasks.items()):
            stopped_at = self._ecs._ts_to_epoch(record.get("stoppedAt"))
            ended = record.get("lastStatus") == "STOPPED" and isinstance(stopped_at, int | float)
            if ended and stopped_at < limit:
                self._ecs._tasks.pop(arn, None)


def keeps_its_address(service: dict[str, Any]) -> bool:
    """Whether the only task of a service goes before its successor comes, at the same address.

    It does where no second task may run meanwhile, and where clients were given the address when they started.
    """
    maximum = int((service.get("deploymentConfiguration") or {}).get("maximumPercent", _MAXIMUM_PERCENT))
    alone = maximum < _MAXIMUM_PERCENT or bool(service.get("serviceRegistries"))
    return service.get("desiredCount") == 1 and alone


def _task(record: dict[str, Any], definition: dict[str, Any], container: dict[str, Any]) -> Task:
    overrides = (record.get("overrides") or {}).get("containerOverrides") or []
    own: dict[str, Any] = next((entry for entry in overrides if entry.get("name") == container["name"]), {})
    return Task(record["taskArn"], record, definition, container, own)


def _check(task: Task, command: list[str]) -> health.Check:
    wanted = task.container["healthCheck"]
    return health.Check(
        command,
        interval=float(wanted.get("interval") or health.Check.interval),
        timeout=float(wanted.get("timeout") or health.Check.timeout),
        retries=int(wanted.get("retries") or health.Check.retries),
        start_period=float(wanted.get("startPeriod") or health.Check.start_period),
    )


def _tidy(folder: Path) -> None:
    """Keep an ended task's log, drop its home, and drop the oldest folders of its family."""
    for name in ("home", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
    family = folder.name[:-37]  # without the task's id
    ended = [
        sister
        for sister in folder.parent.glob(f"{family}-*")
        if sister.name[:-37] == family and not (sister / "home").exists()
    ]
    for sister in sorted(ended, key=lambda path: path.stat().st_mtime)[:-_FOLDERS_KEPT]:
        shutil.rmtree(sister, ignore_errors=True)
