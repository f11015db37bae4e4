# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""A database whose password only RDS and Secrets Manager know."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox


def database(**more: Any) -> dict[str, Any]:
    properties = {
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": "20",
        "DBName": "dagster",
        "MasterUsername": "dagster",
        "ManageMasterUserPassword": True,
        **more,
    }
    return {
        "Resources": {
            "Database": {"Type": "AWS::RDS::DBInstance", "DeletionPolicy": "Delete", "Properties": properties}
        },
        "Outputs": {
            "Identifier": {"Value": {"Ref": "Database"}},
            "Secret": {"Value": {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]}},
        },
    }


@pytest.fixture
def deploy(sandbox: Sandbox, unique: str) -> Any:
    cloudformation = sandbox.client("cloudformation", sandbox.deployer("sutton"))

    def deploying(template: dict[str, Any], verb: str = "create") -> dict[str, str]:
        getattr(cloudformation, f"{verb}_stack")(StackName=unique, TemplateBody=json.dumps(template))
        waiter = cloudformation.get_waiter(f"stack_{verb}_complete")
        waiter.wait(StackName=unique, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        (stack,) = cloudformation.describe_stacks(StackName=unique)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    return deploying


def test_the_password_is_made_and_kept_in_the_secret_alone(sandbox: Sandbox, deploy: Any, unique: str) -> None:
    made = deploy(database())
    deployer = sandbox.deployer("sutton")
    secrets = sandbox.client("secretsmanager", deployer)
    secret = json.loads(secrets.get_secret_value(SecretId=made["Secret"])["SecretString"])
    assert set(secret) == {"username", "password"}
    assert secret["username"] == "dagster"
    assert len(secret["password"]) >= 24

    rds = sandbox.client("rds", deployer)
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=made["Identifier"])["DBInstances"]
    assert instance["MasterUserSecret"]["SecretArn"] == made["Secret"]
    cloudformation = sandbox.client("cloudformation", deployer)
    seen = [
        instance,
        cloudformation.describe_stacks(StackName=unique),
        cloudformation.describe_stack_events(StackName=unique),
        cloudformation.get_template(StackName=unique),
        secrets.describe_secret(SecretId=made["Secret"]),
    ]
    assert secret["password"] not in repr(seen)
    assert secret["password"] not in sandbox.log()


def test_an_update_keeps_the_password(sandbox: Sandbox, deploy: Any) -> None:
    made = deploy(database())
    secrets = sandbox.client("secretsmanager", sandbox.deployer("sutton"))
    before = secrets.get_secret_value(SecretId=made["Secret"])["SecretString"]
    after = deploy(database(BackupRetentionPeriod=7), "update")
    assert after == made
    assert secrets.get_secret_value(SecretId=made["Secret"])["SecretString"] == before


def test_the_secret_goes_with_the_database(sandbox: Sandbox, deploy: Any, unique: str) -> None:
    made = deploy(database())
    deployer = sandbox.deployer("sutton")
    cloudformation = sandbox.client("cloudformation", deployer)
    cloudformation.delete_stack(StackName=unique)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=unique, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    with pytest.raises(ClientError, match="ResourceNotFound"):
        sandbox.client("secretsmanager", deployer).get_secret_value(SecretId=made["Secret"])


def test_two_databases_have_two_passwords(sandbox: Sandbox, deploy: Any) -> None:
    template = database()
    template["Resources"]["Second"] = template["Resources"]["Database"]
    template["Outputs"]["Other"] = {"Value": {"Fn::GetAtt": ["Second", "MasterUserSecret.SecretArn"]}}
    made = deploy(template)
    secrets = sandbox.client("secretsmanager", sandbox.deployer("sutton"))
    values = {secrets.get_secret_value(SecretId=made[name])["SecretString"] for name in ("Secret", "Other")}
    assert len(values) == 2
