# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `plan_report`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_report
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What a plan foresees, in order for people
description:
  - Takes what P(localgov.platform.planned_changes#lookup) has of a rehearsal, and puts it in order by account.
  - What is alike in several accounts is one line of the table for the terminal.
positional: _input
options:
  _input:
    description: What that lookup returns.
    type: dict
    required: true
  accounts:
    description: The accounts that were looked at, in the order in which they are shown.
    type: list
    elements: str
    required: true
  drifts:
    description: By account, RV(localgov.platform.stack_drift_info#module:stacks).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what would change
  ansible.builtin.debug:
    msg: "{{ report.lines }}"
  vars:
    report: "{{ planned | localgov.platform.plan_report(accounts=ansible_play_hosts) }}"
    planned: "{{ lookup('localgov.platform.planned_changes') }}"
"""

RETURN = r"""
_value:
  description:
    - V(lines), a table for the terminal, empty where nothing would change; V(accounts), each with V(account),
      V(changes), V(unchanged) (names of stacks) and V(drifts); V(data), the resources that would lose what they hold;
      V(unclear), changes whose change set failed; V(unseen), tasks that could not be rehearsed; and V(counts).
  type: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _plan_report


def plan_report(
    found: dict[str, Any], accounts: Sequence[str], drifts: dict[str, Sequence[_plan_report.Drift]] | None = None
) -> dict[str, Any]:
    """See `_plan_report.report`."""
    return _plan_report.report(accounts, found["changes"], found["unseen"], drifts or {})


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"plan_report": plan_report}
