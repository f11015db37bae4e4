# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `service_statements`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_statements
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The IAM statements of a service's task role
description:
  - Turns the arrows C(lists), C(reads), C(writes), C(resumes), C(deletes), C(erases), C(inspects), C(launches) and
    C(drains) of one service, and that it is C(on_demand), into IAM statements.
  - The Sid of each statement names the arrow that asks for it. Resources use C(Fn::Sub), for a CloudFormation template.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  service:
    description: The service whose statements are wanted.
    type: str
    required: true
  locations:
    description: Location names to a bucket, or to a mapping of hosts to buckets. Empty where the account has none.
    type: dict
    required: true
  keys:
    description:
      - Buckets that encrypt by a KMS key of their account's own, to the ARN of the key. C(key/*) at its end stands for
        whichever it is.
    type: dict
    default: {}
  prefix:
    description: The platform's name prefix.
    type: str
    default: localgov
"""

EXAMPLES = r"""
- name: Show what the frontend may do
  ansible.builtin.debug:
    msg: >-
      {{ la_services_services | localgov.platform.service_statements(service='frontend',
                                                                     locations={'data_store': 'my-bucket'}) }}
"""

RETURN = r"""
_value:
  description: IAM policy statements; empty when the service asks for nothing.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration


def service_statements(
    services: _declaration.Declaration,
    service: str,
    locations: _declaration.Locations,
    prefix: str = "localgov",
    keys: dict[str, str] | None = None,
) -> list[_declaration.Statement]:
    """See `_declaration`; a faulty declaration becomes Ansible's own filter error."""
    try:
        storage = _declaration.storage_statements(services[service], locations)
        storage += _declaration.key_statements(services[service], locations, keys or {})
        queues = _declaration.queue_statements(services[service], prefix)
        sessions = _declaration.session_statements(services[service])
        return storage + _declaration.launch_statements(service, services, prefix) + queues + sessions
    except _declaration.DeclarationError as error:
        raise AnsibleFilterError(f"service '{service}': {error}") from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"service_statements": service_statements}
