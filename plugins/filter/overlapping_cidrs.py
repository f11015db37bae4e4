# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `overlapping_cidrs`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: overlapping_cidrs
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Which accounts have overlapping address ranges
description:
  - Compares every account's range with every other's. Accounts of one organisation are peered sooner or later, and
    overlapping ranges cannot be; nor can a VPC's range be changed once it is there.
positional: _input
options:
  _input:
    description: A mapping of inventory hosts to their ranges.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse overlapping ranges
  ansible.builtin.assert:
    that: __overlaps | length == 0
    fail_msg: >-
      {% for pair in __overlaps %}{{ pair.hosts | join(' and ') }} overlap: {{ pair.cidrs | join(', ') }}. {% endfor %}
  vars:
    __overlaps: "{{ {'camden': '10.0.16.0/20', 'croydon': '10.0.0.0/16'} | localgov.platform.overlapping_cidrs }}"
"""

RETURN = r"""
_value:
  description: One entry for each pair of accounts that overlap.
  type: list
  elements: dict
  sample:
    - hosts: [camden, croydon]
      cidrs: [10.0.16.0/20, 10.0.0.0/16]
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _addressing


def overlapping_cidrs(cidrs: dict[str, str]) -> list[_addressing.Overlap]:
    """See `_addressing.overlaps`; a faulty range becomes Ansible's own filter error, which names the host."""
    try:
        return _addressing.overlaps({str(host): str(cidr) for host, cidr in cidrs.items()})
    except _addressing.AddressError as error:
        # Without the cause, whose text Ansible would print once more.
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"overlapping_cidrs": overlapping_cidrs}
