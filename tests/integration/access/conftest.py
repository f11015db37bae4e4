# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A sandbox that runs tasks, and two accounts in it: camden tries, croydon has what is tried."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible_collections.localgov.platform.plugins.modules import access_probe, cross_account_access_info

from tests.integration import playbooks
from tests.sandbox.conftest import Sandbox, policy
from tests.sandbox.runtime import registry

PROBE = "localgov.platform.access_probe"
INFO = "localgov.platform.cross_account_access_info"
TRIED = [
    *("s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"),
    *("s3:DeleteObject", "s3:DeleteObjectVersion"),
]
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
Statement = dict[str, Any]


def allow(actions: str | list[str], resources: str | list[str] = "*") -> Statement:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}


def documented(module: ModuleType) -> list[str]:
    """The permissions that a module's documentation names."""
    notes = [note for note in yaml.safe_load(module.DOCUMENTATION)["notes"] if note.startswith("Permissions")]
    return [action for note in notes for action in re.findall(r"C\((\w+:\w+)\)", note)]


# The deploy roles have what the modules' documentation names, and nothing else: of objects no more than probes.
_OF_OBJECTS = [action for action in documented(access_probe) if "Object" in action]
DEPLOYER = [
    allow([*documented(cross_account_access_info), *set(documented(access_probe)) - set(_OF_OBJECTS)]),
    allow(_OF_OBJECTS, "arn:aws:s3:::*.access-probe/*"),
]


class Playbook(playbooks.Playbook):
    """Also runs the info module alone."""

    def access(self, *principals: dict[str, Any], **more: Any) -> dict[str, Any]:
        """What the info module finds."""
        (result,) = self.run({INFO: {"principals": list(principals), **more}})
        return result


@dataclass
class Estate:
    """What there is to try, with names of one test run. Tests of one module lay probes and may keep their versions.

    croydon lets the friends of camden, its deploy role among them, into the bucket and the repository `open`, over TLS
    only; nobody into the ones `closed`.
    """

    sandbox: Sandbox
    unique: str
    task: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)  # of the probes

    @property
    def friends(self) -> dict[str, str]:
        return {"assumed": f"{self.unique}-assumed", "task": f"{self.unique}-task"}

    @property
    def plain_http(self) -> str:
        return str(self.sandbox.description["browser_endpoint_url"])

    def client(self, service: str, account: str = "camden") -> Any:
        return self.sandbox.client(service, self.sandbox.root(account))

    def bucket(self, name: str) -> str:
        return f"{self.unique}-{name}"

    def trial(self, action: str, name: str, **more: Any) -> dict[str, Any]:
        """A trial on the bucket or the repository *name*."""
        if action in ("pull", "push"):
            account, region = self.sandbox.account("croydon"), self.sandbox.description["region"]
            return {
                "resource": f"arn:aws:ecr:{region}:{account}:repository/{self.unique}/{name}",
                "action": action,
                **more,
            }
        return {"resource": f"arn:aws:s3:::{self.bucket(name)}", "action": action, **more}

    def role(self, name: str, trusts: dict[str, str], *allowed: Statement, account: str = "camden") -> str:
        iam = self.client("iam", account)
        trust = policy({"Effect": "Allow", "Principal": trusts, "Action": "sts:AssumeRole"})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        if allowed:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*allowed))
        return str(arn)

    def definition(self, family: str, execution_role: str, **container: Any) -> dict[str, Any]:
        """The module's option `task` for a task definition that is made now."""
        log = {
            "awslogs-group": f"/{self.unique}",
            "awslogs-region": self.sandbox.description["region"],
            "awslogs-stream-prefix": "main",
        }
        self.client("ecs").register_task_definition(
            family=family,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            executionRoleArn=execution_role,
            containerDefinitions=[
                {"name": "main", "logConfiguration": {"logDriver": "awslogs", "options": log}, **container}
            ],
        )
        return {
            "cluster": self.unique,
            "task_definition": family,
            "subnets": ["subnet-0a1b2c3d4e5f60718"],
            "security_groups": ["sg-0a1b2c3d4e5f60718"],
        }

    def leftovers(self, *buckets: str) -> list[str]:
        """Whatever versions of objects there are in the buckets."""
        found = []
        for name in buckets:
            account = "camden" if name == "own" else "croydon"
            answer = self.client("s3", account).list_object_versions(Bucket=self.bucket(name))
            found += [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in answer.get(kind) or []]
        return found


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    shared = Sandbox(tmp_path_factory.mktemp("access") / "state", {"LOCALGOV_SANDBOX_RUNTIME": "processes"})
    try:
        shared.start()
        yield shared
    finally:
        shared.run("reset")


@pytest.fixture(scope="session")
def estate(sandbox: Sandbox) -> Estate:
    made = Estate(sandbox, f"access-{uuid.uuid4().hex[:8]}")
    _limit_deployers(made)
    _make_principals(made)
    _make_resources(made)
    made.task = _make_task(made)
    return made


@pytest.fixture
def playbook(sandbox: Sandbox, tmp_path: Path) -> Playbook:
    return Playbook(sandbox, tmp_path)


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"access-{uuid.uuid4().hex[:12]}"


def _limit_deployers(estate: Estate) -> None:
    for account in ("camden", "croydon"):
        iam = estate.client("iam", account)
        for name in iam.list_role_policies(RoleName="localgov-deploy")["PolicyNames"]:
            iam.delete_role_policy(RoleName="localgov-deploy", PolicyName=name)
        iam.put_role_policy(RoleName="localgov-deploy", PolicyName="access", PolicyDocument=policy(*DEPLOYER))
    # In camden it is a friend, too.
    of_croydon = [f"arn:aws:s3:::{estate.unique}-*", f"arn:aws:ecr:*:{estate.sandbox.account('croydon')}:repository/*"]
    friend = policy(allow([*TRIED, *PULL, "ecr:PutImage"], of_croydon))
    estate.client("iam").put_role_policy(RoleName="localgov-deploy", PolicyName="friend", PolicyDocument=friend)


def _make_principals(estate: Estate) -> None:
    everything = allow(["s3:*", "ecr:*"])
    deployer = f"arn:aws:iam::{estate.sandbox.account('camden')}:role/localgov-deploy"
    estate.role(estate.friends["assumed"], {"AWS": deployer}, everything)
    estate.role(estate.friends["task"], {"Service": "ecs-tasks.amazonaws.com"}, everything)


def _make_resources(estate: Estate) -> None:
    camden = estate.sandbox.account("camden")
    names = ["localgov-deploy", *estate.friends.values()]
    friends = {"AWS": [f"arn:aws:iam::{camden}:role/{name}" for name in names]}
    for name, account in (("own", "camden"), ("open", "croydon"), ("closed", "croydon")):
        s3 = estate.client("s3", account)
        s3.create_bucket(Bucket=estate.bucket(name), CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        s3.put_bucket_versioning(Bucket=estate.bucket(name), VersioningConfiguration={"Status": "Enabled"})
    arn = f"arn:aws:s3:::{estate.bucket('open')}"
    in_clear = {"Bool": {"aws:SecureTransport": "false"}}
    document = policy(
        {**allow(TRIED, [arn, f"{arn}/*"]), "Principal": friends},
        {**allow("s3:*", [arn, f"{arn}/*"]), "Effect": "Deny", "Principal": "*", "Condition": in_clear},
    )
    estate.client("s3", "croydon").put_bucket_policy(Bucket=estate.bucket("open"), Policy=document)
    ecr = estate.client("ecr", "croydon")
    for name in ("open", "closed", "half"):
        ecr.create_repository(repositoryName=f"{estate.unique}/{name}")
    for name, actions in (("open", [*PULL, "ecr:PutImage"]), ("half", PULL[:2])):
        statement = {"Effect": "Allow", "Principal": friends, "Action": actions}
        ecr.set_repository_policy(repositoryName=f"{estate.unique}/{name}", policyText=policy(statement))


def _make_task(estate: Estate) -> dict[str, Any]:
    """A cluster, and a task definition whose image comes from camden's registry: Python is the sandbox's own."""
    estate.client("ecs").create_cluster(clusterName=estate.unique)
    estate.client("logs").create_log_group(logGroupName=f"/{estate.unique}")
    ecr = estate.client("ecr")
    repository = ecr.create_repository(repositoryName=f"{estate.unique}/python")["repository"]
    image = registry.image([registry.layer({"etc/word": "fetched\n"})], Cmd=["python", "-m", "http.server"])
    digest = registry.push(ecr, repository["repositoryName"], image)
    starts = [*PULL, "ecr:GetAuthorizationToken", "logs:CreateLogStream", "logs:PutLogEvents"]
    role = estate.role(f"{estate.unique}-execution", {"Service": "ecs-tasks.amazonaws.com"}, allow(starts))
    return estate.definition(estate.unique, role, image=f"{repository['repositoryUri']}@{digest}")
