# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `csv_table`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: csv_table
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Rows as CSV
description:
  - CSV as in RFC 4180, with the headings first.
  - Text that a spreadsheet would take for a formula gets an apostrophe in front.
positional: _input
options:
  _input:
    description: The rows.
    type: list
    elements: dict
    required: true
  columns:
    description: What is written of each row, by key, with the heading, from left to right.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write who read what
  ansible.builtin.copy:
    content: "{{ found.records | localgov.platform.csv_table(columns={'time': 'time', 'key': 'file'}) }}"
    dest: reads.csv
    mode: "0600"
"""

RETURN = r"""
_value:
  description: The text of the file.
  type: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _tables


def csv_table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    """See `_tables.comma_separated`."""
    return _tables.comma_separated(rows, columns)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"csv_table": csv_table}
