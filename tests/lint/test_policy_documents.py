# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS takes the policies that people are asked to give to roles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Of all policies of a role's own together, and of one managed policy; white space does not count.
INLINE, MANAGED = 10_240, 6_144


def length(name: str) -> int:
    return len(json.dumps(json.loads((DOCS / f"{name}-policy.json").read_text()), separators=(",", ":")))


def test_what_a_deployer_needs_fits_into_policies_of_the_roles_own() -> None:
    assert length("deployer") < 0.9 * INLINE


@pytest.mark.parametrize("name", ["accounts", "workflow", "outsider", "webserver"])
def test_what_only_some_need_fits_into_a_managed_policy(name: str) -> None:
    assert length(name) < 0.9 * MANAGED
