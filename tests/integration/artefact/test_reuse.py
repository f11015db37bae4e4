# SPDX-License-Identifier: GPL-3.0-or-later
"""Other collections build on the installed artefact, and its examples are to be copied as they stand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.artefact.conftest import run
from tests.sandbox.conftest import CHECKOUT, Sandbox
from tests.unit.plugins.module_utils.layouts import write_image, write_index

INVENTORY = CHECKOUT / "inventories" / "sandbox"


@pytest.fixture(scope="module")
def estate(artefact: Path, elsewhere: Path) -> dict[str, str]:
    """An empty collection that depends on the artefact, with a playbook, installed: the environment to use both."""
    alone = {"ANSIBLE_CONFIG": str(elsewhere / "ansible.cfg"), "ANSIBLE_LOCAL_TEMP": str(elsewhere / "tmp")}
    run("ansible-galaxy", "collection", "init", "example.estate", cwd=elsewhere, **alone)
    source = elsewhere / "example" / "estate"
    described = yaml.safe_load((source / "galaxy.yml").read_text(encoding="utf-8"))
    described["dependencies"] = {"localgov.platform": ">=0.1.0"}
    (source / "galaxy.yml").write_text(yaml.safe_dump(described), encoding="utf-8")
    shutil.copytree(Path(__file__).parent / "estate", source, dirs_exist_ok=True)
    run("ansible-galaxy", "collection", "build", str(source), cwd=elsewhere, **alone)
    built = str(elsewhere / "example-estate-1.0.0.tar.gz")
    run("ansible-galaxy", "collection", "install", "--offline", "--force", built, str(artefact), cwd=elsewhere, **alone)
    return alone


@pytest.fixture
def images(elsewhere: Path) -> Path:
    """Layouts under the names that the examples use: `build/census`, `build/code-server` and `build/frontend.tar`."""
    folder = elsewhere / "build"
    for name in ("census", "code-server", "frontend"):
        manifest = write_image(folder / name, [name.encode()])
        write_index(folder / name, [manifest | {"platform": {"os": "linux", "architecture": "amd64"}}])
    shutil.make_archive(str(folder / "frontend"), "tar", folder / "frontend")
    return folder


def play(sandbox: Sandbox, folder: Path, environment: dict[str, str], playbook: str, *arguments: str) -> str:
    return run(
        "ansible-playbook",
        "-i",
        str(INVENTORY),
        playbook,
        *arguments,
        cwd=folder,
        LOCALGOV_SANDBOX_DIR=str(sandbox.folder),
        **environment,
    )


def changed(printed: str) -> int:
    return sum(map(int, re.findall(r"changed=(\d+)", printed)))


def test_an_empty_collection_uses_a_role_and_the_modules_from_its_own_playbook(
    estate: dict[str, str], elsewhere: Path, sandbox: Sandbox, images: Path
) -> None:
    layout = ("-e", f"layout={images / 'census'}")
    first = play(sandbox, elsewhere, estate, "example.estate.registry", *layout)
    assert changed(first) > 0
    ecr = sandbox.client("ecr", sandbox.deployer("hub"))
    (held,) = ecr.describe_images(repositoryName="localgov/daemon")["imageDetails"]
    assert held["imageTags"] == ["1"]
    assert held["imageDigest"] in first
    policy = json.loads(ecr.get_repository_policy(repositoryName="localgov/daemon")["policyText"])
    assert {"PartnerPull", "ServicesPull"} == {statement["Sid"] for statement in policy["Statement"]}
    assert changed(play(sandbox, elsewhere, estate, "example.estate.registry", *layout)) == 0


ROLES = ("org_ecr", "shared_bucket", "access_audit", "la_network")


@pytest.fixture(scope="module")
def played(estate: dict[str, str], elsewhere: Path, sandbox: Sandbox) -> dict[str, str]:
    """What each role's example printed, one role after the other."""
    printed = {}
    for role in ROLES:
        readme = (CHECKOUT / "roles" / role / "README.md").read_text(encoding="utf-8")
        (example,) = re.findall(r"^## Example\n\n```yaml\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
        (elsewhere / f"{role}.yml").write_text(example, encoding="utf-8")
        printed[role] = play(sandbox, elsewhere, estate, f"{role}.yml")
    return printed


@pytest.mark.parametrize("role", ROLES)
def test_the_example_of_a_role_is_a_play_that_works(role: str, played: dict[str, str]) -> None:
    assert changed(played[role]) > 0


@pytest.mark.usefixtures("played", "images")
@pytest.mark.parametrize("module", ["ecr_image", "ecr_image_info", "cross_account_trust"])
def test_the_examples_of_a_module_are_tasks_that_work(
    module: str, estate: dict[str, str], elsewhere: Path, sandbox: Sandbox
) -> None:
    documented = json.loads(run("ansible-doc", "--json", f"localgov.platform.{module}", cwd=elsewhere, **estate))
    tasks = yaml.safe_load(documented[f"localgov.platform.{module}"]["examples"])
    assert tasks
    playbook = [{"hosts": owner(task), "gather_facts": False, "tasks": [task]} for task in tasks]
    (elsewhere / f"{module}.yml").write_text(yaml.safe_dump(playbook, sort_keys=False), encoding="utf-8")
    printed = play(sandbox, elsewhere, estate, f"{module}.yml")
    assert len(re.findall(r"^(ok|changed): ", printed, flags=re.MULTILINE)) == len(tasks)


OLD_STACK = """
Resources:
  Exports:
    Type: AWS::S3::Bucket
    DeletionPolicy: Retain
    UpdateReplacePolicy: Retain
    Properties: {BucketName: localgov-camden-exports}
"""


def test_a_bucket_of_a_hand_made_stack_is_adopted_with_what_is_in_it(
    estate: dict[str, str], elsewhere: Path, sandbox: Sandbox
) -> None:
    stacks, s3 = (sandbox.client(service, sandbox.root("camden")) for service in ("cloudformation", "s3"))
    stacks.create_stack(StackName="old", TemplateBody=OLD_STACK)
    stacks.get_waiter("stack_create_complete").wait(StackName="old", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    s3.put_object(Bucket="localgov-camden-exports", Key="2025/header.csv", Body=b"CHILD\n1\n")
    migration = (CHECKOUT / "docs" / "migration.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(- name: Adopt.*?)^```$", migration, flags=re.MULTILINE | re.DOTALL)
    (elsewhere / "adopt.yml").write_text(example, encoding="utf-8")
    assert changed(play(sandbox, elsewhere, estate, "adopt.yml")) > 0
    stacks.delete_stack(StackName="old")
    stacks.get_waiter("stack_delete_complete").wait(StackName="old", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert s3.get_object(Bucket="localgov-camden-exports", Key="2025/header.csv")["Body"].read() == b"CHILD\n1\n"
    assert s3.get_bucket_versioning(Bucket="localgov-camden-exports")["Status"] == "Enabled"


def owner(task: dict[str, Any]) -> str:
    """The host whose resource a task is about."""
    return "camden" if "localgov-012345670123-" in json.dumps(task) else "hub"
