# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""An account with the workflow, deployed by the role as a person's Ansible does, on a real sandbox with real tasks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import boto3
import pytest
from botocore.config import Config

from tests.integration.playbooks import play, run_module
from tests.integration.users.api.service import Api
from tests.integration.users.histories import history_of
from tests.sandbox.conftest import Sandbox, policy
from tests.sandbox.runtime.registry import Image, image, layer, push

Value = TypeVar("Value")

SCRIPTS = Path(__file__).parent / "api"
TOKEN = f"token-{uuid.uuid4().hex}"
PASSWORD = f"password-{uuid.uuid4().hex}"
SECONDS = 60.0


def eventually(condition: Callable[[], Value | Literal[False] | None], what: str, seconds: float = SECONDS) -> Value:
    """Wait until *condition* is true."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {seconds} seconds; at the end it was {value!r}"
        time.sleep(0.1)


def user(name: str, role: str = "buyer", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "password": f"{PASSWORD}-{name}",
        "emailAddress": f"{name}@example.gov.uk",
        "role": role,
        **more,
    }


def lines(*users: dict[str, Any]) -> bytes:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in users).encode()


@dataclass
class Workflow:
    """The deployed workflow of one task."""

    sandbox: Sandbox
    api: Api
    task: str
    folder: Path
    used: list[bytes] = field(default_factory=list)

    def client(self, service: str, session: dict[str, str] | None = None) -> Any:
        described = self.sandbox.description
        made: Any = boto3.session.Session(
            region_name=described["region"],
            **(session or self.sandbox.root("camden")),  # type: ignore[arg-type]
        )
        return made.client(
            service,
            endpoint_url=described["endpoint_url"],
            verify=described["ca_bundle"],
            config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
        )

    @cached_property
    def root_s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def states(self) -> Any:
        return self.client("stepfunctions")

    @cached_property
    def operative(self) -> dict[str, str]:
        """A session of the operative's role, as the person's own role assumes it."""
        person = self.sandbox.role(
            "camden", "alice", [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]
        )
        return self.sandbox.assume(person, "camden", f"{self.name}-operative-alice")

    @property
    def name(self) -> str:
        return f"localgov-{self.task}"

    @property
    def account(self) -> str:
        return self.sandbox.account("camden")

    @property
    def uploads(self) -> str:
        return f"localgov-{self.account}-{self.task}"

    @property
    def receipts(self) -> str:
        return f"{self.uploads}-receipts"

    @property
    def machine(self) -> str:
        return f"arn:aws:states:eu-west-2:{self.account}:stateMachine:{self.name}"

    def copy(self, file: Path) -> tuple[str, str]:
        """Upload with `aws s3 cp`, as an operative without this collection does. The key and the version."""
        key = f"uploads/alice/{file.name}"
        done = subprocess.run(
            [Path(sys.executable).parent / "aws", "s3", "cp", file, f"s3://{self.uploads}/{key}"],
            env=self.sandbox.environment_of(self.operative),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return key, self.version_of(key)

    def version_of(self, key: str) -> str:
        """The version that an execution has been started for; the object itself may have gone."""
        execution = self.execution_of(key)
        return str(json.loads(self.states.describe_execution(executionArn=execution)["input"])["version"])

    def upload(self, content: bytes, key: str | None = None) -> tuple[str, str]:
        """Upload as the operative. The key and the version."""
        key = key or f"uploads/alice/{uuid.uuid4().hex}.jsonl"
        answer = self.client("s3", self.operative).put_object(Bucket=self.uploads, Key=key, Body=content)
        return key, str(answer["VersionId"])

    def receipt(self, key: str, version: str, seconds: float = SECONDS) -> dict[str, Any]:
        """The receipt of this version, as the operative reads it."""
        s3 = self.client("s3", self.operative)

        def look() -> dict[str, Any] | None:
            try:
                body = s3.get_object(Bucket=self.receipts, Key=f"receipts/{key.removeprefix('uploads/')}.json")["Body"]
            except s3.exceptions.ClientError:
                return None
            found: dict[str, Any] = json.loads(body.read())
            return found if found["upload"]["version"] == version else None

        return eventually(look, f"the receipt of {key}", seconds)

    def process(self, content: bytes, key: str | None = None, seconds: float = SECONDS) -> dict[str, Any]:
        """Upload, wait for the receipt and for the end of the execution."""
        receipt = self.receipt(*self.upload(content, key), seconds)
        self.ended(receipt["execution"])
        return receipt

    def ended(self, execution: str, seconds: float = SECONDS) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.states.describe_execution(executionArn=execution)
            return found if found["status"] != "RUNNING" else None

        return eventually(look, f"the end of {execution}", seconds)

    def execution_of(self, key: str, version: str | None = None) -> str:
        """The execution of this version, or of any, as soon as it is there."""

        def look() -> str | None:
            for entry in self.states.list_executions(stateMachineArn=self.machine)["executions"]:
                given = json.loads(self.states.describe_execution(executionArn=entry["executionArn"])["input"])
                if given["key"] == key and version in (None, given["version"]):
                    return str(entry["executionArn"])
            return None

        return eventually(look, f"the execution of {key}")

    def states_of(self, execution: str) -> list[str]:
        """The states that an execution has entered, in order."""
        events = history_of(self.states, execution)
        return [event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event]

    def script(self) -> int:
        """The process of the script of the running task, which is the child of the container's."""

        def look() -> int | None:
            for path in (self.sandbox.folder / "processes").glob("*.json"):
                written = json.loads(path.read_text())
                if self.name in written["what"]:
                    pid = written["identity"]["pid"]
                    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                    return int(children[0]) if children else None
            return None

        return eventually(look, "the script's process")

    def residue(self) -> dict[str, list[Any]]:
        """What lies in the upload bucket and in the staging area: really, and by what efs_staging_info is told."""
        listed = self.root_s3.list_object_versions(Bucket=self.uploads)
        answer = self.client("lambda").invoke(FunctionName=f"{self.name}-look", Payload=b"{}")
        told = json.loads(answer["Payload"].read())
        return {
            "objects": listed.get("Versions", []) + listed.get("DeleteMarkers", []),
            "staged": [path for area in ("files", "results") for path in self.staging.glob(f"{area}/*")],
            "told": told["uploads"] + told["staged"],
        }

    def failures_of(self, execution: str) -> dict[str, int]:
        """How often each state of an execution has failed."""
        found: dict[str, int] = {}
        name = ""
        for event in history_of(self.states, execution):
            name = event.get("stateEnteredEventDetails", {}).get("name", name)
            if event["type"] == "TaskFailed":
                found[name] = found.get(name, 0) + 1
        return found

    # --- faults ---

    @contextmanager
    def broken_staging(self) -> Iterator[Callable[[], None]]:
        """A file where the folder of copies should be. What is yielded mends it."""
        files = self.staging / "files"
        if files.is_dir():
            files.rmdir()
        files.touch()

        def mend() -> None:
            files.unlink(missing_ok=True)

        try:
            yield mend
        finally:
            if files.is_file():
                mend()

    @contextmanager
    def turn_taken(self, ends: float | None = None) -> Iterator[None]:
        """Somebody else has the turn."""
        table = self.client("dynamodb")
        key = {"target": {"S": self.name}}
        until = {"N": str(int((ends or time.time() + 600) * 1000))}
        table.put_item(TableName=self.name, Item={**key, "holder": {"S": "somebody"}, "ends": until})
        yield
        if ends is None:
            table.delete_item(TableName=self.name, Key=key)

    @contextmanager
    def no_event_heard(self) -> Iterator[None]:
        events = self.client("events")
        events.disable_rule(Name=f"{self.name}-uploaded")
        try:
            yield
        finally:
            events.enable_rule(Name=f"{self.name}-uploaded")

    @contextmanager
    def everything_old(self) -> Iterator[None]:
        """The sweeper takes everything for older than an execution can be."""
        functions, name = self.client("lambda"), f"{self.name}-stage"
        before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        changed = {"Variables": {**before, "EXECUTION_SECONDS": "0", "UPLOAD_SECONDS": "0"}}
        functions.update_function_configuration(FunctionName=name, Environment=changed)
        try:
            yield
        finally:
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})

    @contextmanager
    def denied(self, function: str, action: str) -> Iterator[None]:
        """The function's role may not do this any more."""
        iam, role = self.client("iam"), f"{self.name}-{function}"
        denial = policy({"Effect": "Deny", "Action": action, "Resource": "*"})
        iam.put_role_policy(RoleName=role, PolicyName="fault", PolicyDocument=denial)
        try:
            yield
        finally:
            iam.delete_role_policy(RoleName=role, PolicyName="fault")

    @contextmanager
    def time_limit(self, seconds: int, state: str | None = None) -> Iterator[None]:
        """An execution, or one state of it, may take no longer."""
        before = self.states.describe_state_machine(stateMachineArn=self.machine)["definition"]
        changed = json.loads(before)
        limited = changed["States"][state] if state else changed
        limited["TimeoutSeconds"] = seconds
        self.states.update_state_machine(stateMachineArn=self.machine, definition=json.dumps(changed))
        try:
            yield
        finally:
            self.states.update_state_machine(stateMachineArn=self.machine, definition=before)

    def alarms(self) -> set[tuple[str, str]]:
        """The metrics that an alarm watches, each with what it is counted of."""
        alarms = self.client("cloudwatch").describe_alarms(AlarmNamePrefix=self.name)["MetricAlarms"]
        return {(alarm["MetricName"], alarm["Dimensions"][0]["Value"]) for alarm in alarms}

    @contextmanager
    def no_table(self) -> Iterator[None]:
        table = self.client("dynamodb")
        described = table.describe_table(TableName=self.name)["Table"]
        table.delete_table(TableName=self.name)
        try:
            yield
        finally:
            table.create_table(
                TableName=self.name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=described["KeySchema"],
                AttributeDefinitions=described["AttributeDefinitions"],
            )

    def dead_letters(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (
            self.client("sqs").receive_message(**self._queue, VisibilityTimeout=0).get("Messages", [])
        )
        return messages

    def forget_dead_letters(self) -> None:
        self.client("sqs").purge_queue(**self._queue)

    @property
    def _queue(self) -> dict[str, str]:
        return {"QueueUrl": self.client("sqs").get_queue_url(QueueName=f"{self.name}-dead-letters")["QueueUrl"]}

    def sweep_when_old(self) -> dict[str, Any]:
        """The hourly sweep, when all that is left is older than any execution can be."""
        with self.everything_old():
            time.sleep(1.1)  # ages are whole seconds
            return self.sweep()

    def sweep(self) -> dict[str, Any]:
        """The hourly sweep, now."""
        started = self.states.start_execution(stateMachineArn=f"{self.machine}-sweep", input="{}")
        return self.ended(started["executionArn"])

    def swept_after(self, execution: str) -> dict[str, Any]:
        """The sweep that follows the end of an execution which failed, when it has ended itself."""

        def look() -> str | None:
            for entry in self.states.list_executions(stateMachineArn=f"{self.machine}-sweep")["executions"]:
                given = json.loads(self.states.describe_execution(executionArn=entry["executionArn"])["input"])
                if given.get("executionArn") == execution:
                    return str(entry["executionArn"])
            return None

        return self.ended(eventually(look, f"the sweep after {execution}"))

    @cached_property
    def staging(self) -> Path:
        efs = self.client("efs")
        points = efs.describe_access_points()["AccessPoints"]
        (point,) = (
            one
            for one in points
            if one["RootDirectory"]["Path"] == "/staging" and self._is_ours(efs, one["FileSystemId"])
        )
        return self.sandbox.folder / "file-systems" / self.account / str(point["FileSystemId"]) / "staging"

    def _is_ours(self, efs: Any, identifier: str) -> bool:
        (system,) = efs.describe_file_systems(FileSystemId=identifier)["FileSystems"]
        return {"Key": "Name", "Value": self.name} in system["Tags"]

    def module(
        self, name: str, session: dict[str, str] | None = None, *, check: bool = False, **options: Any
    ) -> dict[str, Any]:
        """What a module says, in a process of its own as Ansible starts it."""
        given = {**options, "_ansible_check_mode": check}
        return run_module(self.sandbox, self.folder, name, session or self.operative, given)


PLAY = """\
- hosts: camden
  gather_facts: false
  roles:
    - role: localgov.platform.add_users_stepfn
      add_users_stepfn_account_id: "{{ ansible_aws_account_id }}"
      add_users_stepfn_region: "{{ platform_region }}"
"""


@dataclass
class Ground:
    """A sandbox, an API, its image in the registry, and a network: what every workflow of these tests needs."""

    sandbox: Sandbox
    api: Api
    folder: Path
    image: str
    network: dict[str, str]
    secret: str
    built: Image

    @contextmanager
    def without_image(self) -> Iterator[None]:
        """The registry does not have the task's image any more."""
        ecr = self.sandbox.client("ecr", self.sandbox.root("camden"))
        digest = {"imageDigest": self.built.digest}
        ecr.batch_delete_image(repositoryName="localgov/api", imageIds=[digest])
        try:
            yield
        finally:
            push(ecr, "localgov/api", self.built)

    def play(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        playbook, given = self.folder / "play.yml", self.folder / "variables.json"
        playbook.write_text(PLAY, encoding="utf-8")
        defaults = {
            "add_users_stepfn_image": self.image,
            "add_users_stepfn_network": self.network,
            "add_users_stepfn_environment": {"API_ENDPOINT": self.api.endpoint},
            "add_users_stepfn_secrets": {"API_TOKEN": self.secret},
            "add_users_stepfn_operatives": {"alice": [f"arn:aws:iam::{self.sandbox.account('camden')}:role/alice"]},
            "add_users_stepfn_allowed_values": {"role": ["buyer", "slow", "unheard-of"]},
            "add_users_stepfn_turn_seconds": 1,
            "add_users_stepfn_task_seconds": 15,
            "add_users_stepfn_execution_seconds": 1900,
        }
        given.write_text(
            json.dumps({name: value for name, value in {**defaults, **variables}.items() if value is not None}),
            encoding="utf-8",
        )
        return play(self.sandbox, self.folder, playbook, "-e", f"@{given}", *arguments)

    def workflow(self, task: str, **variables: Any) -> Workflow:
        done = self.play(add_users_stepfn_task=task, **variables)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return Workflow(self.sandbox, self.api, task, self.folder)


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("users")
    sandbox = Sandbox(folder / "state", {"LOCALGOV_SANDBOX_RUNTIME": "processes"})
    api = Api(TOKEN)
    try:
        sandbox.start()
        yield _prepared(sandbox, api, folder)
    finally:
        api.close()
        sandbox.run("reset")


def _prepared(sandbox: Sandbox, api: Api, folder: Path) -> Ground:
    root = sandbox.root("camden")
    ec2, ecr = sandbox.client("ec2", root), sandbox.client("ecr", root)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"eu-west-2{zone}")
        for number, zone in enumerate("ab")
    ]
    endpoints = ec2.create_security_group(GroupName="endpoints", Description="endpoints", VpcId=vpc)["GroupId"]
    ecr.create_repository(repositoryName="localgov/api")
    scripts = {f"app/scripts/{name}": (SCRIPTS / name).read_text() for name in ("add_users.py", "add_all_users.py")}
    built = image([layer(scripts)], WorkingDir="/app")
    digest = push(ecr, "localgov/api", built)
    secret = sandbox.client("secretsmanager", root).create_secret(Name="localgov-api-token", SecretString=TOKEN)["ARN"]
    network = {
        "VpcId": vpc,
        "SubnetIds": ",".join(one["Subnet"]["SubnetId"] for one in subnets),
        "EndpointSecurityGroupId": endpoints,
        "S3PrefixListId": "pl-7ca54015",
    }
    registry = f"{sandbox.account('camden')}.dkr.ecr.eu-west-2.amazonaws.com"
    return Ground(sandbox, api, folder, f"{registry}/localgov/api@{digest}", network, secret, built)


@pytest.fixture(scope="session")
def workflow(ground: Ground) -> Workflow:
    """The workflow as the marketplace's adding of users has it."""
    return ground.workflow("add-users")


@pytest.fixture(scope="session")
def once(ground: Ground) -> Workflow:
    """A workflow beside it, for a script that takes the whole file."""
    return ground.workflow(
        "all-add-users",
        add_users_stepfn_command=["scripts/add_all_users.py", "{API_ENDPOINT}", "{API_TOKEN}", "{file}"],
        add_users_stepfn_run="once",
        add_users_stepfn_task_seconds=60,
    )


@pytest.fixture(scope="session")
def patient(ground: Ground) -> Workflow:
    """A workflow whose script is started for each line, and has time for many."""
    times = {"add_users_stepfn_task_seconds": 3600, "add_users_stepfn_execution_seconds": 5400}
    return ground.workflow("each-add-users", **times)
