# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `calendar_schedules`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: calendar_schedules
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: The schedules of EventBridge Scheduler that keep an account's working hours
description:
  - Makes recurring schedules of working hours as an inventory has them, for each service that they are for. They fire
    at the edges that P(localgov.platform.calendar_switches#filter) lists, each once.
  - Holidays of this month and the next five are left out by the expressions themselves. After that the schedules go
    by the days of the week until they are made anew.
positional: _input
options:
  _input:
    description: The working hours, with C(time_zone), C(days), C(holidays) and C(services).
    type: dict
    required: true
  services:
    description: The declaration, a mapping of service names to their settings.
    type: dict
    required: true
  now:
    description: The moment at which they are made, with an offset; what lies before it is left out.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the schedules
  ansible.builtin.debug:
    msg: >-
      {{ platform_hours | localgov.platform.calendar_schedules(services=la_services_declaration.services,
                                                               now=now(utc=true).isoformat() ~ 'Z') }}
"""

RETURN = r"""
_value:
  description:
    - C(renew_by), the first day whose being a holiday the schedules do not know of; C(needs_holidays), whether the
      holidays that are listed end within three months; and C(schedules), each with
      C(service), C(name), C(expression), and C(count), the tasks that the service has from then on.
  type: dict
  sample:
    renew_by: "2027-05-01"
    needs_holidays: true
    schedules:
      - {service: frontend, name: frontend-on-0800-later, expression: 'cron(0 8 ? * MON,TUE 2028-2199)', count: 1}
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _calendar_schedules, _working_hours


def calendar_schedules(data: Any, services: dict[str, dict[str, Any]], now: str) -> dict[str, Any]:  # noqa: ANN401
    """See `_calendar_schedules`."""
    try:
        calendar = _working_hours.calendar(data)
        moment = _working_hours.moment(now, calendar.zone)
        schedules = _calendar_schedules.schedules(calendar, moment)
        counts = {name: _count(name, services) for name in calendar.services}
    except _working_hours.CalendarError as error:
        raise AnsibleFilterError(f"working hours: {error}") from error
    return {
        "renew_by": _calendar_schedules.renew_by(calendar, moment).isoformat(),
        "needs_holidays": _calendar_schedules.needs_holidays(calendar, moment),
        "schedules": [
            {
                "service": service,
                "name": f"{service.replace('_', '-')}-{schedule.name}",
                "expression": schedule.expression,
                "count": count if schedule.on else 0,
            }
            for service, count in counts.items()
            for schedule in schedules
        ],
    }


def _count(name: str, services: dict[str, dict[str, Any]]) -> int:
    """How many tasks a service has when it is on. One that is declared off has one: never two daemons."""
    if services.get(name, {}).get("on_demand"):
        raise _working_hours.CalendarError(
            f"services: '{name}' is switched on demand and off but for a stated time, as by playbooks/webserver.yml; "
            "leave it out"
        )
    counted = [
        service
        for service, settings in services.items()
        if "desired_count" in settings and not settings.get("on_demand")
    ]
    if name not in counted:
        raise _working_hours.CalendarError(
            f"services: '{name}' is no service that can be switched; those of this account are {', '.join(counted)}"
        )
    return max(1, int(services[name]["desired_count"]))


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"calendar_schedules": calendar_schedules}
