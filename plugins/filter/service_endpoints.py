# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `service_endpoints`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: service_endpoints
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The interface endpoints that a declaration of services needs
description:
  - Says which AWS services are called from the Dagster VPC. Images and logs by every task, Secrets Manager when one is
    given C(secrets), ECS when one C(launches) or C(follows) tasks, SQS when one C(drains) a queue, Session Manager's
    channels when one is C(on_demand).
  - An endpoint costs money in every zone, whether it is used or not.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Lay a network with the endpoints that the services need
  ansible.builtin.include_role:
    name: localgov.platform.la_network
  vars:
    la_network_cidr: 10.0.16.0/20
    la_network_endpoints: "{{ la_services_declaration.services | localgov.platform.service_endpoints }}"
"""

RETURN = r"""
_value:
  description: Names as in C(com.amazonaws.<region>.<name>).
  type: list
  elements: str
  sample: [ecr.api, ecr.dkr, ecs, logs, secretsmanager, sqs, ssmmessages]
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _endpoints


def service_endpoints(services: dict[str, dict[str, Any]]) -> list[str]:
    """See `_endpoints.endpoints`."""
    return _endpoints.endpoints(services)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"service_endpoints": service_endpoints}
