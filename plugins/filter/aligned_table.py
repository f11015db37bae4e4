# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `aligned_table`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: aligned_table
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Rows as a table for the terminal
description:
  - Lines of text with columns as wide as they need, numbers to the right.
  - Control characters are shown as escapes, so that no value can meddle with the terminal.
positional: _input
options:
  _input:
    description: The rows.
    type: list
    elements: dict
    required: true
  columns:
    description: What is shown of each row, by key, with the heading, from left to right.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who read how much
  ansible.builtin.debug:
    msg: "{{ report.principals | localgov.platform.aligned_table(columns={'who': 'Who', 'files': 'Files'}) }}"
"""

RETURN = r"""
_value:
  description: The lines, the headings first.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _tables


def aligned_table(rows: list[dict[str, Any]], columns: dict[str, str]) -> list[str]:
    """See `_tables.aligned`."""
    return _tables.aligned(rows, columns)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"aligned_table": aligned_table}
