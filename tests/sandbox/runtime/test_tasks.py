# SPDX-License-Identifier: GPL-3.0-or-later
"""What ECS promises about one task."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime.conftest import Account, account, address_of, eventually, marked_processes

IDENTITY = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"


def test_the_exit_code_of_a_process_is_the_exit_code_of_its_task(camden: Account) -> None:
    task = camden.ended(camden.run(camden.define("raise SystemExit(7)")))
    assert task["containers"][0]["exitCode"] == 7
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["stopCode"] == "EssentialContainerExited"


def test_a_family_stands_for_its_latest_active_revision(camden: Account, unique: str) -> None:
    first, second = (camden.define(f"print({number})", family=unique) for number in (1, 2))
    assert camden.task(camden.run(unique))["taskDefinitionArn"] == second
    # As CloudFormation does with what it rolls back.
    camden.ecs.deregister_task_definition(taskDefinition=second)
    assert camden.task(camden.run(unique))["taskDefinitionArn"] == first
    assert camden.ecs.describe_task_definition(taskDefinition=unique)["taskDefinition"]["taskDefinitionArn"] == first
    camden.ecs.deregister_task_definition(taskDefinition=first)
    with pytest.raises(ClientError, match="Unable to describe task definition"):
        camden.ecs.describe_task_definition(taskDefinition=unique)
    assert camden.ecs.describe_task_definition(taskDefinition=second)["taskDefinition"]["status"] == "INACTIVE"


def test_overrides_change_command_and_environment_of_one_run(camden: Account) -> None:
    definition = camden.define("print('as defined')", environment=[{"name": "WHO", "value": "definition"}])
    override = {
        "name": "main",
        "command": ["import os; print(os.environ['WHO'], os.environ['WHAT'])"],
        "environment": [{"name": "WHO", "value": "override"}, {"name": "WHAT", "value": "added"}],
    }
    arn = camden.run(definition, overrides={"containerOverrides": [override]})
    camden.ended(arn)
    assert camden.log_of(arn) == "override added\n"


def test_a_task_is_its_own_role_and_holds_no_secret_key(camden: Account, unique: str) -> None:
    arn = camden.run(
        camden.define(
            f"import os; {IDENTITY}; print('AWS_SECRET_ACCESS_KEY' in os.environ)", taskRoleArn=camden.role(unique)
        )
    )
    assert camden.ended(arn)["containers"][0]["exitCode"] == 0, camden.log_of(arn)
    session = f"arn:aws:sts::{camden.id}:assumed-role/{unique}/{arn.rsplit('/', 1)[-1]}"
    assert camden.log_of(arn).split() == [session, "False"]


def test_a_task_may_do_what_its_role_allows_and_nothing_else(camden: Account, unique: str) -> None:
    camden.client("s3").create_bucket(
        Bucket=unique, CreateBucketConfiguration={"LocationConstraint": camden.sandbox.description["region"]}
    )
    allowed = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{unique}/*"}
    script = f"""
        import boto3, botocore
        s3 = boto3.client("s3")
        s3.put_object(Bucket={unique!r}, Key="key", Body=b"body")
        try:
            s3.delete_object(Bucket={unique!r}, Key="key")
        except botocore.exceptions.ClientError as reason:
            print(reason.response["Error"]["Code"])
    """
    arn = camden.run(camden.define(script, taskRoleArn=camden.role(unique, allowed)))
    camden.ended(arn)
    assert camden.log_of(arn) == "AccessDenied\n"
    assert camden.client("s3").get_object(Bucket=unique, Key="key")["Body"].read() == b"body"


def test_a_task_without_a_role_finds_no_credentials(camden: Account) -> None:
    arn = camden.run(camden.define("import boto3; print(boto3.Session().get_credentials())"))
    camden.ended(arn)
    assert camden.log_of(arn) == "None\n"


def test_a_role_that_does_not_trust_ecs_starts_no_task(camden: Account, unique: str) -> None:
    role = camden.role(unique, trusts="lambda.amazonaws.com")
    task = camden.ended(camden.run(camden.define(IDENTITY, taskRoleArn=role)))
    assert task["stopCode"] == "TaskFailedToStart"
    assert f"unable to assume the role '{role}'" in task["stoppedReason"]


def test_the_credentials_of_an_ended_task_are_not_renewed(camden: Account, unique: str) -> None:
    script = "import os; print(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'])"
    arn = camden.run(camden.define(script, taskRoleArn=camden.role(unique)))
    camden.ended(arn)
    url = eventually(lambda: camden.log_of(arn).strip(), "the address of the credentials")
    script = f"""
        import urllib.error, urllib.request
        try:
            urllib.request.urlopen({url!r})
        except urllib.error.HTTPError as reason:
            print(reason.code)
    """
    other = camden.run(camden.define(script, family=f"{unique}-other"))
    camden.ended(other)
    assert camden.log_of(other) == "404\n"


def test_nothing_of_the_emulators_environment_reaches_a_task(camden: Account) -> None:
    arn = camden.run(camden.define("import os, json; print(json.dumps(sorted(os.environ)))"))
    camden.ended(arn)
    names = set(json.loads(camden.log_of(arn)))
    assert not names & {"AUTH", "GATEWAY_PORT", "STATE_DIR", "PYTHONPATH", "AWS_ACCESS_KEY_ID", "DOCKER_HOST"}
    assert {"PATH", "HOME", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_REGION", "BIND_ADDRESS"} <= names


def test_a_task_reads_its_own_metadata(camden: Account) -> None:
    script = """
        import json, os, urllib.request
        with urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task") as answer:
            print(json.load(answer)["TaskARN"])
    """
    arn = camden.run(camden.define(script))
    camden.ended(arn)
    assert camden.log_of(arn).strip() == arn


def test_logs_arrive_in_cloudwatch_line_by_line(camden: Account, unique: str) -> None:
    camden.client("logs").create_log_group(logGroupName=f"/{unique}")
    role = camden.role(
        unique, {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
    )
    arn = camden.run(
        camden.define("print('one'); print('two')", executionRoleArn=role, logConfiguration=_awslogs(unique))
    )
    camden.ended(arn)
    stream = f"main/main/{arn.rsplit('/', 1)[-1]}"
    events = eventually(
        lambda: _messages(camden, unique, stream) == ["one", "two"] and ["one", "two"], "two lines in CloudWatch"
    )
    assert events == ["one", "two"]


def test_a_log_group_that_the_execution_role_may_not_use_starts_no_task(camden: Account, unique: str) -> None:
    camden.client("logs").create_log_group(logGroupName=f"/{unique}")
    definition = camden.define(
        "print('never')", executionRoleArn=camden.role(unique), logConfiguration=_awslogs(unique)
    )
    task = camden.ended(camden.run(definition))
    assert "failed to validate logger args" in task["stoppedReason"]
    assert "AccessDenied" in task["stoppedReason"]


@pytest.mark.parametrize("may_read", [True, False])
def test_a_secret_reaches_a_task_only_with_the_right_of_its_execution_role(
    camden: Account, unique: str, may_read: bool
) -> None:
    secret = camden.client("secretsmanager").create_secret(
        Name=unique, SecretString=json.dumps({"username": "u", "password": "p4ss"})
    )["ARN"]
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret}
    definition = camden.define(
        "import os; print(os.environ['PASSWORD'])",
        secrets=[{"name": "PASSWORD", "valueFrom": f"{secret}:password::"}],
        executionRoleArn=camden.role(unique, *([statement] if may_read else [])),
    )
    arn = camden.run(definition)
    task = camden.ended(arn)
    if may_read:
        assert camden.log_of(arn) == "p4ss\n"
    else:
        assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")
        assert "AccessDenied" in task["stoppedReason"]


def test_an_image_that_nothing_is_known_of_says_where_to_name_it(camden: Account) -> None:
    task = camden.ended(camden.run(camden.define("", image="example/unknown:1")))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "example/unknown:1" in task["stoppedReason"]
    assert "sandbox/images.yml" in task["stoppedReason"]


def test_a_stopped_task_ends_by_sigterm_with_the_exit_code_that_it_chooses(camden: Account) -> None:
    script = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
        print("ready", flush=True)
        time.sleep(600)
    """
    arn = camden.run(camden.define(script))
    eventually(lambda: "ready" in camden.log_of(arn), "the task to be ready")
    answer = camden.ecs.stop_task(cluster=camden.cluster, task=arn, reason="enough")["task"]
    assert answer["desiredStatus"] == "STOPPED"
    task = camden.ended(arn)
    assert (task["stoppedReason"], task["stopCode"]) == ("enough", "UserInitiated")
    assert task["containers"][0]["exitCode"] == 3


def test_a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout(camden: Account) -> None:
    script = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        time.sleep(600)
    """
    arn = camden.run(camden.define(script, stopTimeout=2))
    eventually(lambda: "ready" in camden.log_of(arn), "the task to be ready")
    began = time.monotonic()
    camden.ecs.stop_task(cluster=camden.cluster, task=arn)
    assert camden.ended(arn)["containers"][0]["exitCode"] == 137
    assert time.monotonic() - began >= 2


def test_no_descendant_outlives_its_task_not_even_one_that_left_its_session(camden: Account) -> None:
    script = """
        import subprocess
        for own_session in (False, True):
            print(subprocess.Popen(["sleep", "600"], start_new_session=own_session).pid, flush=True)
    """
    arn = camden.run(camden.define(script))
    camden.ended(arn)
    children = {int(pid) for pid in camden.log_of(arn).split()}
    assert len(children) == 2
    eventually(lambda: not children & set(marked_processes(camden.sandbox.folder)), "the end of the children")


def test_an_ended_essential_container_ends_the_others_of_its_task(camden: Account) -> None:
    wait = "import time; time.sleep(600)"
    containers = [
        {"name": "main", "image": "test/python", "command": ["raise SystemExit(4)"], "essential": True},
        {"name": "aside", "image": "test/python", "command": [wait], "essential": False},
    ]
    definition = camden.ecs.register_task_definition(
        family=camden.cluster, networkMode="awsvpc", containerDefinitions=containers
    )["taskDefinition"]["taskDefinitionArn"]
    task = camden.ended(camden.run(definition))
    eventually(
        lambda: (
            {c["name"]: c.get("exitCode") for c in camden.task(task["taskArn"])["containers"]}
            == {"main": 4, "aside": 143}
        ),
        "the exit codes of both containers",
    )


@pytest.mark.parametrize("code", [0, 3])
def test_a_container_starts_when_the_one_that_it_depends_on_has_ended_well_and_else_the_task_fails(
    camden: Account, unique: str, code: int
) -> None:
    s3 = camden.client("s3")
    s3.create_bucket(
        Bucket=unique, CreateBucketConfiguration={"LocationConstraint": camden.sandbox.description["region"]}
    )
    rights = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}
    prepare = f"""
        import boto3, sys, time
        time.sleep(1)
        boto3.client("s3").put_object(Bucket={unique!r}, Key="prepared")
        sys.exit({code})
    """
    find = (
        f"import boto3; boto3.client('s3').copy_object(Bucket={unique!r}, Key='found', CopySource='{unique}/prepared')"
    )
    containers: list[Any] = [
        {"name": "init", "image": "test/python", "command": [textwrap.dedent(prepare)], "essential": False},
        {
            "name": "main",
            "image": "test/python",
            "command": [textwrap.dedent(find)],
            "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
        },
    ]
    definition = camden.ecs.register_task_definition(
        family=camden.cluster,
        networkMode="awsvpc",
        containerDefinitions=containers,
        taskRoleArn=camden.role(unique, rights),
    )["taskDefinition"]["taskDefinitionArn"]
    task = camden.ended(camden.run(definition))
    made = {entry["Key"] for entry in s3.list_objects_v2(Bucket=unique).get("Contents", [])}
    if code == 0:
        assert made == {"prepared", "found"}, task
    else:
        assert made == {"prepared"}
        assert "dependent container init exited with code 3" in task["stoppedReason"]


def test_every_task_has_an_address_of_its_own_and_everywhere_means_only_there(camden: Account) -> None:
    script = """
        import http.server, sys
        server = http.server.HTTPServer((sys.argv[1], 8080), http.server.SimpleHTTPRequestHandler)
        print(server.server_address[0], flush=True)
        server.serve_forever()
    """
    definition = camden.define(script, entryPoint=["python", "-c"])
    override = {"name": "main", "command": [textwrap.dedent(script), "0.0.0.0"]}  # noqa: S104  what images say
    arns = [camden.run(definition, overrides={"containerOverrides": [override]}) for _ in range(2)]
    addresses = [address_of(camden.running(arn)) for arn in arns]
    network = camden.sandbox.description["task_network"].removesuffix(".0.0/16")
    assert len(set(addresses)) == 2
    assert all(address.startswith(f"{network}.") for address in addresses)
    for arn, address in zip(arns, addresses, strict=True):
        eventually(lambda arn=arn: camden.log_of(arn), "the server")  # type: ignore[misc]
        assert camden.log_of(arn).splitlines()[0] == address
        camden.ecs.stop_task(cluster=camden.cluster, task=arn)
        camden.ended(arn)


def test_the_health_of_a_container_is_what_its_check_says(camden: Account) -> None:
    script = "import time, pathlib; pathlib.Path('ok').touch(); time.sleep(600)"
    check = {"command": ["CMD-SHELL", "test -f ok"], "interval": 5, "retries": 1}
    arn = camden.run(camden.define(script, healthCheck=check))
    eventually(lambda: camden.task(arn)["healthStatus"] == "HEALTHY", "a healthy task")
    assert camden.task(arn)["containers"][0]["healthStatus"] == "HEALTHY"
    camden.ecs.stop_task(cluster=camden.cluster, task=arn)


def test_with_the_runtime_off_tasks_and_databases_are_records_only(
    new_sandbox: Callable[..., Sandbox],
) -> None:
    quiet = new_sandbox(LOCALGOV_SANDBOX_RUNTIME="off")
    quiet.start()
    camden = account(quiet)
    arn = camden.run(camden.define("raise SystemExit(7)", image="example/unknown"))
    assert camden.task(arn)["lastStatus"] == "RUNNING"
    assert not marked_processes(quiet.folder)


def _awslogs(group: str) -> dict[str, Any]:
    return {
        "logDriver": "awslogs",
        "options": {"awslogs-group": f"/{group}", "awslogs-region": "eu-west-2", "awslogs-stream-prefix": "main"},
    }


def _messages(camden: Account, group: str, stream: str) -> list[str]:
    logs = camden.client("logs")
    return [event["message"] for event in logs.get_log_events(logGroupName=f"/{group}", logStreamName=stream)["events"]]
