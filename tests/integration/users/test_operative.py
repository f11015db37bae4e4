# SPDX-License-Identifier: GPL-3.0-or-later
"""The operative's own credentials can hand a file over and read its receipt, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.integration.users.conftest import Workflow, lines, user

Call = Callable[[Any, Workflow], Any]
REFUSALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"}

KEY = "uploads/alice/x"
# Service, and what is tried of it. Names of what exists are the workflow's, so that a policy and nothing else refuses.
TRIED: dict[str, tuple[str, Call]] = {
    "read an upload": ("s3", lambda c, w: c.get_object(Bucket=w.uploads, Key=KEY)),
    "read a version of an upload": ("s3", lambda c, w: c.get_object(Bucket=w.uploads, Key=KEY, VersionId="1")),
    "head an upload": ("s3", lambda c, w: c.head_object(Bucket=w.uploads, Key=KEY)),
    "list the uploads": ("s3", lambda c, w: c.list_objects_v2(Bucket=w.uploads)),
    "list own uploads": ("s3", lambda c, w: c.list_objects_v2(Bucket=w.uploads, Prefix="uploads/alice/")),
    "list versions": ("s3", lambda c, w: c.list_object_versions(Bucket=w.uploads)),
    "remove an upload": ("s3", lambda c, w: c.delete_object(Bucket=w.uploads, Key=KEY)),
    "upload for somebody else": ("s3", lambda c, w: c.put_object(Bucket=w.uploads, Key="uploads/bob/x", Body=b"x")),
    "upload elsewhere": ("s3", lambda c, w: c.put_object(Bucket=w.uploads, Key="x", Body=b"x")),
    "change the upload bucket's policy": ("s3", lambda c, w: c.put_bucket_policy(Bucket=w.uploads, Policy="{}")),
    "read the upload bucket's policy": ("s3", lambda c, w: c.get_bucket_policy(Bucket=w.uploads)),
    "stop its versions": (
        "s3",
        lambda c, w: c.put_bucket_versioning(Bucket=w.uploads, VersioningConfiguration={"Status": "Suspended"}),
    ),
    "change its lifecycle": ("s3", lambda c, w: c.delete_bucket_lifecycle(Bucket=w.uploads)),
    "remove it": ("s3", lambda c, w: c.delete_bucket(Bucket=w.uploads)),
    "list the receipts": ("s3", lambda c, w: c.list_objects_v2(Bucket=w.receipts)),
    "read somebody else's receipt": ("s3", lambda c, w: c.get_object(Bucket=w.receipts, Key="receipts/bob/x.json")),
    "forge a receipt": ("s3", lambda c, w: c.put_object(Bucket=w.receipts, Key="receipts/alice/x.json", Body=b"x")),
    "remove a receipt": ("s3", lambda c, w: c.delete_object(Bucket=w.receipts, Key="receipts/alice/x.json")),
    "read the functions' code": ("s3", lambda c, w: c.get_object(Bucket=w.receipts, Key="code/x.zip")),
    "change the functions' code": ("s3", lambda c, w: c.put_object(Bucket=w.receipts, Key="code/x.zip", Body=b"x")),
    "list buckets": ("s3", lambda c, w: c.list_buckets()),
    "make a bucket": ("s3", lambda c, w: c.create_bucket(Bucket=f"{w.uploads}-own")),
    "start the workflow": ("stepfunctions", lambda c, w: c.start_execution(stateMachineArn=w.machine)),
    "start the sweeper": ("stepfunctions", lambda c, w: c.start_execution(stateMachineArn=f"{w.machine}-sweep")),
    "list executions": ("stepfunctions", lambda c, w: c.list_executions(stateMachineArn=w.machine)),
    "read the definition": ("stepfunctions", lambda c, w: c.describe_state_machine(stateMachineArn=w.machine)),
    "list workflows": ("stepfunctions", lambda c, w: c.list_state_machines()),
    "call the function stage": ("lambda", lambda c, w: c.invoke(FunctionName=f"{w.name}-stage", Payload=b"{}")),
    "call the function look": ("lambda", lambda c, w: c.invoke(FunctionName=f"{w.name}-look", Payload=b"{}")),
    "read a function": ("lambda", lambda c, w: c.get_function(FunctionName=f"{w.name}-stage")),
    "change a function": (
        "lambda",
        lambda c, w: c.update_function_configuration(FunctionName=f"{w.name}-stage", Timeout=1),
    ),
    "run the task": ("ecs", lambda c, w: c.run_task(cluster=w.name, taskDefinition=w.name)),
    "list tasks": ("ecs", lambda c, w: c.list_tasks(cluster=w.name)),
    "read the task definition": ("ecs", lambda c, w: c.describe_task_definition(taskDefinition=w.name)),
    "read the token": ("secretsmanager", lambda c, w: c.get_secret_value(SecretId="localgov-api-token")),
    "list secrets": ("secretsmanager", lambda c, w: c.list_secrets()),
    "read the turns": ("dynamodb", lambda c, w: c.scan(TableName=w.name)),
    "take a turn": ("dynamodb", lambda c, w: c.put_item(TableName=w.name, Item={"target": {"S": w.name}})),
    "read dead letters": (
        "sqs",
        lambda c, w: c.receive_message(QueueUrl=f"http://127.0.0.1/{w.account}/{w.name}-dead-letters"),
    ),
    "read logs": ("logs", lambda c, w: c.describe_log_groups()),
    "read the file system's policy": ("efs", lambda c, w: c.describe_file_systems()),
    "stop the events": ("events", lambda c, w: c.disable_rule(Name=f"{w.name}-uploaded")),
    "silence an alarm": ("cloudwatch", lambda c, w: c.delete_alarms(AlarmNames=[f"{w.name}-failed"])),
    "read the stack": ("cloudformation", lambda c, w: c.describe_stacks(StackName=w.name)),
    "remove the stack": ("cloudformation", lambda c, w: c.delete_stack(StackName=w.name)),
    "read its own role": ("iam", lambda c, w: c.get_role(RoleName=f"{w.name}-operative-alice")),
    "widen its own role": (
        "iam",
        lambda c, w: c.put_role_policy(RoleName=f"{w.name}-operative-alice", PolicyName="x", PolicyDocument="{}"),
    ),
    "become the deployer": (
        "sts",
        lambda c, w: c.assume_role(
            RoleArn=f"arn:aws:iam::{w.account}:role/localgov-deploy", RoleSessionName="operative"
        ),
    ),
    "become the task": (
        "sts",
        lambda c, w: c.assume_role(RoleArn=f"arn:aws:iam::{w.account}:role/{w.name}-task", RoleSessionName="operative"),
    ),
    "list keys": ("kms", lambda c, w: c.list_keys()),
    "remove the key": ("kms", lambda c, w: c.schedule_key_deletion(KeyId=f"alias/{w.name}")),
}


@pytest.mark.parametrize("what", TRIED)
def test_an_operative_may_not(workflow: Workflow, what: str) -> None:
    service, call = TRIED[what]
    with pytest.raises(ClientError) as refused:
        call(workflow.client(service, workflow.operative), workflow)
    assert refused.value.response["Error"]["Code"] in REFUSALS


def test_forty_other_actions_at_least_were_tried() -> None:
    assert len(TRIED) >= 40


def test_an_account_administrator_may_not_read_an_upload_either(workflow: Workflow) -> None:
    administrator = workflow.sandbox.role("camden", "admin", [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
    with workflow.turn_taken():
        key, version = workflow.upload(lines(user("watched")))
        workflow.execution_of(key, version)
        with pytest.raises(ClientError) as refused:
            workflow.client("s3", administrator).get_object(Bucket=workflow.uploads, Key=key, VersionId=version)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    workflow.receipt(key, version)
