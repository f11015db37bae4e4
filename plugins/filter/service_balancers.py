# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `service_balancers`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_balancers
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The load balancers that a declaration of services asks for
description:
  - Turns what services say of their C(balancer) into balancers with listeners, members and rules.
  - Refuses what AWS would refuse, or would let pass by mistake, such as a public balancer without a certificate.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  balancers:
    description: The account's load balancers, as O(localgov.platform.la_services#role:main:la_services_balancers).
    type: dict
    required: true
  prefix:
    description: The platform's name prefix.
    type: str
    default: localgov
"""

EXAMPLES = r"""
- name: Show which rule leads where
  ansible.builtin.debug:
    msg: >-
      {{ (la_services_services | localgov.platform.service_balancers(balancers=la_services_balancers))
         | map(attribute='rules') }}
"""

RETURN = r"""
_value:
  description: One entry for each balancer, in the order in which they are declared.
  type: list
  elements: dict
  sample:
    - name: public
      full_name: localgov-public
      protocol: HTTPS
      port: 443
      default: frontend
      rules:
        - {id: PublicBalancerRule46321, priority: 46321, hosts: [], paths: [/admin/*], service: admin}
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _balancers, _declaration


def service_balancers(
    services: _declaration.Declaration, balancers: dict[str, dict[str, Any]], prefix: str = "localgov"
) -> list[_balancers.Balancer]:
    """See `_balancers.balancers`; a faulty declaration becomes Ansible's own filter error."""
    try:
        return _balancers.balancers(services, balancers, prefix)
    except _declaration.DeclarationError as error:
        # Without the cause, whose text Ansible would print once more.
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"service_balancers": service_balancers}
