# SPDX-License-Identifier: GPL-3.0-or-later
"""From the groups of a verified token to what a person may do."""

from __future__ import annotations

from typing import Any

import pytest
from localgov_frontend.access import access_of, groups_in, read_roles
from localgov_frontend.datasets import DATASETS

ALL = set(DATASETS)
ROLES = read_roles(
    {
        "uploaders": {"may": "upload"},
        "viewers": {"may": "view"},
        "ssda903": {"may": "upload", "datasets": ["ssda903"]},
        "waiting": {"may": "upload", "datasets": []},
        "managers": {"may": "withdraw"},
    }
)


@pytest.mark.parametrize(
    ("groups", "view", "upload", "withdraw"),
    [
        ([], set(), set(), set()),
        (["strangers"], set(), set(), set()),
        (["waiting"], set(), set(), set()),
        (["viewers"], ALL, set(), set()),
        (["ssda903"], {"ssda903"}, {"ssda903"}, set()),
        (["viewers", "ssda903"], ALL, {"ssda903"}, set()),
        (["uploaders"], ALL, ALL, set()),
        (["managers"], ALL, ALL, ALL),
    ],
)
def test_groups_add_up_and_unknown_ones_give_nothing(
    groups: list[str], view: set[str], upload: set[str], withdraw: set[str]
) -> None:
    access = access_of(groups, ROLES)
    assert (set(access.view), set(access.upload), set(access.withdraw)) == (view, upload, withdraw)
    assert access.is_none is not bool(view)


FEDERATED = [{"providerName": "council", "userId": "x"}]


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        ({}, []),
        ({"cognito:groups": ["viewers", "uploaders"]}, ["uploaders", "viewers"]),
        ({"custom:groups": "[viewers, uploaders]", "identities": FEDERATED}, ["uploaders", "viewers"]),
        ({"custom:groups": "viewers", "identities": FEDERATED, "cognito:groups": ["a"]}, ["a", "viewers"]),
        ({"custom:groups": "uploaders"}, []),
        ({"custom:groups": "uploaders", "identities": [{"providerName": "elsewhere"}]}, []),
        ({"custom:groups": "uploaders", "identities": "council"}, []),
    ],
)
def test_a_federated_group_counts_only_by_the_configured_provider(claims: dict[str, Any], groups: list[str]) -> None:
    assert groups_in(claims, "council") == groups


def test_without_a_provider_no_federated_group_counts() -> None:
    assert groups_in({"custom:groups": "uploaders", "identities": FEDERATED}, None) == []
