# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `access_report`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: access_report
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Who read what, in order for people
description: Puts the records of M(localgov.platform.access_log_info) in order for people to read.
positional: _input
options:
  _input:
    description: The records.
    type: list
    elements: dict
    required: true
  accounts:
    description: Names of accounts by their ids, such as an inventory's host names.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show who read how much
  ansible.builtin.debug:
    msg: "{{ (found.records | localgov.platform.access_report(accounts={'200000000001': 'hub'})).principals }}"
"""

RETURN = r"""
_value:
  description:
    - C(rows), the records with C(who), C(did), C(file) and C(moment) for people.
    - C(principals), one for each of C(who), with the number of C(requests), of C(failed) ones and of C(files), the
      C(bytes), and the C(first) and C(last) moment.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _access_report


def access_report(
    records: list[dict[str, Any]], accounts: dict[str, str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """See `_access_report`."""
    rows = _access_report.rows(records, accounts or {})
    return {"rows": rows, "principals": _access_report.by_principal(rows)}


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"access_report": access_report}
