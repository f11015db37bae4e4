# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""An organisation with a unit in a unit, an account with tags and one that is suspended; a folder of inventories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sandbox.conftest import CHECKOUT, Sandbox

_ORGANISATION = yaml.safe_load((CHECKOUT / "sandbox" / "organisation.yml").read_text())
# The management account, which the sandbox's own description leaves out: nothing of the platform works in it.
MANAGEMENT = {"aws_access_key_id": _ORGANISATION["management"]["id"], "aws_secret_access_key": "test"}
PLUGIN = "localgov.platform.organization_accounts"


@dataclass
class Inventory:
    """A folder that is an inventory, and the management account's credentials in the environment."""

    sandbox: Sandbox
    folder: Path
    unit: str
    """The id of the unit `local-authorities`."""

    def write(self, **options: Any) -> None:
        self.static("organization_accounts.yml", {"plugin": PLUGIN, **options})

    def static(self, name: str, content: dict[str, Any]) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(content))

    def listed(self) -> dict[str, Any]:
        done = self.run("ansible-inventory", "--list")
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr
        # What comes from AWS is marked as no template of ours.
        answer: dict[str, Any] = json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found))
        return answer

    def error(self, **environment: str) -> str:
        strict = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
        done = self.run("ansible-inventory", "--list", **strict, **environment)
        assert done.returncode != 0, done.stdout
        return " ".join(done.stderr.split())

    def run(self, program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        described = self.sandbox.description
        own = {
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            **{name.upper(): value for name, value in MANAGEMENT.items()},
            "AWS_ENDPOINT_URL": described["endpoint_url"],
            "AWS_CA_BUNDLE": described["ca_bundle"],
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LOCALGOV_", "AWS_"))}
        return subprocess.run(
            [str(Path(sys.executable).parent / program), "-i", str(self.folder), *arguments],
            cwd=CHECKOUT,
            env={**inherited, **own, **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, str]]:
    """The sandbox, in which sutton is in a unit of its own, croydon is suspended, and camden has a tag."""
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    sandbox.start()
    try:
        client = sandbox.client("organizations", MANAGEMENT)
        (root,) = client.list_roots()["Roots"]
        (unit,) = client.list_organizational_units_for_parent(ParentId=root["Id"])["OrganizationalUnits"]
        south = client.create_organizational_unit(ParentId=unit["Id"], Name="South London")["OrganizationalUnit"]
        client.move_account(
            AccountId=sandbox.account("sutton"), SourceParentId=unit["Id"], DestinationParentId=south["Id"]
        )
        client.close_account(AccountId=sandbox.account("croydon"))
        client.tag_resource(ResourceId=sandbox.account("camden"), Tags=[{"Key": "wave", "Value": "first"}])
        yield sandbox, str(unit["Id"])
    finally:
        sandbox.run("stop")


@pytest.fixture
def inventory(organisation: tuple[Sandbox, str], tmp_path: Path) -> Inventory:
    sandbox, unit = organisation
    return Inventory(sandbox, tmp_path, unit)
