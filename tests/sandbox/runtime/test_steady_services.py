# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack waits until its services are steady; the circuit breaker takes back what never becomes healthy."""

from __future__ import annotations

import json
import socket
import textwrap
import threading
import time
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime.conftest import LISTENER, Account, account, address_of, eventually

SOON = {"Interval": 5, "Retries": 1, "StartPeriod": 0, "Timeout": 5}
LISTENS = "import os, socket; socket.create_connection((os.environ['BIND_ADDRESS'], 8080), 2)"
SILENT = "print('deaf', flush=True); import time; time.sleep(600)"
CRASHES = "print('no settings', flush=True); raise SystemExit(3)"
OVERLAPS, ALONE = (200, 100), (100, 0)


def deploy(camden: Account, scripts: dict[str, str], share: tuple[int, int] = OVERLAPS) -> str:
    """Create or update the stack of these services, by name to script. The status it ends with."""
    cloudformation, template = camden.client("cloudformation"), json.dumps(_template(camden, scripts, share))
    try:
        cloudformation.update_stack(StackName=camden.cluster, TemplateBody=template)
    except cloudformation.exceptions.ClientError:
        cloudformation.create_stack(StackName=camden.cluster, TemplateBody=template, OnFailure="DO_NOTHING")
    return ended(camden)


def ended(camden: Account) -> str:
    return eventually(
        lambda: not (now := status(camden)).endswith("IN_PROGRESS") and now, "the end of the stack's operation", 90
    )


def status(camden: Account) -> str:
    found: str = camden.client("cloudformation").describe_stacks(StackName=camden.cluster)["Stacks"][0]["StackStatus"]
    return found


def reasons(camden: Account) -> dict[str, str]:
    """Why the stack's services failed, by logical id."""
    events = camden.client("cloudformation").describe_stack_events(StackName=camden.cluster)["StackEvents"]
    return {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in events
        if event["ResourceStatus"].endswith("_FAILED") and event["ResourceType"] == "AWS::ECS::Service"
    }


def test_a_stack_is_created_when_its_services_have_passed_their_checks(camden: Account) -> None:
    assert deploy(camden, {"web": "import time; time.sleep(1)\n" + textwrap.dedent(LISTENER)}) == "CREATE_COMPLETE"
    assert camden.service_task("web")["healthStatus"] == "HEALTHY"
    assert camden.service("web")["deployments"][0]["rolloutState"] == "COMPLETED"


def test_a_stack_whose_service_never_becomes_healthy_is_not_created(camden: Account) -> None:
    assert deploy(camden, {"web": LISTENER, "deaf": CRASHES}) == "CREATE_FAILED"
    assert "ECS Deployment Circuit Breaker was triggered" in reasons(camden)["Deaf"]


def test_a_stack_that_was_not_created_goes_with_its_services_and_can_be_created_again(camden: Account) -> None:
    assert deploy(camden, {"deaf": CRASHES}) == "CREATE_FAILED"
    cloudformation = camden.client("cloudformation")
    cloudformation.delete_stack(StackName=camden.cluster)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=camden.cluster, WaiterConfig={"Delay": 1})
    assert camden.service("deaf")["status"] == "INACTIVE"
    assert deploy(camden, {"deaf": LISTENER}) == "CREATE_COMPLETE"
    assert deploy(camden, {"deaf": LISTENER, "other": CRASHES}) == "UPDATE_ROLLBACK_COMPLETE"
    assert (camden.service("deaf")["status"], camden.service("other")["status"]) == ("ACTIVE", "INACTIVE")


@pytest.mark.parametrize("broken", [pytest.param(CRASHES, id="crashing"), pytest.param(SILENT, id="never healthy")])
def test_an_update_that_never_becomes_healthy_is_rolled_back_while_the_old_task_goes_on_serving(
    camden: Account, broken: str
) -> None:
    assert deploy(camden, {"web": LISTENER, "other": LISTENER}) == "CREATE_COMPLETE"
    task, definition = camden.service_task("web"), camden.service("web")["taskDefinition"]
    with served(address_of(task)) as refusals:
        assert deploy(camden, {"web": broken, "other": LISTENER}) == "UPDATE_ROLLBACK_COMPLETE"
    assert refusals == []
    assert camden.service_task("web")["taskArn"] == task["taskArn"]
    assert camden.service("web")["taskDefinition"] == definition
    assert "Circuit Breaker" in reasons(camden)["Web"]
    assert camden.service("other")["deployments"][0]["rolloutState"] == "COMPLETED"


def test_a_service_that_may_run_one_task_only_comes_back_as_it_was(camden: Account) -> None:
    assert deploy(camden, {"web": LISTENER}, ALONE) == "CREATE_COMPLETE"
    definition = camden.service("web")["taskDefinition"]
    address = address_of(camden.service_task("web"))
    assert deploy(camden, {"web": CRASHES}, ALONE) == "UPDATE_ROLLBACK_COMPLETE"
    assert camden.service("web")["taskDefinition"] == definition
    assert address_of(camden.service_task("web")) == address


def test_the_sandbox_answers_while_a_stack_waits_and_ends_it_when_it_is_stopped(own_machine: Sandbox) -> None:
    camden = account(own_machine)
    cloudformation = camden.client("cloudformation")
    slow = json.dumps(_template(camden, {"deaf": SILENT}, OVERLAPS, {**SOON, "StartPeriod": 300}))
    cloudformation.create_stack(StackName=camden.cluster, TemplateBody=slow, OnFailure="DO_NOTHING")
    camden.service_task("deaf")
    # An answer that had to wait for the stack would tell of its end.
    assert status(camden) == "CREATE_IN_PROGRESS"
    assert own_machine.run("stop").returncode == 0
    own_machine.start()
    assert status(camden) == "CREATE_FAILED"


class served:  # noqa: N801 - reads as a sentence
    """Ask an address for an answer all the while; hands out the times at which there was none."""

    def __init__(self, address: str) -> None:
        self._address, self._over, self._refusals = address, threading.Event(), list[str]()

    def __enter__(self) -> list[str]:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self._refusals

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.2):
            try:
                with socket.create_connection((self._address, 8080), 2) as connection:
                    connection.recv(100)
            except OSError as reason:
                self._refusals.append(f"{time.monotonic()}: {reason}")


def _template(
    camden: Account, scripts: dict[str, str], share: tuple[int, int], check: dict[str, int] | None = None
) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    for name, script in scripts.items():
        container = {
            "Name": "main",
            "Image": "test/python",
            "Command": [textwrap.dedent(script)],
            "HealthCheck": {"Command": ["CMD", "python3", "-c", LISTENS], **(check or SOON)},
        }
        resources[f"{name.title()}Definition"] = {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                "Family": f"{camden.cluster}-{name}",
                "NetworkMode": "awsvpc",
                "ContainerDefinitions": [container],
            },
        }
        resources[name.title()] = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "ServiceName": name,
                "Cluster": camden.cluster,
                "TaskDefinition": {"Ref": f"{name.title()}Definition"},
                "DesiredCount": 1,
                "DeploymentConfiguration": {
                    "MaximumPercent": share[0],
                    "MinimumHealthyPercent": share[1],
                    "DeploymentCircuitBreaker": {"Enable": True, "Rollback": True},
                },
            },
        }
    return {"Resources": resources}
