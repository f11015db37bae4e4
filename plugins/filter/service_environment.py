# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `service_environment`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_environment
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The environment variables that tell a service where its locations are
description:
  - For each location that a service knows, lists, reads, writes or deletes from, C(<NAME>_LOCATION) holds C(s3://bucket).
  - For each variable of C(roots) it is C(s3://bucket/prefix) of what stands there.
  - For a location of several accounts, C(<NAME>_LOCATIONS) holds a JSON object of host names to C(s3://bucket).
positional: _input
options:
  _input:
    description: The settings of one service.
    type: dict
    required: true
  locations:
    description: Location names to a bucket, or to a mapping of hosts to buckets. Empty where the account has none.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show where the frontend finds its files
  ansible.builtin.debug:
    msg: >-
      {{ la_services_services['frontend']
         | localgov.platform.service_environment(locations={'data_store': 'my-bucket'}) }}
"""

RETURN = r"""
_value:
  description: Variable names to values.
  type: dict
  sample:
    DATA_STORE_LOCATION: s3://my-bucket
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration


def service_environment(service: _declaration.Service, locations: _declaration.Locations) -> dict[str, str]:
    """See `_declaration.location_environment`; a faulty declaration becomes Ansible's own filter error."""
    try:
        return _declaration.location_environment(service, locations)
    except _declaration.DeclarationError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"service_environment": service_environment}
