# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `account_dashboard`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: account_dashboard
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The body of an account's dashboard in CloudWatch
description:
  - Makes a dashboard of what an account declares to run - tasks and what they use, queues, database, balancers, and the
    latest errors of all logs.
positional: _input
options:
  _input:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  prefix:
    description: The platform's name prefix.
    type: str
    required: true
  region:
    description: The account's region.
    type: str
    required: true
  queues:
    description: The queues that services drain, without the prefix.
    type: list
    elements: str
    default: []
  database_kind:
    description: Of which kind the database is.
    type: str
    choices: [instance, serverless]
    default: instance
  balancers:
    description: The account's load balancers, as O(localgov.platform.la_services#role:main:la_services_balancers).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show how many graphs an account has
  ansible.builtin.debug:
    msg: "{{ body.widgets | length }}"
  vars:
    body: >-
      {{ la_services_declaration.services
         | localgov.platform.account_dashboard(prefix='localgov', region='eu-west-2', queues=['uploads']) }}
"""

RETURN = r"""
_value:
  description: The body, as CloudWatch takes it in JSON.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _dashboard


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"account_dashboard": _dashboard.dashboard}
