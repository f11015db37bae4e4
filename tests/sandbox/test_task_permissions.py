# SPDX-License-Identifier: GPL-3.0-or-later
"""ECS calls are judged on the resource that AWS judges them on, and in the cluster that they name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from sandbox.emulator.sessions import PATH
from tests.sandbox.conftest import Sandbox

TASK = {
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "main", "image": "busybox", "essential": True}],
}
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-00000000"]}}


@pytest.fixture
def launcher(sandbox: Sandbox, unique: str) -> dict[str, str]:
    """The session of a role that may run one family in one cluster, and ask for tasks there."""
    account = sandbox.account("sutton")
    root = sandbox.root("sutton")
    ecs = sandbox.client("ecs", root)
    for cluster in (unique, f"{unique}-other"):
        ecs.create_cluster(clusterName=cluster)
    for family in (unique, f"{unique}-other"):
        ecs.register_task_definition(family=family, **TASK)
    here = f"arn:aws:ecs:{sandbox.description['region']}:{account}"
    in_cluster = {"ArnEquals": {"ecs:cluster": f"{here}:cluster/{unique}"}}
    allowed: list[dict[str, Any]] = [
        {"Action": "ecs:RunTask", "Resource": f"{here}:task-definition/{unique}:*", "Condition": in_cluster},
        {"Action": ["ecs:DescribeTasks", "ecs:StopTask"], "Resource": f"{here}:task/{unique}/*"},
        {
            "Action": "logs:GetLogEvents",
            "Resource": f"{here.replace(':ecs:', ':logs:')}:log-group:/{unique}:log-stream:own/*",
        },
    ]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in allowed]}
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    iam = sandbox.client("iam", root)
    iam.create_role(
        RoleName=unique, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.put_role_policy(RoleName=unique, PolicyName="launch", PolicyDocument=json.dumps(policy))
    session = sandbox.client("sts", root).assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/{unique}", RoleSessionName="launcher"
    )["Credentials"]
    return {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }


def refused(call: Callable[..., object], **request: object) -> bool:
    try:
        call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        return True
    return False


def test_a_launcher_may_run_its_family_in_its_cluster_and_no_other(
    sandbox: Sandbox, launcher: dict[str, str], unique: str
) -> None:
    ecs = sandbox.client("ecs", launcher)
    run = {"launchType": "FARGATE", "networkConfiguration": NETWORK}
    assert not refused(ecs.run_task, cluster=unique, taskDefinition=unique, **run)
    assert not refused(ecs.run_task, cluster=unique, taskDefinition=f"{unique}:1", **run)
    assert refused(ecs.run_task, cluster=unique, taskDefinition=f"{unique}-other", **run)
    assert refused(ecs.run_task, cluster=f"{unique}-other", taskDefinition=unique, **run)


def test_a_task_of_another_cluster_is_refused_even_when_its_arn_comes_with_the_right_cluster(
    sandbox: Sandbox, launcher: dict[str, str], unique: str
) -> None:
    ecs = sandbox.client("ecs", launcher)
    elsewhere = (
        f"arn:aws:ecs:{sandbox.description['region']}:{sandbox.account('sutton')}:task/{unique}-other/{'0' * 32}"
    )
    assert not refused(ecs.describe_tasks, cluster=unique, tasks=["0" * 32])
    assert refused(ecs.describe_tasks, cluster=unique, tasks=[elsewhere])


def test_the_events_of_a_log_are_judged_on_its_stream(sandbox: Sandbox, launcher: dict[str, str], unique: str) -> None:
    as_root, logs = sandbox.client("logs", sandbox.root("sutton")), sandbox.client("logs", launcher)
    as_root.create_log_group(logGroupName=f"/{unique}")
    for stream in ("own/task", "other/task"):
        as_root.create_log_stream(logGroupName=f"/{unique}", logStreamName=stream)
    assert not refused(logs.get_log_events, logGroupName=f"/{unique}", logStreamName="own/task")
    assert refused(logs.get_log_events, logGroupName=f"/{unique}", logStreamName="other/task")


def test_container_definitions_of_a_stack_keep_their_secrets_and_health_checks(sandbox: Sandbox, unique: str) -> None:
    container = {
        "Name": "main",
        "Image": "busybox",
        "Secrets": [{"Name": "PASSWORD", "ValueFrom": "arn:aws:secretsmanager:eu-west-2:300000000003:secret:x"}],
        "HealthCheck": {"Command": ["CMD", "true"], "Interval": 30},
        "LogConfiguration": {"LogDriver": "awslogs", "Options": {"awslogs-group": "Mine"}},
    }
    properties = {"Family": unique, "ContainerDefinitions": [container]}
    template = {"Resources": {"Task": {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}}}
    root = sandbox.root("sutton")
    cloudformation = sandbox.client("cloudformation", root)
    cloudformation.create_stack(StackName=unique, TemplateBody=json.dumps(template))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=unique, WaiterConfig={"Delay": 1})
    described = sandbox.client("ecs", root).describe_task_definition(taskDefinition=unique)["taskDefinition"]
    (made,) = described["containerDefinitions"]
    assert made["secrets"] == [{"name": "PASSWORD", "valueFrom": container["Secrets"][0]["ValueFrom"]}]  # type: ignore[index]
    assert made["healthCheck"] == {"command": ["CMD", "true"], "interval": 30}
    assert made["logConfiguration"]["options"] == {"awslogs-group": "Mine"}


def test_a_session_of_a_task_role_needs_the_control_token_and_tls(sandbox: Sandbox) -> None:
    described = sandbox.description
    query = {"role": f"arn:aws:iam::{sandbox.account('sutton')}:role/localgov-deploy"}
    over_tls = f"{described['endpoint_url']}{PATH}"
    ca_bundle = described["ca_bundle"]
    assert requests.get(over_tls, params=query, verify=ca_bundle, timeout=10).status_code == 403
    bearer = {"Authorization": f"Bearer {(sandbox.folder / 'control-token').read_text()}"}
    plain = requests.get(f"{described['browser_endpoint_url']}{PATH}", params=query, headers=bearer, timeout=10)
    assert "AccessKeyId" not in plain.text
    not_for_ecs = requests.get(over_tls, params=query, headers=bearer, verify=ca_bundle, timeout=10)
    assert not_for_ecs.status_code == 400
    assert "trust" in not_for_ecs.text
    assert (sandbox.folder / "control-token").stat().st_mode & 0o077 == 0
