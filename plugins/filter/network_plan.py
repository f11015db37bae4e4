# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `network_plan`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: network_plan
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The address ranges of an account's VPCs and subnets
description:
  - Computes every range of an account's network from one value.
  - The lower half is the frontend VPC's, the upper half the Dagster VPC's. Each half has sixteen equal blocks, and
    every tier owns three of them, so that a third zone can be added later without moving anything.
positional: _input
options:
  _input:
    description: The account's range, private, from /16 to /20.
    type: str
    required: true
  zones:
    description: How many availability zones each tier lies in.
    type: int
    choices: [2, 3]
    default: 2
"""

EXAMPLES = r"""
- name: Show where everything lies
  ansible.builtin.debug:
    msg: "{{ '10.0.16.0/20' | localgov.platform.network_plan(zones=3) }}"
"""

RETURN = r"""
_value:
  description: For each VPC its range, and for each of its tiers the range of its subnet in each zone.
  type: dict
  sample:
    frontend:
      cidr: 10.0.16.0/21
      subnets: {public: [10.0.16.0/25, 10.0.16.128/25]}
    dagster:
      cidr: 10.0.24.0/21
      subnets:
        dagit: [10.0.24.0/25, 10.0.24.128/25]
        private: [10.0.25.128/25, 10.0.26.0/25]
        database: [10.0.27.0/25, 10.0.27.128/25]
        nat: [10.0.28.128/25, 10.0.29.0/25]
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _addressing


def network_plan(cidr: str, zones: int = 2) -> dict[str, _addressing.VpcPlan]:
    """See `_addressing.network_plan`; a faulty range becomes Ansible's own filter error."""
    try:
        return _addressing.network_plan(str(cidr), int(zones))
    except _addressing.AddressError as error:
        # Without the cause, whose text Ansible would print once more.
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"network_plan": network_plan}
