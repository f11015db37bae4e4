# SPDX-License-Identifier: GPL-3.0-or-later
"""An account outside the unit, with roles of the very same names and every right it can give, runs and reads nothing.

That it reads no object is for test_verify.py, which tries it as every such role.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sandbox.journey.organisation import Organisation
from sandbox.journey.person import wait_for
from sandbox.sessions import client_of_root
from sandbox.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient

CLUSTER = "localgov"
ROLE = "localgov-frontend-execution"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
EVERY_RIGHT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@dataclass(frozen=True)
class Copycat:
    """The frontend's service of an authority, copied into an account outside."""

    account: str
    ecs: ECSClient

    def events(self) -> list[str]:
        """What ECS says of tasks that stopped."""
        (service,) = self.ecs.describe_services(cluster=CLUSTER, services=["frontend"])["services"]
        return [event["message"] for event in service["events"] if "stopped" in event["message"]]


@pytest.fixture(params=["outsider", "stranger"])
def copycat(request: pytest.FixtureRequest, settings: Settings, organisation: Organisation) -> Iterator[Copycat]:
    account = str(request.param)
    arn = f"arn:aws:iam::{settings.accounts[account].id}:role/{ROLE}"
    original = client_of_root(settings, "camden", "ecs").describe_task_definition(taskDefinition="localgov-frontend")
    image = original["taskDefinition"]["containerDefinitions"][0]["image"]
    iam, ecs = client_of_root(settings, account, "iam"), client_of_root(settings, account, "ecs")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.put_role_policy(RoleName=ROLE, PolicyName="every-right", PolicyDocument=json.dumps(EVERY_RIGHT))
    ecs.create_cluster(clusterName=CLUSTER)
    ecs.register_task_definition(
        family="localgov-frontend",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn=arn,
        containerDefinitions=[{"name": "frontend", "image": image}],
    )
    network = {"awsvpcConfiguration": {"subnets": ["subnet-00000000000000000"], "securityGroups": []}}
    ecs.create_service(
        cluster=CLUSTER,
        serviceName="frontend",
        taskDefinition="localgov-frontend",
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    try:
        yield Copycat(account, ecs)
    finally:
        ecs.update_service(cluster=CLUSTER, service="frontend", desiredCount=0)
        ecs.delete_service(cluster=CLUSTER, service="frontend", force=True)
        ecs.delete_cluster(cluster=CLUSTER)
        iam.delete_role_policy(RoleName=ROLE, PolicyName="every-right")
        iam.delete_role(RoleName=ROLE)


MISSING = {"outsider": "is not in the organisational unit", "stranger": "does not belong to the organisation"}


def test_its_service_cannot_pull_the_authoritys_image_and_the_event_names_the_missing_membership(
    settings: Settings, copycat: Copycat
) -> None:
    message = wait_for(copycat.events, f"{copycat.account}'s service to say why no task starts", 60)[-1]
    assert "CannotPullContainerError" in message
    assert f"membership: account {settings.accounts[copycat.account].id} {MISSING[copycat.account]}" in message
