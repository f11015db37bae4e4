# SPDX-License-Identifier: GPL-3.0-or-later
"""What ECS promises about services: the number of tasks, deployments, discovery, load balancing."""

from __future__ import annotations

import json
import re
import socket
import textwrap
import time
from datetime import timedelta
from typing import Any

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime.conftest import (
    LISTENER,
    Account,
    account,
    address_of,
    eventually,
    kill_emulator,
    marked_processes,
)

WAIT = "import time; time.sleep(600)"


def test_a_crashed_service_comes_back_more_and_more_slowly_at_the_same_address(camden: Account) -> None:
    camden.serve(camden.define("import os; print(os.environ['BIND_ADDRESS']); raise SystemExit(9)"))
    began = time.monotonic()
    delays = eventually(lambda: len(found := _delays(camden)) >= 3 and found, "three restarts")
    assert delays[:3] == [1, 2, 4]
    assert time.monotonic() - began >= 1 + 2
    assert "exit code 9" in camden.service()["events"][0]["message"]
    arns = camden.ecs.list_tasks(cluster=camden.cluster, desiredStatus="STOPPED")["taskArns"]
    addresses = {camden.log_of(arn) for arn in arns}
    assert len(arns) >= 3
    assert len(addresses) == 1
    camden.ecs.update_service(cluster=camden.cluster, service="service", desiredCount=0)


def test_a_new_deployment_does_not_wait_for_the_failures_of_the_old_one(camden: Account) -> None:
    camden.serve(camden.define("raise SystemExit(1)"))
    new = camden.define(WAIT)
    delays = eventually(lambda: len(found := _delays(camden)) >= 4 and found, "four failures")
    camden.ecs.update_service(cluster=camden.cluster, service="service", taskDefinition=new)
    started = camden.service_task()["createdAt"]
    failures = [
        event["createdAt"] for event in reversed(camden.service()["events"]) if "has stopped" in event["message"]
    ]
    assert started < failures[3] + timedelta(seconds=delays[3]), "when the failed deployment would have tried again"


def test_a_stopped_task_of_a_service_is_replaced_at_the_same_address(camden: Account) -> None:
    camden.serve(camden.define(LISTENER))
    first = camden.service_task()
    camden.ecs.stop_task(cluster=camden.cluster, task=first["taskArn"])
    second = camden.service_task(other_than=first["taskArn"])
    assert address_of(second) == address_of(first)
    eventually(lambda: _says(address_of(second)) == "hello from nobody", "the task that took its place")


def test_a_deployment_replaces_the_only_task_of_a_service_in_place(camden: Account) -> None:
    alone = {"maximumPercent": 100, "minimumHealthyPercent": 0}
    old = camden.define(LISTENER, environment=[{"name": "NAME", "value": "old"}])
    camden.serve(old, deploymentConfiguration=alone)
    address = address_of(camden.service_task())
    eventually(lambda: _says(address) == "hello from old", "the old task")
    new = camden.define(LISTENER, environment=[{"name": "NAME", "value": "new"}])
    camden.ecs.update_service(cluster=camden.cluster, service="service", taskDefinition=new)
    eventually(lambda: _says(address) == "hello from new", "the new task at the address of the old one")
    eventually(lambda: len(camden.service()["deployments"]) == 1, "the end of the deployment")
    service = camden.service()
    assert service["runningCount"] == 1
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"


def test_the_desired_count_is_the_number_of_processes(camden: Account) -> None:
    camden.serve(camden.define("print('started', flush=True); " + WAIT), desiredCount=2)
    for wanted in (2, 3, 1, 0):
        camden.ecs.update_service(cluster=camden.cluster, service="service", desiredCount=wanted)
        eventually(lambda wanted=wanted: camden.service()["runningCount"] == wanted, f"{wanted} tasks")  # type: ignore[misc]
        eventually(lambda wanted=wanted: len(_processes(camden)) == wanted, f"{wanted} processes")  # type: ignore[misc]


def test_a_deleted_service_leaves_no_process(camden: Account) -> None:
    camden.serve(camden.define(LISTENER))
    camden.service_task()
    camden.ecs.delete_service(cluster=camden.cluster, service="service", force=True)
    eventually(lambda: not _processes(camden), "no process")


def test_a_service_whose_check_fails_is_replaced(camden: Account) -> None:
    check = {"command": ["CMD", "false"], "interval": 5, "retries": 1}
    camden.serve(camden.define(WAIT, healthCheck=check))
    first = camden.service_task()["taskArn"]
    assert camden.ended(first)["stoppedReason"] == "Task failed container health checks"
    camden.service_task(other_than=first)
    camden.ecs.update_service(cluster=camden.cluster, service="service", desiredCount=0)


def test_clients_find_a_service_by_its_cloud_map_name_even_when_they_start_first(camden: Account) -> None:
    name = f"{camden.cluster}.internal"
    registry = _discoverable(camden, name)
    ask = """
        import os, socket, time
        while True:
            try:
                with socket.create_connection((os.environ["SERVER_HOST"], 8080), 1) as connection:
                    print(connection.recv(100).decode(), flush=True)
                    break
            except OSError:
                time.sleep(0.1)
    """
    client = camden.run(
        camden.define(
            ask,
            family=f"{camden.cluster}-client",
            environment=[{"name": "SERVER_HOST", "value": f"server.{name}"}],
        )
    )
    camden.running(client)
    camden.serve(camden.define(LISTENER), serviceRegistries=[{"registryArn": registry}])
    camden.ended(client)
    assert camden.log_of(client) == "hello from nobody\n"


def test_cloud_map_knows_the_running_tasks_of_a_service_and_forgets_the_ended(camden: Account) -> None:
    name = f"{camden.cluster}.internal"
    registry = _discoverable(camden, name)
    camden.serve(camden.define(LISTENER), serviceRegistries=[{"registryArn": registry}])
    task = camden.service_task()
    discovery = camden.client("servicediscovery")

    def found() -> list[str]:
        answer = discovery.discover_instances(NamespaceName=name, ServiceName="server")["Instances"]
        return [instance["Attributes"]["AWS_INSTANCE_IPV4"] for instance in answer]

    assert found() == [address_of(task)]
    camden.ecs.update_service(cluster=camden.cluster, service="service", desiredCount=0)
    assert found() == []


def test_a_target_group_holds_the_running_tasks_of_a_service(camden: Account) -> None:
    balancing = camden.client("elbv2")
    group = balancing.create_target_group(
        Name=camden.cluster, Protocol="HTTP", Port=8080, VpcId="vpc-1", TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    camden.serve(
        camden.define(LISTENER),
        loadBalancers=[{"targetGroupArn": group, "containerName": "main", "containerPort": 8080}],
    )
    task = camden.service_task()

    def targets() -> list[tuple[str, int]]:
        health = balancing.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [(entry["Target"]["Id"], entry["Target"]["Port"]) for entry in health]

    assert eventually(targets, "a target") == [(address_of(task), 8080)]
    camden.ecs.update_service(cluster=camden.cluster, service="service", desiredCount=0)
    eventually(lambda: not targets(), "no target")


def test_a_stack_registers_its_service_in_cloud_map_and_its_deletion_waits_for_the_process(camden: Account) -> None:
    cloudformation = camden.client("cloudformation")
    cloudformation.create_stack(StackName=camden.cluster, TemplateBody=json.dumps(_template(camden)))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=camden.cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    task = camden.service_task("from-a-stack")
    found = camden.client("servicediscovery").discover_instances(
        NamespaceName=f"{camden.cluster}.internal", ServiceName="server"
    )["Instances"]
    assert [instance["Attributes"]["AWS_INSTANCE_IPV4"] for instance in found] == [address_of(task)]
    cloudformation.delete_stack(StackName=camden.cluster)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=camden.cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    assert not _processes(camden)


def test_a_stack_sets_the_count_that_its_template_has_with_every_change_and_no_other(camden: Account) -> None:
    ecs, cloudformation = camden.client("ecs"), camden.client("cloudformation")
    template = _template(camden)
    service = template["Resources"]["Service"]["Properties"]

    def counted() -> int:
        """The count that somebody sets to 1 by hand, after the stack has changed something else of the service."""
        ecs.update_service(cluster=camden.cluster, service="from-a-stack", desiredCount=1)
        service["HealthCheckGracePeriodSeconds"] = service.get("HealthCheckGracePeriodSeconds", 0) + 1
        cloudformation.update_stack(StackName=camden.cluster, TemplateBody=json.dumps(template))
        cloudformation.get_waiter("stack_update_complete").wait(
            StackName=camden.cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        (found,) = ecs.describe_services(cluster=camden.cluster, services=["from-a-stack"])["services"]
        return int(found["desiredCount"])

    service["DesiredCount"] = 0
    cloudformation.create_stack(StackName=camden.cluster, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=camden.cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    assert counted() == 0
    del service["DesiredCount"]
    assert counted() == 1
    cloudformation.delete_stack(StackName=camden.cluster)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=camden.cluster, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


def test_services_come_back_at_their_addresses_when_the_sandbox_is_started_again(own_machine: Sandbox) -> None:
    camden = account(own_machine)
    registry = _discoverable(camden, "localgov.internal")
    camden.serve(camden.define(LISTENER), serviceRegistries=[{"registryArn": registry}])
    first = camden.service_task()
    assert own_machine.run("stop").returncode == 0
    assert not marked_processes(own_machine.folder)
    own_machine.start()
    second = camden.service_task()
    assert address_of(second) == address_of(first)
    instances = camden.client("servicediscovery").discover_instances(
        NamespaceName="localgov.internal", ServiceName="server"
    )["Instances"]
    assert [instance["InstanceId"] for instance in instances] == [second["taskArn"].rsplit("/", 1)[-1]]


def test_what_a_killed_sandbox_leaves_is_ended_at_the_next_start(own_machine: Sandbox) -> None:
    camden = account(own_machine)
    aside = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True); "
    camden.serve(camden.define(aside + WAIT))
    camden.service_task()
    left = eventually(
        lambda: len(found := marked_processes(own_machine.folder)) == 2 and found, "the task and its child"
    )
    kill_emulator(own_machine)
    assert sorted(marked_processes(own_machine.folder)) == sorted(left)
    said = own_machine.start()
    assert not set(left) & set(marked_processes(own_machine.folder))
    assert "main" in said


def _delays(camden: Account) -> list[int]:
    """Seconds until the next start, from the service's events, oldest first."""
    messages = [event["message"] for event in reversed(camden.service()["events"])]
    return [int(match[1]) for match in (re.search(r"next task starts in (\d+) s", text) for text in messages) if match]


def _says(address: str) -> str | None:
    try:
        with socket.create_connection((address, 8080), 1) as connection:
            return connection.recv(100).decode()
    except OSError:
        return None


def _processes(camden: Account) -> list[int]:
    """The processes of this test's tasks, by the folder of their home."""
    found = []
    for pid in marked_processes(camden.sandbox.folder):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
                if f"/{camden.cluster}-".encode() in file.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def _discoverable(camden: Account, namespace: str) -> str:
    """A Cloud Map service named ``server`` in a new private namespace. Its ARN."""
    discovery = camden.client("servicediscovery")
    operation = discovery.create_private_dns_namespace(Name=namespace, Vpc="vpc-1")["OperationId"]
    namespace_id = discovery.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    records = {"DnsRecords": [{"Type": "A", "TTL": 10}]}
    service = discovery.create_service(Name="server", NamespaceId=namespace_id, DnsConfig=records)
    return str(service["Service"]["Arn"])


def _template(camden: Account) -> dict[str, Any]:
    container = {"Name": "main", "Image": "test/python", "Command": [textwrap.dedent(LISTENER)]}
    return {
        "Resources": {
            "Namespace": {
                "Type": "AWS::ServiceDiscovery::PrivateDnsNamespace",
                "Properties": {"Name": f"{camden.cluster}.internal", "Vpc": "vpc-1"},
            },
            "Discovery": {
                "Type": "AWS::ServiceDiscovery::Service",
                "Properties": {
                    "Name": "server",
                    "NamespaceId": {"Ref": "Namespace"},
                    "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 10}]},
                },
            },
            "Definition": {
                "Type": "AWS::ECS::TaskDefinition",
                "Properties": {
                    "Family": camden.cluster,
                    "NetworkMode": "awsvpc",
                    "ContainerDefinitions": [container],
                },
            },
            "Service": {
                "Type": "AWS::ECS::Service",
                "Properties": {
                    "ServiceName": "from-a-stack",
                    "Cluster": camden.cluster,
                    "TaskDefinition": {"Ref": "Definition"},
                    "DesiredCount": 1,
                    "ServiceRegistries": [{"RegistryArn": {"Fn::GetAtt": ["Discovery", "Arn"]}}],
                },
            },
        }
    }
