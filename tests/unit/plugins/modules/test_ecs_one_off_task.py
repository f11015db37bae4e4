# SPDX-License-Identifier: GPL-3.0-or-later
"""A task in the place of a service: what is asked of ECS, and what is told when it does not end well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils import _one_off_tasks as one_off
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError
from ansible_collections.localgov.platform.plugins.modules import ecs_one_off_task as module
from botocore.stub import ANY

from tests.unit.answering_aws import stubbed

ARN = "arn:aws:ecs:eu-west-2:012345670123"
REPOSITORY = "200000000001.dkr.ecr.eu-west-2.amazonaws.com/localgov/daemon"
OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}
LOG = {"awslogs-group": "/localgov/daemon", "awslogs-stream-prefix": "daemon", "awslogs-region": "eu-west-2"}
DEFINITION: dict[str, Any] = {
    "taskDefinitionArn": f"{ARN}:task-definition/localgov-daemon:7",
    "family": "localgov-daemon",
    "revision": 7,
    "status": "ACTIVE",
    "taskRoleArn": "arn:aws:iam::012345670123:role/localgov-daemon-task",
    "executionRoleArn": "arn:aws:iam::012345670123:role/localgov-daemon-execution",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "256",
    "memory": "1024",
    "containerDefinitions": [
        {"name": "init", "image": f"{REPOSITORY}@{OLD}", "essential": False},
        {
            "name": "daemon",
            "image": f"{REPOSITORY}@{OLD}",
            "essential": True,
            "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
            "healthCheck": {"command": ["CMD", "true"]},
            "secrets": [{"name": "DAGSTER_PG_PASSWORD", "valueFrom": "arn:aws:secretsmanager:x"}],
            "logConfiguration": {"logDriver": "awslogs", "options": LOG},
        },
    ],
}


def test_it_is_the_service_but_for_image_command_health_check_and_what_runs_before() -> None:
    asked = one_off.once(DEFINITION, ["migrate"], NEW)
    (container,) = asked["containerDefinitions"]
    assert asked["family"] == "localgov-daemon-once"
    assert {key: asked[key] for key in ("taskRoleArn", "executionRoleArn", "cpu")} == {
        key: DEFINITION[key] for key in ("taskRoleArn", "executionRoleArn", "cpu")
    }
    assert (container["image"], container["command"]) == (f"{REPOSITORY}@{NEW}", ["migrate"])
    assert container["secrets"] == DEFINITION["containerDefinitions"][1]["secrets"]
    assert not {"healthCheck", "dependsOn"} & container.keys()


@pytest.mark.parametrize(
    ("image", "other"),
    [
        (f"{REPOSITORY}@{OLD}", f"{REPOSITORY}@{NEW}"),
        (f"{REPOSITORY}:1.2", f"{REPOSITORY}@{NEW}"),
        (f"localhost:5000/daemon:1@{OLD}", f"localhost:5000/daemon@{NEW}"),
    ],
)
def test_another_image_is_of_the_same_repository(image: str, other: str) -> None:
    assert one_off.with_digest(image, NEW) == other


class Module:
    """What of Ansible's module is used here."""

    check_mode = False

    def __init__(self, logs: Any, **params: Any) -> None:  # noqa: ANN401  a client
        self._logs = logs
        self.params = {
            "cluster": "localgov", "service": "daemon", "command": ["migrate"], "image_digest": NEW,
            "wait_timeout": 2, "log_lines": 5, "says": None, **params,
        }  # fmt: skip

    def client(self, service: str, **_: object) -> Any:  # noqa: ANN401
        assert service == "logs"
        return self._logs


class Ecs:
    """ECS, which answers what it was told to, in that order; `leaves` has what is in the family, with its age."""

    def __init__(self, **leaves: timedelta) -> None:
        self.client, self.stub = stubbed("ecs")
        self.logs, self.log_stub = stubbed("logs")
        found = {"serviceName": "daemon", "status": "ACTIVE", "taskDefinition": DEFINITION["taskDefinitionArn"]}
        self.stub.add_response("describe_services", {"services": [{**found, "networkConfiguration": NETWORK}]})
        self.stub.add_response("describe_task_definition", {"taskDefinition": DEFINITION})
        self.stub.add_response("list_task_definitions", {"taskDefinitionArns": list(leaves)})
        for arn, age in leaves.items():
            left = {"taskDefinitionArn": arn, "registeredAt": datetime.now(UTC) - age}
            self.stub.add_response("describe_task_definition", {"taskDefinition": left}, {"taskDefinition": arn})
            if age > timedelta(days=1):
                self.stub.add_response("deregister_task_definition", {}, {"taskDefinition": arn})
        self.stub.add_response("register_task_definition", {"taskDefinition": {"taskDefinitionArn": "once:1"}})

    def runs(self, *states: str, code: int | None = 0) -> Ecs:
        arn = f"{ARN}:task/localgov/1"
        asked = {"networkConfiguration": NETWORK, "taskDefinition": "once:1", "cluster": "localgov"}
        rest = dict.fromkeys(("launchType", "startedBy", "propagateTags"), ANY)
        self.stub.add_response("run_task", {"tasks": [{"taskArn": arn}]}, {**asked, **rest})
        ended = {"name": "daemon", **({} if code is None else {"exitCode": code})}
        for state in states:
            task = {"taskArn": arn, "lastStatus": state, "stoppedReason": "It ended", "containers": [ended]}
            self.stub.add_response("describe_tasks", {"tasks": [task]})
        return self

    def says(self, *lines: str) -> Ecs:
        events = [{"message": line, "timestamp": 1} for line in lines]
        asked = {"logStreamName": "daemon/daemon/1", "logGroupName": "/localgov/daemon", "limit": 5}
        self.log_stub.add_response("get_log_events", {"events": events}, {**asked, "startFromHead": False})
        return self

    def deregisters(self) -> Ecs:
        self.stub.add_response("deregister_task_definition", {}, {"taskDefinition": "once:1"})
        return self

    def run(self, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        given: Any = Module(self.logs, **params)
        try:
            return module.run(given, self.client)
        finally:
            self.stub.assert_no_pending_responses()
            self.log_stub.assert_no_pending_responses()


def test_a_task_that_ends_well_is_told_and_its_definition_goes_with_what_a_killed_run_left() -> None:
    ecs = Ecs(left=timedelta(days=2)).runs("STOPPED", "STOPPED").says("before", "done: 3", "after").deregisters()
    found = ecs.run(says="done")
    assert (found["task"], found["exit_code"], found["said"]) == ("1", 0, "done: 3")


def test_the_definition_of_a_run_that_may_go_on_is_left_to_it() -> None:
    ecs = Ecs(other=timedelta(minutes=1)).runs("STOPPED", "STOPPED").says("done").deregisters()
    assert ecs.run()["exit_code"] == 0


def test_a_task_that_ended_well_has_ended_well_though_its_definition_stays() -> None:
    ecs = Ecs().runs("STOPPED", "STOPPED").says("done")
    ecs.stub.add_client_error("deregister_task_definition", "AccessDeniedException")
    assert ecs.run()["exit_code"] == 0


def test_why_a_task_could_not_be_run_is_said_though_its_definition_stays() -> None:
    ecs = Ecs()
    ecs.stub.add_client_error("run_task", "InvalidParameterException", "No subnet")
    ecs.stub.add_client_error("deregister_task_definition", "ServerException")
    with pytest.raises(RefusedError, match="Cannot run the task: InvalidParameterException: No subnet"):
        ecs.run()


def test_a_task_that_takes_too_long_and_may_not_be_stopped_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOKS_FOR_A_STOP", 1)
    ecs = Ecs().runs("RUNNING")
    ecs.stub.add_client_error("stop_task", "AccessDeniedException")
    ecs.stub.add_response("describe_tasks", {"tasks": [{"lastStatus": "RUNNING"}]})
    ecs.deregisters()
    with pytest.raises(RefusedError, match="had not ended after 2 seconds, and could not be stopped: stop it"):
        ecs.run()


def test_an_exit_code_that_is_not_0_fails_with_reason_and_log_and_without_secrets() -> None:
    ecs = Ecs().runs("STOPPED", "STOPPED", code=1).says("password=hunter2 is wrong").deregisters()
    with pytest.raises(RefusedError, match=r"daemon@sha256:b+ ended with exit code 1: It ended\n  . password=\*+ is"):
        ecs.run()


def test_a_task_that_never_ran_fails_with_ecs_reason() -> None:
    ecs = Ecs().runs("STOPPED", "STOPPED", code=None).deregisters()
    with pytest.raises(RefusedError, match="did not run: It ended"):
        ecs.run()


def test_a_task_that_takes_too_long_is_stopped() -> None:
    ecs = Ecs().runs("RUNNING")
    ecs.stub.add_response("stop_task", {}, {"cluster": "localgov", "task": f"{ARN}:task/localgov/1", "reason": ANY})
    ecs.stub.add_response("describe_tasks", {"tasks": [{"lastStatus": "STOPPED"}]})
    ecs.deregisters()
    with pytest.raises(RefusedError, match="had not ended after 2 seconds, and was stopped"):
        ecs.run()


def test_a_task_that_ends_well_without_saying_what_it_has_to_say_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_SECONDS", 1)
    ecs = Ecs().runs("STOPPED", "STOPPED").says("something else").deregisters()
    with pytest.raises(RefusedError, match="no line 'done'"):
        ecs.run(says="done")


def test_a_service_that_is_not_there_is_told_with_what_to_do() -> None:
    client, stub = stubbed("ecs")
    stub.add_response("describe_services", {"services": [{"serviceName": "daemon", "status": "INACTIVE"}]})
    with pytest.raises(RefusedError, match=r"The cluster localgov has no service daemon[.] Deploy it first"):
        module.found_service(client, "localgov", "daemon")
