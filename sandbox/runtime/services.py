# SPDX-License-Identifier: GPL-3.0-or-later
"""The service scheduler of the emulator: restarts with back-off, deployments of a service of one task in place."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from typing import Any

from sandbox.runtime import engine
from sandbox.runtime.lifecycle import Lifecycle, keeps_its_address
from sandbox.runtime.state import Answer, Runtime

NEEDS = (
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.core.responses.new_uuid",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    "ministack.services.cloudformation.provisioners._pascal_to_camel",
    "ministack.services.ecs._PRE_STOP_STATUSES",
    "ministack.services.ecs._create_service",
    "ministack.services.ecs._deployment_for_task",
    "ministack.services.ecs._primary_deployment",
    "ministack.services.ecs._reconcile_service_tasks",
    "ministack.services.ecs._record_service_task_failure",
)

_EVENTS_KEPT = 100  # as ECS describes
_STOP_LIMIT = 150.0  # seconds: more than the longest stopTimeout

# Properties of AWS::ECS::Service that the emulator's CloudFormation does not hand to the service.
_FORGOTTEN_PROPERTIES = {
    "ServiceRegistries": "serviceRegistries",
    "HealthCheckGracePeriodSeconds": "healthCheckGracePeriodSeconds",
    "EnableExecuteCommand": "enableExecuteCommand",
    "PropagateTags": "propagateTags",
    "PlatformVersion": "platformVersion",
}
_from_template: ContextVar[dict[str, Any] | None] = ContextVar("from_template", default=None)


class Scheduler:
    """The wrapped functions and what they share."""

    def __init__(self, runtime: Runtime, lifecycle: Lifecycle) -> None:
        from ministack.services import ecs

        self._runtime = runtime
        self._lifecycle = lifecycle
        self._ecs = ecs
        self._timers: dict[tuple[str, ...], threading.Timer] = {}
        self._reconcile = ecs._reconcile_service_tasks
        self._record_failure = ecs._record_service_task_failure
        self._create = ecs._create_service

    def patch(self) -> None:
        from ministack.services.cloudformation import provisioners

        self._ecs._reconcile_service_tasks = self.reconcile
        self._ecs._record_service_task_failure = self.record_failure
        self._ecs._create_service = self.create
        handlers = provisioners._RESOURCE_HANDLERS["AWS::ECS::Service"]
        create, update, delete = handlers["create"], handlers["update"], handlers["delete"]

        def create_from_template(logical_id: str, properties: dict[str, Any], stack: str) -> object:
            names = _FORGOTTEN_PROPERTIES.items()
            given = {own: properties[name] for name, own in names if name in properties}
            token = _from_template.set(provisioners._pascal_to_camel(given))
            try:
                return create(logical_id, properties, stack)
            finally:
                _from_template.reset(token)

        def update_as_a_whole(
            physical_id: str, before: dict[str, Any], properties: dict[str, Any], stack: str
        ) -> object:
            """Whatever changes, CloudFormation sets the count that a template has, and leaves it alone otherwise."""
            counted = {name: value for name, value in before.items() if name != "DesiredCount"}
            return update(physical_id, counted, properties, stack)

        def delete_and_wait(physical_id: str, properties: dict[str, Any]) -> None:
            delete(physical_id, properties)
            self._await_end(physical_id)

        handlers.update(create=create_from_template, update=update_as_a_whole, delete=delete_and_wait)

    def create(self, data: dict[str, Any]) -> Answer:
        answer: Answer = self._create({**data, **(_from_template.get() or {})})
        return answer

    def reconcile(self, cluster: str, key: str) -> None:
        """Let the emulator start and stop tasks, unless the service waits after a failure or the sandbox ends."""
        service = self._ecs._services.get(key)
        if self._runtime.closing:
            return
        if service is not None and service.get("status") == "ACTIVE":
            self._make_room(service)
            remaining = self._runtime.back_off.remaining(self._scope(key), self._deployment(service))
            if remaining and len(self._live_tasks(service)) < int(service.get("desiredCount") or 0):
                self._later(cluster, key, remaining)
                self._ecs._refresh_service_state(cluster, f"service:{service['serviceName']}")
                return
        self._reconcile(cluster, key)

    def record_failure(self, record: dict[str, Any], digest_resolution_failed: bool = False) -> None:
        """A task ended by itself or could not start: note how long the service has to wait now."""
        service = self._lifecycle._service(record)
        key = self._key(record)
        if service is not None and key and not digest_resolution_failed:
            since = record.get("_running_since")
            ran = time.time() - since if since else 0.0
            delay = self._runtime.back_off.failed(self._scope(key), self._deployment(service), ran)
            self._event(service, record, delay)
        self._record_failure(record, digest_resolution_failed)

    def _make_room(self, service: dict[str, Any]) -> None:
        """The task of the old deployment goes before the new one comes, where they share an address."""
        primary = self._ecs._primary_deployment(service)
        if primary is None or not keeps_its_address(service):
            return
        for record in self._live_tasks(service):
            if self._ecs._deployment_for_task(service, record) is not primary:
                self._lifecycle.stop(record, "Replaced by a newer deployment", "ServiceSchedulerInitiated")

    def _later(self, cluster: str, key: str, seconds: float) -> None:
        from ministack.core.responses import request_scope

        scope = self._scope(key)
        waiting = self._timers.get(scope)
        if waiting is not None and waiting.is_alive():
            return

        def again() -> None:
            self._timers.pop(scope, None)
            with request_scope(scope[0], scope[1]):
                self._ecs._reconcile_service_tasks(cluster, key)

        timer = threading.Timer(seconds + 0.01, again)
        timer.daemon = True
        self._timers[scope] = timer
        timer.start()

    def _event(self, service: dict[str, Any], record: dict[str, Any], delay: float) -> None:
        from ministack.core.responses import new_uuid

        name, task = service["serviceName"], record["taskArn"].rsplit("/", 1)[-1]
        codes = [entry["exitCode"] for entry in record.get("containers", []) if entry.get("exitCode") is not None]
        ended = f"exit code {', '.join(map(str, codes))}" if codes else record.get("stoppedReason") or "failed"
        message = f"(service {name}) (task {task}) has stopped: {ended}. The next task starts in {delay:.0f} s."
        service["events"].insert(0, {"id": new_uuid(), "createdAt": self._ecs._iso(), "message": message})
        del service["events"][_EVENTS_KEPT:]

    def _live_tasks(self, service: dict[str, Any]) -> list[dict[str, Any]]:
        group, cluster = f"service:{service['serviceName']}", service.get("clusterArn")
        return [
            record
            for record in list(self._ecs._tasks.values())
            if record.get("group") == group
            and record.get("clusterArn") == cluster
            and record.get("lastStatus") in self._ecs._PRE_STOP_STATUSES
        ]

    def _await_end(self, service_arn: str) -> None:
        """CloudFormation deletes what a service uses only after its tasks have ended."""
        _, _, _, _, account, resource = service_arn.split(":", 5)
        _, cluster, name = resource.split("/")
        arns = [
            record["taskArn"]
            for record in list(self._ecs._tasks.values())
            if record.get("group") == f"service:{name}" and f":{account}:cluster/{cluster}" in record["clusterArn"]
        ]
        deadline = time.monotonic() + _STOP_LIMIT
        for container in engine.containers.list():
            if container.labels.get("com.amazonaws.ecs.task-arn") in arns:
                container.wait(max(0.0, deadline - time.monotonic()))

    def _key(self, record: dict[str, Any]) -> str | None:
        cluster, group = self._ecs._cluster_name_from_arn(record.get("clusterArn", "")), record.get("group") or ""
        return f"{cluster}/{group.removeprefix('service:')}" if cluster and group.startswith("service:") else None

    def _deployment(self, service: dict[str, Any]) -> str:
        return str((self._ecs._primary_deployment(service) or {}).get("id", ""))

    def _scope(self, key: str) -> tuple[str, ...]:
        from ministack.core.responses import get_account_id, get_region

        return get_account_id(), get_region(), key
