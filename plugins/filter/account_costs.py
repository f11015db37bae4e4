# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `account_costs`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: account_costs
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What an account costs in a month by its declaration
description:
  - Multiplies what an account declares with prices that are given, and tells what it would cost by other choices, each
    alone - NAT gateways or endpoints, runs on Spot or not, working hours or always on.
  - An estimate. What is not declared is left out, such as requests, data that leave AWS, snapshots, support and taxes.
positional: _input
options:
  _input:
    description:
      - What is declared of the account - C(services), C(balancers), C(database), C(cache) and C(cpu_architecture), as
        the role la_services hands them out (entry point C(declaration)), with C(egress), C(zones), C(nat_gateways),
        C(endpoints) and C(hours).
    type: dict
    required: true
  prices:
    description:
      - C(region), C(currency), C(as_of), C(prices) and C(assumptions), as in the collection's C(playbooks/prices).
    type: dict
    required: true
  now:
    description: The moment, with an offset, from which the hours of a year are counted.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say what the account costs
  ansible.builtin.debug:
    msg: "{{ costs.monthly }} {{ costs.currency }}"
  vars:
    costs: "{{ declared | localgov.platform.account_costs(prices=prices, now='2026-12-01T00:00:00Z') }}"
    prices: "{{ lookup('ansible.builtin.file', 'prices/eu-west-2.yml') | from_yaml }}"
    declared: >-
      {{ la_services_declaration
         | combine({'egress': 'endpoints', 'zones': 2, 'nat_gateways': 1, 'endpoints': ['ecr.api', 'ecr.dkr', 'logs'],
                    'hours': {}}) }}
"""

RETURN = r"""
_value:
  description:
    - C(monthly), with C(currency), C(region) and C(as_of); C(lines), each with C(item), C(quantity), C(unit), C(price)
      and C(monthly); and C(choices), each with its C(group), C(choice), whether it is C(chosen), and what the account
      would cost by it in C(monthly).
  type: dict
"""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _costs, _working_hours


def account_costs(account: _costs.Account, prices: dict[str, Any], now: str) -> _costs.Bill:
    """See `_costs.bill`; what is missing becomes Ansible's own filter error."""
    try:
        return _costs.bill(account, prices, _working_hours.moment(now, ZoneInfo("UTC")))
    except _working_hours.CalendarError as error:
        raise AnsibleFilterError(f"working hours: {error}") from error
    except _costs.CostError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"account_costs": account_costs}
