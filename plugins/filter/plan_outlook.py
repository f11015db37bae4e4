# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `plan_outlook`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_outlook
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: When accounts are on in the next 14 days, and what they cost in a month
description:
  - Tells of each account, as it is declared, when its services are on by its working hours, and what it costs, also by
    other choices, as P(localgov.platform.account_costs#filter) does.
  - What is not known of one account keeps nothing from being told of the others.
positional: _input
options:
  _input:
    description:
      - The accounts, each with C(name), C(declared) and C(prices), both as P(localgov.platform.account_costs#filter)
        takes them; C(prices) may be empty.
    type: list
    elements: dict
    required: true
  now:
    description: The moment, with an offset; the first day is the one on which it is.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show when services are on, and what they cost
  ansible.builtin.debug:
    msg: "{{ (accounts | localgov.platform.plan_outlook(now='2026-12-01T00:00:00Z')).lines }}"
"""

RETURN = r"""
_value:
  description:
    - C(lines) for a terminal; C(monthly), what all cost by currency; C(calendars), the C(hours) that differ, each with
      its C(accounts); and C(accounts), each with C(account), with
      C(hours), which are empty or have C(days), C(services), C(time_zone), C(on) and C(of), with C(costs), and with the
      reason why these are C(unknown), if they are.
  type: dict
"""

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from ansible_collections.localgov.platform.plugins.plugin_utils import _outlook, _working_hours


def plan_outlook(accounts: Sequence[_outlook.Account], now: str) -> dict[str, Any]:
    """See `_outlook.outlook`."""
    return _outlook.outlook(accounts, _working_hours.moment(now, ZoneInfo("UTC")))


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"plan_outlook": plan_outlook}
