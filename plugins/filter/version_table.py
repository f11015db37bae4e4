# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `version_table`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: version_table
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Which versions run in which account, and where they differ
description:
  - Puts what accounts run side by side, finds what most have in common, and names what differs from it.
positional: _input
options:
  _input:
    description: >-
      What M(localgov.platform.deployed_versions_info) returns of each account, by the account's name, in the
      order in which they are shown.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  ansible.builtin.debug:
    msg: "{{ (versions | localgov.platform.version_table).lines }}"
"""

RETURN = r"""
_value:
  description:
    - V(coherent), whether all run the same and as many as they should, as far as that is known; V(common), what most
      accounts run, as V(services), V(dagster), V(schema) and V(configuration); V(accounts), each with V(account), all
      that is known of it and V(differs), the names of what is unlike; and V(lines), a table for the terminal in which
      that is marked.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _version_table


def version_table(accounts: dict[str, Any]) -> dict[str, Any]:
    """See `_version_table`."""
    return _version_table.version_table(accounts)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"version_table": version_table}
