# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack is done when its services are steady, and fails when one of them does not become so, as on AWS.

Services of a stack start side by side, as CloudFormation makes what does not depend on each other: the last of them in
the stack's order waits for all. What waits has a thread of its own, so the emulator answers meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sandbox.runtime.state import Runtime

NEEDS = (
    "ministack.services.cloudformation._stacks",
    "ministack.services.cloudformation.load_persisted_state",
    "ministack.services.cloudformation.stacks._add_event",
    "ministack.services.cloudformation.stacks._failed_operation",
    "ministack.services.cloudformation.stacks._provision_keeping_seed",
    "ministack.services.cloudformation.stacks._runs_on_worker_thread",
    "ministack.services.cloudformation.stacks._sends_back_failed_update",
    "ministack.services.cloudformation.stacks._topological_sort",
    "ministack.services.cloudformation.stacks._update_keeping_seed",
    "ministack.services.cloudformation.stacks._update_resource",
    "ministack.services.cloudformation.stacks.now_iso",
    "ministack.services.ecs._primary_deployment",
    "ministack.services.ecs._services",
)

_SERVICE = "AWS::ECS::Service"
# CloudFormation waits for three hours; nobody does here.
_LIMIT = 1200.0  # seconds
_PAUSE = 0.2  # seconds
_BREAKER = "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'."
_UNSTEADY = f"The service was not steady after {_LIMIT:.0f} seconds."

# What an interrupted operation counts as: one after which the stack can be updated, or else deleted.
_INTERRUPTED = {"UPDATE": "UPDATE_ROLLBACK_COMPLETE", "DELETE": "DELETE_FAILED"}


@dataclass(frozen=True)
class _Begun:
    logical_id: str
    service: dict[str, Any]  # as ECS knows it
    deployment: dict[str, Any]
    verb: str  # CREATE or UPDATE


@dataclass
class _Operation:
    """One creation or update of a stack."""

    last: str  # the service that waits for all
    begun: list[_Begun] = field(default_factory=list)
    made_in_vain: list[str] = field(default_factory=list)  # logical ids of services that are there, and failed


_operation: ContextVar[_Operation | None] = ContextVar("operation", default=None)
# Whether a resource is brought forward, and not back to what it was.
_forward: ContextVar[bool] = ContextVar("forward", default=False)


class SteadyServices:
    """The wrapped functions and what they share."""

    def __init__(self, runtime: Runtime) -> None:
        from ministack.services import ecs
        from ministack.services.cloudformation import stacks

        self._runtime, self._ecs, self._stacks = runtime, ecs, stacks
        self._sort = stacks._topological_sort
        self._provision = stacks._provision_keeping_seed
        self._update = stacks._update_keeping_seed
        self._update_resource = stacks._update_resource
        self._failed_operation = stacks._failed_operation

    def patch(self) -> None:
        stacks = self._stacks
        stacks._runs_on_worker_thread = _or_service(stacks._runs_on_worker_thread)
        # Its deployment was rolled back by ECS, but what else the update changed was not.
        stacks._sends_back_failed_update = _or_service(stacks._sends_back_failed_update)
        stacks._topological_sort = self.sort
        stacks._provision_keeping_seed = self.provision
        stacks._update_keeping_seed = self.update
        stacks._update_resource = self.update_resource
        stacks._failed_operation = self.failed_operation
        _end_what_was_interrupted()

    def sort(self, resources: dict[str, Any], conditions: dict[str, bool]) -> list[str]:
        """The order of an operation, from which it is known which service comes last."""
        order: list[str] = self._sort(resources, conditions)
        services = [
            name
            for name in order
            if resources[name].get("Type") == _SERVICE and conditions.get(resources[name].get("Condition"), True)
        ]
        _operation.set(_Operation(services[-1]) if services else None)
        return order

    def provision(self, kind: str, logical_id: str, properties: dict[str, Any], stack: str) -> object:
        answer = self._provision(kind, logical_id, properties, stack)
        if kind == _SERVICE:
            arn, attributes = answer[0]
            self._note(logical_id, arn, "CREATE")
            try:
                self._wait_after_the_last(logical_id, stack)
            except ValueError:
                self._keep(stack, logical_id, {"PhysicalResourceId": arn, "Attributes": attributes}, properties)
                raise
        return answer

    def _keep(self, stack: str, logical_id: str, known: dict[str, Any], properties: dict[str, Any]) -> None:
        """A service that failed is the stack's, and goes with it; as shipped it would stay in its successor's way."""
        from ministack.services.cloudformation import _stacks

        _stacks[stack]["_resources"][logical_id] = {
            **known,
            "LogicalResourceId": logical_id,
            "ResourceType": _SERVICE,
            "ResourceStatus": "CREATE_FAILED",
            "Properties": properties,
            "Timestamp": self._stacks.now_iso(),
        }
        operation = _operation.get()
        if operation is not None:
            operation.made_in_vain.append(logical_id)

    def failed_operation(self, is_update: bool, previous: object, created: list[str], *rest: object) -> object:
        """What a rollback needs to know: it takes back a service that failed, too."""
        operation = _operation.get()
        more = operation.made_in_vain if operation is not None else []
        return self._failed_operation(is_update, previous, [*created, *more], *rest)

    def update(
        self, kind: str, arn: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str, *rest: object
    ) -> object:
        token = _forward.set(True)
        try:
            answer = self._update(kind, arn, old, new, stack, logical_id, *rest)
        finally:
            _forward.reset(token)
        if kind == _SERVICE:
            if old != new:
                self._note(logical_id, answer[0][0], "UPDATE")
            self._wait_after_the_last(logical_id, stack)
        return answer

    def update_resource(self, kind: str, arn: str, old: dict[str, Any], new: dict[str, Any], *rest: object) -> object:
        """An update of one resource; one that sends a service back waits for it alone."""
        answer = self._update_resource(kind, arn, old, new, *rest)
        if kind == _SERVICE and not _forward.get() and old != new:
            begun = self._begun("", answer[0], "UPDATE")
            if reason := self._await([begun]).get(""):
                raise ValueError(reason)
        return answer

    def _note(self, logical_id: str, arn: str, verb: str) -> None:
        operation = _operation.get()
        if operation is not None:
            operation.begun.append(self._begun(logical_id, arn, verb))

    def _begun(self, logical_id: str, arn: str, verb: str) -> _Begun:
        service = self._ecs._services[arn.split(":service/", 1)[1]]
        return _Begun(logical_id, service, self._ecs._primary_deployment(service), verb)

    def _wait_after_the_last(self, logical_id: str, stack: str) -> None:
        operation = _operation.get()
        if operation is None or logical_id != operation.last:
            return
        failures = self._await(operation.begun)
        if not failures:
            return
        for begun in operation.begun:
            if begun.logical_id in failures and begun.logical_id != logical_id:
                self._report(stack, begun, failures[begun.logical_id])
        verb = "create" if any(begun.verb == "CREATE" for begun in operation.begun) else "update"
        raise ValueError(failures.get(logical_id, f"Resource {verb} cancelled"))

    def _await(self, begun: list[_Begun]) -> dict[str, str]:
        """Wait until all are steady or one has failed. Logical id to why it failed."""
        deadline = time.monotonic() + _LIMIT
        while not self._runtime.closing:
            failures = {one.logical_id: reason for one in begun if (reason := _failure(one))}
            waiting = [one for one in begun if not self._is_steady(one.service)]
            if failures or not waiting:
                return failures
            if time.monotonic() > deadline:
                return {one.logical_id: _UNSTEADY for one in waiting}
            time.sleep(_PAUSE)
        return {one.logical_id: "The sandbox was stopped." for one in begun}

    def _is_steady(self, service: dict[str, Any]) -> bool:
        # Not of the deployment that was begun: a person's own one may have taken its place.
        return bool(self._ecs._primary_deployment(service)["rolloutState"] == "COMPLETED")

    def _report(self, stack: str, begun: _Begun, reason: str) -> None:
        from ministack.services.cloudformation import _stacks

        arn = begun.service["serviceArn"]
        self._stacks._add_event(
            _stacks[stack]["StackId"], stack, begun.logical_id, _SERVICE, f"{begun.verb}_FAILED", reason, arn
        )


def _failure(begun: _Begun) -> str | None:
    if begun.service.get("status") != "ACTIVE":
        return "The service was deleted while it was awaited."
    return f"{_BREAKER} {begun.service['serviceName']}" if begun.deployment["rolloutState"] == "FAILED" else None


def _end_what_was_interrupted() -> None:
    """A stack that was under way when the sandbox was stopped would stay so for ever."""
    from ministack.services import cloudformation

    load = cloudformation.load_persisted_state

    def load_and_end(data: object) -> None:
        load(data)
        for stack in list(cloudformation._stacks._data.values()):
            status = stack["StackStatus"]
            if status.endswith("_IN_PROGRESS"):
                ended = _INTERRUPTED.get(status.partition("_")[0], "CREATE_FAILED")
                stack.update(StackStatus=ended, StackStatusReason="The sandbox was stopped meanwhile.")

    cloudformation.load_persisted_state = load_and_end


def _or_service(shipped: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda kind: kind == _SERVICE or shipped(kind)
