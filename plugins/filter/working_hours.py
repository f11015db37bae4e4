# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `working_hours`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: working_hours
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The hours of any period in which an account's services are on
description:
  - Computes from working hours as an inventory has them (C(platform_hours)) when services are on between two moments.
  - Times are by the clock of the time zone, so a night in which the clock changes has an hour more or less. A period
    over midnight belongs to the day on which it begins, and a holiday takes away what begins on it. A time that the
    clock skips stands for the first one after it, one that it shows twice for its first.
positional: _input
extends_documentation_fragment: localgov.platform.hours
"""

EXAMPLES = r"""
- name: Show for how many hours of March services are on
  ansible.builtin.debug:
    msg: "{{ (platform_hours | localgov.platform.working_hours(since='2027-03-01', until='2027-04-01')).hours }}"
"""

RETURN = r"""
_value:
  description: C(hours), a number, and C(periods), each with C(since) and C(until) in UTC, in order.
  type: dict
  sample: {hours: 10.0, periods: [{since: "2026-11-26T08:00:00Z", until: "2026-11-26T18:00:00Z"}]}
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _working_hours


def working_hours(data: Any, since: Any, until: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever an inventory says
    """See `_working_hours.working_hours`."""
    try:
        calendar = _working_hours.calendar(data)
        moments = [_working_hours.moment(text, calendar.zone) for text in (since, until)]
        periods = _working_hours.working_hours(calendar, *moments)
    except _working_hours.CalendarError as error:
        raise AnsibleFilterError(f"working hours: {error}") from error
    total = sum((period.until - period.since for period in periods), timedelta())
    told = [{"since": _working_hours.stamp(one.since), "until": _working_hours.stamp(one.until)} for one in periods]
    return {"hours": total / timedelta(hours=1), "periods": told}


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"working_hours": working_hours}
