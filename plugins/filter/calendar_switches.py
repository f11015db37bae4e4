# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `calendar_switches`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: calendar_switches
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: When working hours switch an account's services on and off
description:
  - Lists the edges of the periods that P(localgov.platform.working_hours#filter) computes. Between them nothing is
    switched, so what somebody switches by hand stays until the next one.
positional: _input
extends_documentation_fragment: localgov.platform.hours
"""

EXAMPLES = r"""
- name: Show when services are switched around Christmas
  ansible.builtin.debug:
    msg: "{{ platform_hours | localgov.platform.calendar_switches(since='2026-12-24', until='2027-01-05') }}"
"""

RETURN = r"""
_value:
  description: C(at), the moment in UTC, and C(on), whether services are switched on or off, in order.
  type: list
  elements: dict
  sample: [{at: "2026-12-24T08:00:00Z", 'on': true}, {at: "2026-12-24T18:00:00Z", 'on': false}]
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _working_hours


def calendar_switches(data: Any, since: Any, until: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as in an inventory
    """See `_working_hours.switches`."""
    try:
        calendar = _working_hours.calendar(data)
        moments = [_working_hours.moment(text, calendar.zone) for text in (since, until)]
        switches = _working_hours.switches(calendar, *moments)
    except _working_hours.CalendarError as error:
        raise AnsibleFilterError(f"working hours: {error}") from error
    return [{"at": _working_hours.stamp(switch.at), "on": switch.on} for switch in switches]


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"calendar_switches": calendar_switches}
