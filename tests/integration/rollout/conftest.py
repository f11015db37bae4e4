# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""Rollouts on a sandbox without tasks, as operators start them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry, RetryingBotoClientWrapper
from ansible_collections.localgov.platform.plugins.module_utils._deployment_lock import Claim, release, take

from sandbox.journey.person import wait_for
from tests.integration.playbooks import INVENTORY, command, operators_environment, play
from tests.sandbox.conftest import CHECKOUT, Sandbox

# No images are pulled where no tasks run, so none are pushed: any digests do.
DIGESTS = {name: f"sha256:{number:064}" for number, name in enumerate(("frontend", "dagit", "daemon", "code-server"))}
# Of the frontend that runs where a release begins, and of the release's.
OLD, NEW = (f"sha256:{number:064}" for number in (98, 99))
REMOTE = Claim("alice@laptop", "elsewhere.pid.1.1", 3600)
SITE = CHECKOUT / "playbooks" / "site.yml"


class Operator:
    """Somebody with a folder of their own, in which reports and retry files come to lie."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self.folder = folder

    def runs(self, playbook: Path, *arguments: str, inventory: Path = INVENTORY) -> subprocess.CompletedProcess[str]:
        own = {"LOCALGOV_ROLLOUT_REPORT_FOLDER": str(self.folder)}
        return play(self._sandbox, self.folder, playbook, *arguments, inventory=inventory, **own)

    def rolls_out(self, accounts: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return self.runs(SITE, *_of(accounts, variables))

    @contextmanager
    def begins(self, accounts: str) -> Iterator[subprocess.Popen[bytes]]:
        """A rollout that goes on while the block does."""
        environment = operators_environment(self._sandbox, self.folder)
        begun = subprocess.Popen(
            command(SITE, *_of(accounts, {})), cwd=self.folder, env=environment, stdout=subprocess.DEVNULL
        )
        try:
            yield begun
        finally:
            begun.kill()
            begun.wait()

    def report(self, playbook: str = "site") -> dict[str, dict[str, Any]]:
        """What the report says, by account."""
        written = json.loads((self.folder / f"{playbook}.json").read_text(encoding="utf-8"))
        return {account["name"]: account for account in written["accounts"]}

    def page(self, playbook: str = "site") -> str:
        return (self.folder / f"{playbook}.html").read_text(encoding="utf-8")


def _of(accounts: str, variables: dict[str, Any]) -> list[str]:
    return ["--limit", accounts, "-e", json.dumps({"platform_image_digests": DIGESTS, **variables})]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all tests of this folder."""
    shared = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    shared.start()
    yield shared
    shared.run("stop")


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Operator]:
    return lambda: Operator(sandbox, tmp_path_factory.mktemp("operator"))


def s3_of(sandbox: Sandbox, account: str) -> Any:
    """S3 as the account's deploy role, as modules have it."""
    client = sandbox.client("s3", sandbox.deployer(account))
    return RetryingBotoClientWrapper(client, AWSRetry.jittered_backoff(retries=1))


def bucket(sandbox: Sandbox, account: str) -> str:
    return f"localgov-{sandbox.account(account)}-rollout"


def stacks(sandbox: Sandbox, account: str) -> list[tuple[str, str]]:
    found = sandbox.client("cloudformation", sandbox.root(account)).describe_stacks()["Stacks"]
    return sorted((stack["StackName"], stack["StackStatus"]) for stack in found)


def run_a_frontend(sandbox: Sandbox, account: str, digest: str) -> None:
    """The account has a bucket of its rollouts and runs a frontend, as far as a release looks at it."""
    s3_of(sandbox, account).create_bucket(
        Bucket=bucket(sandbox, account), CreateBucketConfiguration={"LocationConstraint": "eu-west-2"}
    )
    image = f"{sandbox.account('hub')}.dkr.ecr.eu-west-2.amazonaws.com/localgov/frontend@{digest}"
    container = {"Name": "frontend", "Image": image, "Essential": True}
    frontend = {"Family": "localgov-frontend", "ContainerDefinitions": [container]}
    resources = {
        "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": "localgov"}},
        "Frontend": {"Type": "AWS::ECS::TaskDefinition", "Properties": frontend},
    }
    cloudformation = sandbox.client("cloudformation", sandbox.root(account))
    cloudformation.create_stack(StackName="localgov-services", TemplateBody=yaml.safe_dump({"Resources": resources}))
    wait_for(lambda: stacks(sandbox, account) == [("localgov-services", "CREATE_COMPLETE")], "the stack", 60)


def take_away(sandbox: Sandbox, account: str) -> None:
    """Somebody elsewhere deploys the account."""
    take(
        s3_of(sandbox, account),
        bucket(sandbox, account),
        "lock.json",
        REMOTE,
        prepared=True,
        is_over=lambda _run: False,
    )


def give_back(sandbox: Sandbox, account: str) -> None:
    release(s3_of(sandbox, account), bucket(sandbox, account), "lock.json", REMOTE)
