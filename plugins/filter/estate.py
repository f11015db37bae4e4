# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `estate`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: estate
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: An estate of accounts for people, with what is not as declared
description:
  - Compares what is declared of each account with what M(localgov.platform.account_state_info) found there, and draws
    who opens connections to whom, and who trusts whom between accounts.
  - What AWS said of people, such as the names of sessions in its errors, is left out.
positional: _input
options:
  _input:
    description:
      - The accounts, each with C(name), C(id), C(kind) (V(organisation) or V(authority)), C(declared), C(state),
        C(failure), C(prices) and C(versions).
      - C(declared) is what P(localgov.platform.account_costs#filter) takes, with C(share) and C(digests); C(state) is
        empty for an account that was not reached, and C(failure) says why; the others may be empty.
    type: list
    elements: dict
    required: true
  prefix:
    description: The platform's name prefix.
    type: str
    default: localgov
  now:
    description: The moment, with an offset, from which the hours of a year are counted.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say in a sentence how the accounts are
  ansible.builtin.debug:
    msg: "{{ (accounts | localgov.platform.estate(now='2026-12-01T00:00:00Z')).sentence }}"
"""

RETURN = r"""
_value:
  description:
    - C(sentence), C(counts) and C(monthly), what all accounts cost; C(wrong), what is not as declared, each with the
      C(accounts) in which it is so; C(accounts), each with C(status) (V(as declared), V(differs) or V(unreachable)),
      C(differences), C(services), C(share), C(alarms), C(runs), C(stacks), C(unread), C(costs) and the C(network) that
      is its; C(networks), each with C(svg) and C(connections); and C(trust), a drawing.
  type: dict
"""

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration, _estate, _working_hours


def estate(accounts: Sequence[_estate.Account], now: str, prefix: str = "localgov") -> dict[str, Any]:
    """See `_estate.estate`; a faulty declaration becomes Ansible's own filter error."""
    try:
        moment = _working_hours.moment(now, ZoneInfo("UTC"))
        return _estate.estate(accounts, prefix, moment)
    except (_declaration.DeclarationError, _working_hours.CalendarError) as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"estate": estate}
