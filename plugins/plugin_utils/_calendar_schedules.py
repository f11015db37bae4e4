# SPDX-License-Identifier: GPL-3.0-or-later
"""The recurring schedules of EventBridge Scheduler that switch services at the edges of their working hours.

A schedule cannot skip a holiday, and one that starts at a date can be changed no more once that is past. So the dates
are in the expressions: a month that is like any other is left to a weekly expression of its year, one with a holiday,
or with a change of the clock that matters, has an expression with its days. Years that nobody knows the holidays of
are left to a weekly expression without end. Each edge is in exactly one expression.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ansible_collections.localgov.platform.plugins.plugin_utils import _working_hours as hours

# Months whose holidays are kept, this one included. The stack, 51,200 bytes at most, has to hold them for each service.
MONTHS_AHEAD = 6
_IN_GOOD_TIME = timedelta(days=90)
_LAST_YEAR = 2199  # that an expression can name
# A week without holidays, by a clock that never changes: Monday the first.
_ANY_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


class Edge(NamedTuple):
    """The services go on, or off, at this time of day."""

    hour: int
    minute: int
    on: bool


@dataclass(frozen=True)
class Schedule:
    """`name` is the same as long as it is about the same edge and dates."""

    name: str
    expression: str
    on: bool


Days = dict[tuple[int, int], set[int]]  # year and month to days


def schedules(calendar: hours.Calendar, now: datetime) -> list[Schedule]:
    """All that fire at some time after *now*."""
    first = now.astimezone(calendar.zone).date()
    end = _kept_until(first)
    weekly, exact = _weekly(calendar), _exact(calendar, first, end)
    if not weekly and not exact:
        raise hours.CalendarError("days: services with these hours are never off, so nothing would switch them")
    found = []
    for edge in sorted({*weekly, *exact}):
        weekdays, days = weekly.get(edge, set()), exact.get(edge, {})
        special = [month for month in _months(first, end) if days.get(month, set()) != _like_any(month, weekdays)]
        ahead = [month for month in _months(first, end) if _is_ahead(edge, month, days, now, calendar.zone)]
        found += [_in_month(edge, month, days[month]) for month in special if month in ahead]
        if weekdays:
            found += _in_other_months(edge, weekdays, set(special), {*ahead, *_months(end, date(first.year + 2, 1, 1))})
    return found


def renew_by(calendar: hours.Calendar, now: datetime) -> date:
    """The first day whose being a holiday the schedules do not know of."""
    return _kept_until(now.astimezone(calendar.zone).date())


def needs_holidays(calendar: hours.Calendar, now: datetime) -> bool:
    """Whether the holidays that are listed end within three months."""
    return bool(calendar.holidays) and max(calendar.holidays) < (now + _IN_GOOD_TIME).date()


def _kept_until(first: date) -> date:
    months = first.year * 12 + first.month - 1 + MONTHS_AHEAD
    return date(months // 12, months % 12 + 1, 1)


def _months(first: date, end: date) -> list[tuple[int, int]]:
    numbers = range(first.year * 12 + first.month - 1, end.year * 12 + end.month - 1)
    return [(number // 12, number % 12 + 1) for number in numbers]


def _weekly(calendar: hours.Calendar) -> dict[Edge, set[int]]:
    """Edge to the days of the week, from Monday as 0, of a week without holidays."""
    plain = replace(calendar, holidays=frozenset(), zone=ZoneInfo("UTC"))
    found: dict[Edge, set[int]] = {}
    for switch in hours.switches(plain, _ANY_MONDAY, _ANY_MONDAY + timedelta(weeks=1)):
        found.setdefault(Edge(switch.at.hour, switch.at.minute, switch.on), set()).add(switch.at.weekday())
    return found


def _exact(calendar: hours.Calendar, first: date, end: date) -> dict[Edge, Days]:
    """Edge to the days of each month on which it comes, as the clock shows it."""
    since, until = (hours.moment(day, calendar.zone) for day in (first.replace(day=1), end))
    found: dict[Edge, Days] = {}
    for switch in hours.switches(calendar, since, until):
        local = switch.at.astimezone(calendar.zone)
        days = found.setdefault(Edge(local.hour, local.minute, switch.on), {})
        days.setdefault((local.year, local.month), set()).add(local.day)
    return found


def _like_any(month: tuple[int, int], weekdays: set[int]) -> set[int]:
    """The days of a month that fall on these days of the week."""
    return {day for day in range(1, monthrange(*month)[1] + 1) if date(*month, day).weekday() in weekdays}


def _is_ahead(edge: Edge, month: tuple[int, int], days: Days, now: datetime, zone: ZoneInfo) -> bool:
    """Whether the edge still comes in that month. What AWS does with a schedule that never fires is not documented."""
    listed = days.get(month)
    return bool(listed) and datetime(*month, max(listed or ()), edge.hour, edge.minute, tzinfo=zone) > now


def _in_month(edge: Edge, month: tuple[int, int], days: set[int]) -> Schedule:
    year, number = month
    listed = ",".join(map(str, sorted(days)))
    return _schedule(edge, f"{year}-{number:02}", f"{listed} {number} ? {year}")


def _in_other_months(
    edge: Edge, weekdays: set[int], special: set[tuple[int, int]], ahead: set[tuple[int, int]]
) -> list[Schedule]:
    """A weekly expression for this year and the next, but for the months that are special, and one for later years."""
    names = ",".join(hours.DAYS[day][:3].upper() for day in sorted(weekdays))
    years = sorted({year for year, _month in ahead})
    found = []
    for year in years:
        left = [month for month in range(1, 13) if (year, month) not in special]
        if any((year, month) in ahead for month in left):
            found.append(_schedule(edge, str(year), f"? {','.join(map(str, left))} {names} {year}"))
    return [*found, _schedule(edge, "later", f"? * {names} {years[-1] + 1}-{_LAST_YEAR}")]


def _schedule(edge: Edge, when: str, fields: str) -> Schedule:
    word = "on" if edge.on else "off"
    name = f"{word}-{edge.hour:02}{edge.minute:02}-{when}"
    return Schedule(name, f"cron({edge.minute} {edge.hour} {fields})", edge.on)
