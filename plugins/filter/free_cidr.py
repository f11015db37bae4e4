# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `free_cidr`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: free_cidr
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: An address range for another account
description:
  - The first range that no account has, as large as the first account's and within the same private network of RFC 1918
    or RFC 6598.
positional: _input
options:
  _input:
    description: A mapping of inventory hosts to their ranges.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Know which range is free
  ansible.builtin.debug:
    msg: "{{ {'hub': '10.0.0.0/20', 'camden': '10.0.16.0/20'} | localgov.platform.free_cidr }}"
"""

RETURN = r"""
_value:
  description: The range.
  type: str
  sample: 10.0.32.0/20
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _addressing


def free_cidr(cidrs: dict[str, str]) -> str:
    """See `_addressing.free_range`; a faulty range becomes Ansible's own filter error, which names the host."""
    try:
        return _addressing.free_range({str(host): str(cidr) for host, cidr in cidrs.items()})
    except _addressing.AddressError as error:
        # Without the cause, whose text Ansible would print once more.
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"free_cidr": free_cidr}
