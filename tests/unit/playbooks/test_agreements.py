# SPDX-License-Identifier: GPL-3.0-or-later
"""What was agreed with an authority, from its entry in the inventory to what the organisation's pipeline is told."""

from __future__ import annotations

import ast
from pathlib import Path

from ansible_collections.localgov.platform.plugins.plugin_utils._inventory_faults import FORMS

from tests.unit.playbooks.evaluation import ROOT, evaluate

PIPELINE = ROOT / "files" / "dagster" / "code_server" / "src" / "localgov_pipeline" / "lib" / "regional.py"


def understood_by_the_pipeline() -> str:
    assigned = [node for node in ast.parse(PIPELINE.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    (value,) = [node.value for node in assigned if ast.unparse(node.targets[0]) == "KEEP_PUBLISHED"]
    return str(ast.literal_eval(value))


def test_what_an_inventory_may_say_of_an_agreement_is_what_the_pipeline_understands(tmp_path: Path) -> None:
    agreed = understood_by_the_pipeline()
    assert FORMS["platform_share_agreement"].fits(agreed)
    inventory = {
        "organisation": {"hosts": {"hub": {"ansible_aws_account_id": "200000000001"}}},
        "local_authorities": {
            "hosts": {
                "camden": {"ansible_aws_account_id": "012345670123", "platform_share_agreement": agreed},
                "croydon": {"ansible_aws_account_id": "300000000002"},
            }
        },
    }
    assert evaluate(tmp_path, "__platform_member_agreements", inventory)["hub"] == {"camden": agreed}
