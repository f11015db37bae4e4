# SPDX-License-Identifier: GPL-3.0-or-later

"""A sandbox, and playbooks that run in it as an operator runs them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.localgov.platform.plugins.modules import cross_account_trust

from tests.integration import playbooks
from tests.sandbox.conftest import Sandbox, policy

# The permissions that the module's documentation names: the deploy roles have these here, and nothing else.
DOCUMENTED = [
    {"Effect": "Allow", "Action": re.findall(r"C\((\w+:\w+)\)", note), "Resource": "*"}
    for note in yaml.safe_load(cross_account_trust.DOCUMENTATION)["notes"]
    if note.startswith("Permissions")
]
MODULE = "localgov.platform.cross_account_trust"


class Playbook(playbooks.Playbook):
    """Runs this module alone."""

    def run(self, *tasks: dict[str, Any], host: str = "camden") -> list[dict[str, Any]]:
        """The results of *tasks*, each the module's arguments; `_check` and `_fails` are about the task."""
        return super().run(*map(_task, tasks), host=host)


def _task(arguments: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in arguments.items() if not name.startswith("_") and value is not None}
    return {MODULE: given, "check": arguments.get("_check", False), "fails": arguments.get("_fails", False)}


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all tests here: each has resources of its own."""
    shared = Sandbox(tmp_path_factory.mktemp("trust") / "state")
    shared.start()
    for account in ("camden", "croydon", "hub"):
        iam = shared.client("iam", shared.root(account))
        for name in iam.list_role_policies(RoleName="localgov-deploy")["PolicyNames"]:
            iam.delete_role_policy(RoleName="localgov-deploy", PolicyName=name)
        iam.put_role_policy(RoleName="localgov-deploy", PolicyName="trust", PolicyDocument=policy(*DOCUMENTED))
        assert not iam.list_attached_role_policies(RoleName="localgov-deploy")["AttachedPolicies"]
    yield shared
    shared.run("stop")


@pytest.fixture
def playbook(sandbox: Sandbox, tmp_path: Path) -> Playbook:
    return Playbook(sandbox, tmp_path)


def new_name() -> str:
    """That no other test uses."""
    return f"localgov-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def unique() -> str:
    return new_name()


@pytest.fixture(scope="session")
def locks(sandbox: Sandbox) -> dict[str, Any]:
    """Both locks: the sandbox's unit, and the role that these tests read with."""
    return {
        "organisation_id": sandbox.description["organisation_id"],
        "organisational_unit_paths": [sandbox.description["organisational_unit_path"]],
        "role_patterns": ["localgov-reader"],
    }
