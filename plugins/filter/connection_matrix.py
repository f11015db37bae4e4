# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `connection_matrix`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: connection_matrix
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Who may open a connection to whom
description:
  - Lays every service of a declaration against every party of its network, with the port on which it may open a
    connection. Beside the declared arrows, these are the ways out that the service's tier has, and the way in
    by public balancers, from C(world). Two ports stand as a list.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  egress:
    description: The Dagster VPC's way out, as O(localgov.platform.la_network#role:main:la_network_egress).
    type: str
    choices: [endpoints, nat, none]
    default: endpoints
  balancers:
    description: The account's load balancers, as O(localgov.platform.la_services#role:main:la_services_balancers).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Keep what an account allows beside its other records
  ansible.builtin.copy:
    content: "{{ la_services_declaration.services | localgov.platform.connection_matrix | to_nice_json }}"
    dest: "connections-{{ inventory_hostname }}.json"
    mode: "0644"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The parties with their tiers, the connections as a list, and as a matrix of source, target and port.
  type: dict
  sample:
    parties: {daemon: private, code_server: private, database: database}
    connections:
      - {source: daemon, target: code_server, port: 4000}
    matrix:
      daemon: {daemon: null, code_server: 4000, database: null}
      code_server: {daemon: null, code_server: null, database: null}
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _connection_matrix, _declaration


def connection_matrix(
    services: _declaration.Declaration,
    egress: str = "endpoints",
    balancers: dict[str, dict[str, Any]] | None = None,
) -> _connection_matrix.Matrix:
    """See `_connection_matrix.connection_matrix`; a faulty declaration becomes Ansible's own filter error."""
    try:
        return _connection_matrix.connection_matrix(services, egress, balancers)
    except _declaration.DeclarationError as error:
        # Without the cause, whose text Ansible would print once more.
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"connection_matrix": connection_matrix}
