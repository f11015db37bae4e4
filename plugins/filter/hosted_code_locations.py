# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `hosted_code_locations`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: hosted_code_locations
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: A declaration of services with the Dagster code locations that an account hosts
description:
  - Adds for each code location a service that serves it and a task that carries out its runs, and lets the services
    C(daemon) and C(dagit) of the declaration reach, start and follow them.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  locations:
    description:
      - The code locations by name. Each has its C(image), and what of C(environment), C(lists), C(versions), C(reads),
        C(writes), C(deletes), C(locations), C(markers), C(secrets), C(cpu), C(memory), C(run_cpu), C(run_memory),
        C(user) it needs.
      - These arrows are its runs'; what its sensors have to see stands in C(sensors), with C(lists), C(versions),
        C(reads) and C(drains).
    type: dict
    required: true
  prefix:
    description: The platform's name prefix.
    type: str
    default: localgov
"""

EXAMPLES = r"""
- name: Show what an account runs that hosts one more code location
  ansible.builtin.debug:
    msg: >-
      {{ la_services_services | localgov.platform.hosted_code_locations(
           {'census': {'image': 'census', 'reads': ['data_store/uploads'], 'writes': ['shared']}}) }}
"""

RETURN = r"""
_value:
  description: The declaration with all of it.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _code_locations
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import Declaration, DeclarationError


def hosted_code_locations(services: Declaration, locations: Declaration, prefix: str = "localgov") -> Declaration:
    """See `_code_locations.hosted`; a faulty code location becomes Ansible's own filter error."""
    try:
        return _code_locations.hosted(services, locations, prefix)
    except DeclarationError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"hosted_code_locations": hosted_code_locations}
