# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys of shared buckets the platform's roles are allowed to use, by what an inventory says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.playbooks.evaluation import evaluate


def keys(folder: Path, *, croydon: dict[str, Any]) -> dict[str, str]:
    region = {"platform_region": "eu-west-2"}
    members = {
        "camden": {"ansible_aws_account_id": "012345670123", **region, "platform_shared_encryption": "aws:kms"},
        "croydon": {"ansible_aws_account_id": "300000000002", "platform_region": "eu-west-1", **croydon},
        "sutton": {"ansible_aws_account_id": "400000000003", **region},
    }
    inventory = {
        "organisation": {"hosts": {"hub": {"ansible_aws_account_id": "200000000001", **region}}},
        "local_authorities": {"hosts": members},
    }
    found: dict[str, str] = evaluate(folder, "__platform_shared_keys", inventory)["hub"]
    return found


def test_a_key_is_known_of_each_authority_whose_inventory_says_so_in_its_own_region(tmp_path: Path) -> None:
    camden = {"localgov-012345670123-shared": "arn:aws:kms:eu-west-2:012345670123:key/*"}
    croydon = {"localgov-300000000002-shared": "arn:aws:kms:eu-west-1:300000000002:key/*"}
    assert keys(tmp_path, croydon={"platform_shared_encryption": "AES256"}) == camden
    assert keys(tmp_path, croydon={"platform_shared_encryption": "aws:kms"}) == {**camden, **croydon}
