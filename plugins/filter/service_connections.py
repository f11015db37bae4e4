# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `service_connections`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_connections
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The connections that a declaration of services asks for
description:
  - Turns the C(connects_to) arrows of a declaration into a flat list, from which security-group rules are made.
  - A service behind an internal balancer is reached through the balancer; each balancer reaches those behind it.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  balancers:
    description: The account's load balancers, as O(localgov.platform.la_services#role:main:la_services_balancers).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show who may open a connection to whom
  ansible.builtin.debug:
    msg: "{{ la_services_services | localgov.platform.service_connections }}"
"""

RETURN = r"""
_value:
  description: One entry for each arrow, in the order of the declaration.
  type: list
  elements: dict
  sample:
    - source: daemon
      target: code_server
      port: 4000
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _balancers, _declaration


def service_connections(
    services: _declaration.Declaration, balancers: dict[str, dict[str, Any]] | None = None
) -> list[_declaration.Connection]:
    """See `_balancers.connections`; a faulty declaration becomes Ansible's own filter error."""
    try:
        return _balancers.connections(services, balancers or {})
    except _declaration.DeclarationError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"service_connections": service_connections}
