# SPDX-License-Identifier: GPL-3.0-or-later
"""Other collections build on the installed artefact, and its examples are to be copied as they stand."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
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
    alone = {
        "ANSIBLE_CONFIG": str(elsewhere / "ansible.cfg"),
        "ANSIBLE_LOCAL_TEMP": str(elsewhere / "tmp"),
        "ANSIBLE_CALLBACKS_ENABLED": "localgov.platform.loaded_once",
    }
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


@pytest.fixture(scope="module")
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


# Each role whose example is carried out, in this order: in which account, and what has to be there afterwards that was
# not before, as `standing` tells it.
ROLES = {
    "org_ecr": (
        "hub",
        {f"localgov/{name} open to o-a1b2c3d4e5" for name in ("code-server", "dagit", "daemon", "frontend")},
    ),
    "shared_bucket": ("camden", {"localgov-012345670123-shared"}),
    "access_audit": ("camden", {"localgov-audit", "localgov-012345670123-audit"}),
    "la_network": ("camden", {"localgov-network"}),
    "la_services": (
        "camden",
        {
            f"localgov-{stack}"
            for stack in ("database", "signin", "keys", "events", "roles", "services", "hours", "watch")
        }
        | {"localgov-012345670123-data-store", "localgov-012345670123-workspace"},
    ),
    "add_users_stepfn": (
        "camden",
        {"localgov-add-users", "localgov-012345670123-add-users", "localgov-012345670123-add-users-receipts"},
    ),
}
# In this sandbox no task of ECS runs. Examples that need one are rehearsed, as they stand; which test carries the
# module out where tasks run.
REHEARSED = {
    "ecs_one_off_task": "tests/e2e/operators/test_release.py",
    "efs_staging": "tests/integration/users/test_add_users.py",
    "sample_submission": "tests/e2e/operators/test_release.py",
    "service_session": "tests/e2e/operators/test_webserver.py",
}
# What is not rehearsed either: the trials of this one are tasks that run as the pipeline's roles, in check mode too.
STOOD_FOR = {"cross_account_access_info": "tests/e2e/operators/test_verify.py"}
MODULES = sorted({path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")} - {*STOOD_FOR})
# What plays of examples set: the deploy role reads no data.
VARIABLES = {"s3_rollback": {"ansible_aws_account_role": "localgov-restore"}}
# What the example of private_bucket_info calls `policy`.
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Sid": "DenyInsecureTransport",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::localgov-012345670123-data-store/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    },
}
# The line of a file that the example of efs_staging hands over.
USER = {"name": "Sam Lee", "password": "made-up", "emailAddress": "sam.lee@camden.example", "role": "admin"}


@pytest.fixture(scope="module")
def played(estate: dict[str, str], elsewhere: Path, sandbox: Sandbox) -> dict[str, set[str]]:
    """What each role's example has made, one role after the other."""
    made = {}
    for role, (account, _) in ROLES.items():
        readme = (CHECKOUT / "roles" / role / "README.md").read_text(encoding="utf-8")
        (example,) = re.findall(r"^## Example\n\n```yaml\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
        (elsewhere / f"{role}.yml").write_text(example, encoding="utf-8")
        before = standing(sandbox, account)
        play(sandbox, elsewhere, estate, f"{role}.yml")
        made[role] = standing(sandbox, account) - before
    return made


@pytest.mark.parametrize("role", ROLES)
def test_the_example_of_a_role_is_a_play_that_makes_what_the_role_is_for(
    role: str, played: dict[str, set[str]]
) -> None:
    assert ROLES[role][1] <= played[role]


@pytest.fixture(scope="module")
def documented(estate: dict[str, str], elsewhere: Path) -> dict[str, list[dict[str, Any]]]:
    """The tasks that `ansible-doc` shows as examples of each module of the artefact."""
    names = [f"localgov.platform.{module}" for module in MODULES]
    told = json.loads(run("ansible-doc", "--json", *names, cwd=elsewhere, **estate))
    return {module: yaml.safe_load(told[f"localgov.platform.{module}"]["examples"]) for module in MODULES}


@pytest.fixture(scope="module")
def carried_out(
    played: dict[str, set[str]],
    images: Path,
    estate: dict[str, str],
    documented: dict[str, list[dict[str, Any]]],
    elsewhere: Path,
    sandbox: Sandbox,
) -> dict[str, str]:
    """What is printed of each module's examples, in one run that goes on after a failure."""
    (elsewhere / "users.jsonl").write_text(json.dumps(USER) + "\n", encoding="utf-8")
    samples = Path("files", "dagster", "code_server", "samples")
    shutil.copytree(CHECKOUT / samples, elsewhere / samples)
    playbook = [one for module, tasks in documented.items() for one in plays(module, tasks)]
    (elsewhere / "examples.yml").write_text(yaml.safe_dump(playbook, sort_keys=False), encoding="utf-8")
    unit = sandbox.description["organisational_unit_path"].split("/")[-2]
    given = json.dumps({"policy": POLICY, "unit": unit})
    printed = play(sandbox, elsewhere, estate, "examples.yml", "-e", given)
    parts = re.findall(r"^PLAY \[(\w+)\](.*?)(?=^PLAY )", printed, flags=re.MULTILINE | re.DOTALL)
    return {module: "".join(text for name, text in parts if name == module) for module in MODULES}


# A rehearsal hands nothing over, and has no receipt; and each service of the account runs as it should.
NOTHING_TO_TELL = {"efs_staging", "account_state_info"}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_tasks_that_work(
    module: str, documented: dict[str, list[dict[str, Any]]], carried_out: dict[str, str]
) -> None:
    printed = carried_out[module]
    assert "...ignoring" not in printed, printed
    assert "skipping:" not in printed or module in NOTHING_TO_TELL, printed
    assert len(re.findall(r"^TASK \[", printed, flags=re.MULTILINE)) == len(documented[module]) > 0


def test_every_role_and_module_is_carried_out_or_stood_for() -> None:
    roles = {path.name for path in (CHECKOUT / "roles").iterdir()}
    modules = {path.stem for path in (CHECKOUT / "plugins" / "modules").glob("*.py")}
    assert sorted([*ROLES, *MODULES, *STOOD_FOR]) == sorted(roles | modules)
    assert REHEARSED.keys() <= {*MODULES}


@pytest.mark.parametrize(("name", "test"), {**REHEARSED, **STOOD_FOR}.items())
def test_the_test_that_is_named_calls_it(name: str, test: str) -> None:
    assert name in called_by(CHECKOUT / test)


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


def standing(sandbox: Sandbox, account: str) -> set[str]:
    """An account's whole stacks, its buckets, and to which organisation each of its repositories is open."""
    stacks, s3, ecr = (sandbox.client(name, sandbox.root(account)) for name in ("cloudformation", "s3", "ecr"))
    complete = {
        stack["StackName"]
        for page in stacks.get_paginator("describe_stacks").paginate()
        for stack in page["Stacks"]
        if stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    }
    repositories = [entry["repositoryName"] for entry in ecr.describe_repositories()["repositories"]]
    policies = {name: json.loads(ecr.get_repository_policy(repositoryName=name)["policyText"]) for name in repositories}
    opened = {
        f"{name} open to {statement['Condition']['StringEquals']['aws:PrincipalOrgID']}"
        for name, policy in policies.items()
        for statement in policy["Statement"]
    }
    return complete | {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} | opened


def plays(module: str, tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each task on the host that it is about; what is said or done after a call goes by what that has registered."""
    host = "camden"
    for task in tasks:
        if any(name.startswith("localgov.platform.") for name in task):
            host = owner(json.dumps(task))
        yield {
            "name": module,
            "hosts": host,
            "gather_facts": False,
            "check_mode": module in REHEARSED,
            "ignore_errors": True,
            "vars": VARIABLES.get(module, {}),
            "tasks": [task],
        }


def owner(task: str) -> str:
    """Repositories are the organisation's, roles are made for trials outside it, and all else is an authority's."""
    return "hub" if "repository" in task else "outsider" if '"make": true' in task else "camden"


def called_by(test: Path) -> set[str]:
    """Modules that a test calls, roles whose variables it sets, and what these and the playbooks that it runs call."""
    text = test.read_text(encoding="utf-8")
    named = set(re.findall(r'module\(\s*"(\w+)"', text))
    roles = {path.name for path in (CHECKOUT / "roles").iterdir() if f"{path.name}_" in text}
    run_by_it = re.findall(r'playbook\("(\w+)"|playbooks/(\w+)\.yml', text)
    waiting = [CHECKOUT / "playbooks" / f"{first or second}.yml" for first, second in run_by_it]
    waiting += [path for role in roles for path in (CHECKOUT / "roles" / role / "tasks").glob("*.yml")]
    return named | roles | reached(waiting)


def reached(waiting: list[Path]) -> set[str]:
    """Roles and modules of this collection that files of tasks call, and those that these include."""
    names: set[str] = set()
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        text = path.read_text(encoding="utf-8")
        called = set(re.findall(r"localgov\.platform\.(\w+)", text))
        roles = {name for name in called if (CHECKOUT / "roles" / name).is_dir()}
        included = re.findall(r"(?:include|import)_tasks: (\S+\.yml)", text)
        beside = [folder / name for name in included for folder in (path.parent, CHECKOUT / "playbooks")]
        of_roles = [found for role in roles for found in (CHECKOUT / "roles" / role / "tasks").glob("*.yml")]
        waiting += [found for found in [*beside, *of_roles] if found.exists()]
        names |= called
    return names
