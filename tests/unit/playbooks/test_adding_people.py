# SPDX-License-Identifier: GPL-3.0-or-later
"""Adding people to an account's own sign-in: the workflow needs one, and no file with an unknown role leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"
REFUSAL = "Refuse to add people to a sign-in that is not there"
POOL = {
    "SignInUserPoolId": "eu-west-2_one",
    "SignInIssuer": "https://cognito-idp.eu-west-2.amazonaws.com/eu-west-2_one",
}


def run(playbook: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    host = {
        "ansible_aws_account_id": "012345670123",
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "platform_add_users_image": "frontend",
        "platform_region": "eu-west-2",
    }
    inventory = {
        "organisation": {"hosts": {"hub": {**host, "ansible_aws_account_id": "200000000001"}}},
        "local_authorities": {"hosts": {"camden": host}},
    }
    (folder / "inventory.yml").write_text(json.dumps(inventory))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "inventory.yml", str(playbook), *arguments],
        cwd=folder,
        env={
            **inherited,
            "ANSIBLE_CONFIG": str(PLAYBOOKS.parent / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_ACCESS_KEY_ID": "made-up-id",
            "AWS_SECRET_ACCESS_KEY": "made-up-secret",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def told(done: subprocess.CompletedProcess[str]) -> str:
    """What the last task said."""
    last = json.loads(done.stdout)["plays"][-1]["tasks"][-1]["hosts"]["camden"]
    return str(last["msg"])


def decided(folder: Path, outputs: dict[str, str] | None, *arguments: str) -> str:
    """The pool to which the workflow would add people, or why there would be none."""
    steps = yaml.safe_load((PLAYBOOKS / "tasks" / "workflow.yml").read_text())
    names = [step["name"] for step in steps]
    refusal = steps[names.index(REFUSAL)]
    keep = steps[names.index("Keep the one by which people are added to the account's sign-in")]
    assert names.index(REFUSAL) < names.index(keep["name"])
    stacks = {} if outputs is None else {"localgov-signin": {"stack_outputs": outputs}}
    tasks = [
        refusal,
        {"ansible.builtin.debug": {"msg": "{{ __platform_sign_in_outputs | to_json }}"}, "vars": keep["vars"]},
    ]
    known = {"__platform_adds_people": True, "__platform_name_prefix": "localgov"}
    variables = {**known, "__platform_sign_in_stack": {"cloudformation": stacks}}
    own = {"hosts": "camden", "gather_facts": False, "vars": variables, "tasks": tasks}
    (folder / "playbook.yml").write_text(yaml.safe_dump([own]))
    return told(run(folder / "playbook.yml", folder, *arguments))


def test_a_workflow_is_kept_for_the_pool_that_is_there(tmp_path: Path) -> None:
    assert json.loads(decided(tmp_path, POOL)) == POOL


@pytest.mark.parametrize("outputs", [None, {}])
def test_no_workflow_is_deployed_for_a_pool_that_is_not_there(tmp_path: Path, outputs: dict[str, str] | None) -> None:
    reason = decided(tmp_path, outputs)
    assert "and has none (the outputs of the stack localgov-signin)" in reason
    assert "Deploy its services with la_services_sign_in: cognito first" in reason


def test_a_rehearsal_foresees_a_pool(tmp_path: Path) -> None:
    assert json.loads(decided(tmp_path, None, "--check"))["SignInUserPoolId"] == "eu-west-2_predicted"


@pytest.mark.parametrize(
    ("declared", "endpoints"),
    [
        ({"platform_add_users_image": "frontend"}, ["ecr.api", "ecr.dkr", "logs", "cognito-idp"]),
        ({"platform_add_users_image": "api"}, ["ecr.api", "ecr.dkr", "logs"]),
        (
            {"platform_add_users_image": "api", "add_users_stepfn_secrets": {"API_TOKEN": "arn:of:one"}},
            ["ecr.api", "ecr.dkr", "logs", "secretsmanager"],
        ),
    ],
)
def test_the_network_leads_to_what_the_task_calls(
    tmp_path: Path, declared: dict[str, object], endpoints: list[str]
) -> None:
    task = {"ansible.builtin.debug": {"msg": "{{ __platform_workflow_endpoints | to_json }}"}}
    (tmp_path / "playbook.yml").write_text(
        yaml.safe_dump([{"hosts": "camden", "gather_facts": False, "tasks": [task]}])
    )
    (tmp_path / "group_vars").symlink_to(PLAYBOOKS / "group_vars")
    assert json.loads(told(run(tmp_path / "playbook.yml", tmp_path, "-e", json.dumps(declared)))) == endpoints


@pytest.mark.parametrize(
    ("role", "said"),
    [("kings", "was not handed over: line 1"), ("viewers", "Cannot hand a file over")],  # to an AWS that is not there
)
def test_a_file_with_a_role_that_is_no_group_of_the_sign_in_does_not_leave(
    tmp_path: Path, role: str, said: str
) -> None:
    users = tmp_path / "users.jsonl"
    users.write_text(json.dumps({"name": "Ada", "emailAddress": "ada@camden.example", "role": role}) + "\n")
    given = {"operative": "alice", "users_file": str(users)}
    done = run(PLAYBOOKS / "add_users.yml", tmp_path, "-l", "camden", "-e", json.dumps(given))
    assert said in told(done)
