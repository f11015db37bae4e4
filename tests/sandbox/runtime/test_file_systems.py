# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A file system that a function writes to and a task reads from, as far as its policy lets them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.sandbox.runtime.conftest import Account, eventually

FUNCTION = """
import os
class Broken(Exception): pass
def handler(event, context):
    if event.get("break"): raise Broken("on purpose")
    with open(os.environ["ROOT"] + "/note", "w") as note: note.write(event["text"])
    return os.environ["ROOT"]
"""
MOUNT = "elasticfilesystem:ClientMount"
WRITE = "elasticfilesystem:ClientWrite"


def _stack(camden: Account, writer: list[str], reader: list[str]) -> dict[str, Any]:
    """A file system that only these two roles may mount, each with what it may do."""
    name = camden.cluster
    resources: dict[str, Any] = {
        "System": {
            "Type": "AWS::EFS::FileSystem",
            "Properties": {
                "FileSystemPolicy": {
                    "Version": "2012-10-17",
                    "Statement": [_denial(name, {"Bool": {"aws:SecureTransport": "false"}})],
                }
            },
        },
        "Point": {
            "Type": "AWS::EFS::AccessPoint",
            "Properties": {"FileSystemId": {"Ref": "System"}, "RootDirectory": {"Path": "/notes"}},
        },
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": name,
                "Runtime": "python3.12",
                "Handler": "index.handler",
                "Code": {"ZipFile": FUNCTION},
                "Role": camden.role(f"{name}-writer", *_may(writer), trusts="lambda.amazonaws.com"),
                "FileSystemConfigs": [{"Arn": {"Fn::GetAtt": ["Point", "Arn"]}, "LocalMountPath": "/mnt/notes"}],
                "Environment": {"Variables": {"ROOT": "/mnt/notes"}},
            },
        },
    }
    reading = camden.role(f"{name}-reader", *_may(reader))
    outputs = {"System": {"Value": {"Ref": "System"}}, "Point": {"Value": {"Ref": "Point"}}}
    stacks = camden.client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, "Outputs": outputs}))

    def look() -> dict[str, Any] | None:
        (stack,) = stacks.describe_stacks(StackName=name)["Stacks"]
        assert "ROLLBACK" not in stack["StackStatus"], stacks.describe_stack_events(StackName=name)["StackEvents"]
        return stack if stack["StackStatus"] == "CREATE_COMPLETE" else None

    stack = eventually(look, "the stack")
    made = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    return {**made, "Role": reading}


def _may(actions: list[str]) -> list[dict[str, Any]]:
    return [{"Effect": "Allow", "Action": actions, "Resource": "*"}] if actions else []


def _denial(name: str, condition: dict[str, Any]) -> dict[str, Any]:
    return {"Sid": name, "Effect": "Deny", "Principal": {"AWS": "*"}, "Action": [MOUNT, WRITE], "Resource": "*"} | {
        "Condition": condition
    }


def _read(camden: Account, made: dict[str, Any], *, tls: str = "ENABLED") -> str:
    """A task that prints the note. Its definition."""
    volume = {
        "fileSystemId": made["System"],
        "transitEncryption": tls,
        "authorizationConfig": {"accessPointId": made["Point"], "iam": "ENABLED" if tls == "ENABLED" else "DISABLED"},
    }
    return camden.define(
        "print(open('/mnt/notes/note').read())",
        volumes=[{"name": "notes", "efsVolumeConfiguration": volume}],
        mountPoints=[{"sourceVolume": "notes", "containerPath": "/mnt/notes", "readOnly": True}],
        taskRoleArn=made["Role"],
    )


def _invoke(camden: Account, **event: Any) -> dict[str, Any]:
    answer = camden.client("lambda").invoke(FunctionName=camden.cluster, Payload=json.dumps(event))
    return {"error": answer.get("FunctionError"), "body": json.loads(answer["Payload"].read())}


def test_a_task_reads_what_a_function_has_written_through_the_same_access_point(camden: Account) -> None:
    made = _stack(camden, [MOUNT, WRITE], [MOUNT])
    written = _invoke(camden, text="from the function")
    assert written["body"].endswith(f"/{made['System']}/notes")
    arn = camden.run(_read(camden, made))
    camden.ended(arn)
    assert camden.log_of(arn) == "from the function\n"


def test_a_role_that_may_not_mount_does_not(camden: Account) -> None:
    made = _stack(camden, [MOUNT], [])
    assert "may not elasticfilesystem:ClientWrite" in str(_invoke(camden, text="no")["body"])
    ended = camden.ended(camden.run(_read(camden, made)))
    assert "access denied by server" in ended["stoppedReason"]


def test_a_policy_that_demands_tls_refuses_a_mount_without(camden: Account) -> None:
    made = _stack(camden, [MOUNT, WRITE], [MOUNT])
    ended = camden.ended(camden.run(_read(camden, made, tls="DISABLED")))
    assert "access denied by server" in ended["stoppedReason"]


def test_a_failure_of_a_function_has_the_name_of_its_exception(camden: Account) -> None:
    _stack(camden, [MOUNT, WRITE], [])
    failed = _invoke(camden, **{"break": True})
    assert failed["error"] == "Unhandled"
    assert failed["body"]["errorType"] == "Broken"


@pytest.fixture(autouse=True)
def _remove_stack(camden: Account) -> Any:
    yield
    camden.client("cloudformation").delete_stack(StackName=camden.cluster)
