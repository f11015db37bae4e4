# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority joins where the organisation itself is the inventory.

Its whole way: tests/integration/onboarding/test_onboard.py.
"""

from __future__ import annotations

import json
import shutil

import pytest

from tests.integration.inventory.conftest import MANAGEMENT, Inventory
from tests.sandbox.conftest import CHECKOUT

# The ranges of those who were there before their accounts had a tag.
OLDER = {"camden": "10.0.16.0/20", "sutton": "10.0.48.0/20"}
STATIC = {
    "organisation": {"hosts": {"hub": {"ansible_aws_account_id": "200000000001", "platform_cidr": "10.0.0.0/20"}}},
    "management": {
        "hosts": {
            "management-account": {
                "ansible_aws_account_id": MANAGEMENT["aws_access_key_id"],
                "ansible_aws_account_role": "localgov-accounts",
            }
        }
    },
}


@pytest.mark.slow
def test_the_organisations_list_is_its_entry_and_no_file_is_written(inventory: Inventory) -> None:
    tag = "organization_account.tags['platform-cidr']"
    inventory.write(
        organizational_units=[inventory.unit],
        exclude=["200000000001"],
        compose={"platform_cidr": f"{tag} | default({OLDER}[organization_account.name])"},
    )
    inventory.static("static.yml", STATIC)
    shutil.copytree(CHECKOUT / "inventories" / "sandbox" / "group_vars", inventory.folder / "group_vars")
    files = sorted(path.name for path in inventory.folder.iterdir())
    done = inventory.run(
        "ansible-playbook",
        str(CHECKOUT / "playbooks" / "onboard.yml"),
        *("-e", "name=barnet", "-e", "email=barnet@example.invalid", "-e", "sample=false"),
        *("-e", json.dumps({"platform_image_layouts": f"{CHECKOUT}/build/images/layouts"})),
        LOCALGOV_SANDBOX_DIR=str(inventory.sandbox.folder),
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert sorted(path.name for path in inventory.folder.iterdir()) == files
    barnet = inventory.listed()["_meta"]["hostvars"]["barnet"]
    assert barnet["platform_cidr"] == barnet["organization_account"]["tags"]["platform-cidr"] == "10.0.32.0/20"
    assert barnet["organization_account"]["unit"]["id"] == inventory.unit
