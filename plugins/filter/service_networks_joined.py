# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `service_networks_joined`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_networks_joined
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Whether a declaration of services needs an account's two VPCs joined
description:
  - Says whether a service of the tier C(frontend) connects to one of another tier, the database or the cache, or back.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Lay a network whose VPCs are joined only if a service asks for it
  ansible.builtin.include_role:
    name: localgov.platform.la_network
  vars:
    la_network_cidr: 10.0.16.0/20
    la_network_joined: "{{ la_services_declaration.services | localgov.platform.service_networks_joined }}"
"""

RETURN = r"""
_value:
  description: Whether an arrow leads from one VPC to the other.
  type: bool
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _balancers, _declaration


def service_networks_joined(services: _declaration.Declaration) -> bool:
    """See `_balancers.crosses_networks`."""
    return _balancers.crosses_networks(services)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"service_networks_joined": service_networks_joined}
