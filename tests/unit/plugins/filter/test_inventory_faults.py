# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody writes is a fault that is told, and never the end of the check."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.filter.inventory_faults import _specifications, inventory_faults
from ansible_collections.localgov.platform.plugins.plugin_utils._balancers import DEFAULTS, MEMBER_DEFAULTS
from ansible_collections.localgov.platform.plugins.plugin_utils._declared_faults import _KEYS
from ansible_collections.localgov.platform.plugins.plugin_utils._inventory_faults import _CONNECTION_OPTIONS, KNOWN

ODD: list[Any] = [
    None,
    True,
    5,
    -1.5,
    "x",
    "",
    [],
    ["a"],
    [["a"]],
    [None],
    {},
    {"a": "b"},
    {"a": None},
    {"a": ["b"]},
    {5: {}},
]
SERVICE = {"image": "web", "tier": "private", "port": 8080, "desired_count": 1}
VARIABLES = sorted(
    {
        *KNOWN,
        *(f"ansible_aws_account_{option}" for option in _CONNECTION_OPTIONS),
        *(option for options in _specifications().values() for option in options),
    }
)


def faults(**variables: Any) -> list[str]:  # noqa: ANN401 - whatever somebody may write
    own = {"ansible_aws_account_id": "012345670123", "platform_cidr": "10.0.0.0/20", **variables}
    return inventory_faults(["camden"], {"camden": own})


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_variable_may_be_anything(odd: object) -> None:
    faults(**dict.fromkeys(VARIABLES, odd))
    for name in KNOWN:
        faults(**{"platform_add_users_image": "frontend", name: odd})


def test_images_that_are_not_as_expected_are_told_and_not_each_service_that_has_one() -> None:
    found = faults(platform_images=["web"], la_services_services={"web": SERVICE})
    assert [line for line in found if "platform_images" in line]
    assert not [line for line in found if "nobody pushes" in line]
    assert [line for line in faults(la_services_services={"web": SERVICE}) if "nobody pushes" in line]


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_setting_of_a_service_may_be_anything(odd: object) -> None:
    for key in _KEYS:
        faults(la_services_services={"web": {**SERVICE, key: odd}, "api": SERVICE})
    for key in MEMBER_DEFAULTS:
        service = {**SERVICE, "balancer": {"name": "door", key: odd}}
        faults(la_services_services={"web": service}, la_services_balancers={"door": {}})


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_a_setting_of_a_balancer_may_be_anything(odd: object) -> None:
    for key in DEFAULTS:
        faults(la_services_services={"web": SERVICE}, la_services_balancers={"door": {key: odd}})
    faults(la_services_services={"web": SERVICE}, la_services_balancers={"door": odd})


def test_a_folder_that_is_to_be_inspected_is_told() -> None:
    told = faults(la_services_services={"web": {**SERVICE, "inspects": ["shared/cin"]}})
    assert [fault for fault in told if "web inspects 'shared/cin'; expected is a whole bucket" in fault]


def test_no_value_in_a_mapping_or_list_is_told() -> None:
    hidden = [{"environment": {"PASSWORD": "hunter2"}}]
    told = faults(la_services_services={"web": hidden}, platform_region=hidden, la_services_hours=hidden)
    assert "hunter2" not in "\n".join(told)
    assert "la_services_services: web is a list" in "\n".join(told)
