# SPDX-License-Identifier: GPL-3.0-or-later
"""Working hours of an account: when services are on, when they are switched, and by which schedules.

A calendar says for each day of the week from when to when its services are on, by the clock of its time zone. A period
that ends at or before its beginning ends on the next day; it belongs to the day on which it begins, so a holiday takes
away what begins on it. A time that the clock skips in spring stands for the first one after it, a time that the clock
shows twice in autumn for its first. What overlaps or meets is one period.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_KEYS = ("time_zone", "days", "holidays", "services")
_DAY = 24 * 60  # minutes
_MINUTE = timedelta(minutes=1)
# Longer than any period that begins on one day, and than any change of a clock.
_MARGIN = timedelta(days=3)


class CalendarError(ValueError):
    """A calendar, or a period, that makes no sense: says which part, and what is expected."""


@dataclass(frozen=True)
class Calendar:
    zone: ZoneInfo
    # For each day of the week, from Monday: periods in minutes of that day; the end may lie in the next day.
    days: tuple[tuple[tuple[int, int], ...], ...]
    holidays: frozenset[date]
    services: tuple[str, ...]


@dataclass(frozen=True, order=True)
class Period:
    """From a moment up to another one, both in UTC."""

    since: datetime
    until: datetime


@dataclass(frozen=True, order=True)
class Switch:
    """The services go on, or off, at this moment, which is in UTC."""

    at: datetime
    on: bool


# --- Reading a calendar -------------------------------------------------------------------------------------------


def calendar(data: Any) -> Calendar:  # noqa: ANN401 - whatever an inventory says
    if not isinstance(data, dict):
        raise CalendarError(f"working hours are a mapping of {', '.join(_KEYS)}; this is {data!r}")
    if unknown := sorted(map(str, data.keys() - set(_KEYS))):
        raise CalendarError(f"working hours have no '{unknown[0]}'; they have {', '.join(_KEYS)}")
    days = data.get("days")
    if not isinstance(days, dict) or not days:
        raise CalendarError('days: say when services are on, as in monday: ["08:00", "18:00"]')
    if unknown := [name for name in days if name not in DAYS]:
        raise CalendarError(f"days: '{unknown[0]}' is no day of the week; write {', '.join(DAYS)}")
    periods = tuple(tuple(_periods(name, days.get(name) or [])) for name in DAYS)
    if not any(periods):
        raise CalendarError("days: no day has any hours, so services would never be on")
    return Calendar(_zone(data.get("time_zone")), periods, _holidays(data.get("holidays")), _services(data))


def _zone(name: Any) -> ZoneInfo:  # noqa: ANN401
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, TypeError, LookupError):
        raise CalendarError(f"time_zone: {name!r} is no time zone; write one such as Europe/London") from None


def _periods(day: str, given: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401
    """`["08:00", "18:00"]`, or a list of such pairs."""
    pairs = given if isinstance(given, list) and given and all(isinstance(one, list) for one in given) else [given]
    for pair in pairs if given else []:
        if not isinstance(pair, list) or len(pair) != 2:
            raise CalendarError(f'days: {day} has {pair!r}; write ["08:00", "18:00"], or a list of such pairs')
        start, end = (_minutes(day, text) for text in pair)
        if start in (_DAY, end):
            raise CalendarError(
                f"days: {day} is on from {pair[0]} to {pair[1]}, which is no time at all; "
                'a whole day is ["00:00", "24:00"]'
            )
        yield start, end if end > start else end + _DAY


def _minutes(day: str, text: Any) -> int:  # noqa: ANN401
    match = re.fullmatch(r"([01][0-9]|2[0-4]):([0-5][0-9])", text) if isinstance(text, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else _DAY + 1
    if minutes > _DAY:
        raise CalendarError(
            f'days: {day} has {text!r}, which is no time of day; write hours and minutes in quotes, as in "08:00"'
        )
    return minutes


def _holidays(given: Any) -> frozenset[date]:  # noqa: ANN401
    if not isinstance(given or [], list):
        raise CalendarError(f"holidays: {given!r} is no list of days; write them as 2026-12-25")
    return frozenset(_day(entry) for entry in given or [])


def _day(entry: Any) -> date:  # noqa: ANN401 - YAML makes a date of it where it has no quotes
    if isinstance(entry, date) and not isinstance(entry, datetime):
        return entry
    try:
        if isinstance(entry, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", entry):
            return date.fromisoformat(entry)
    except ValueError:
        pass
    raise CalendarError(f"holidays: {entry!r} is no day; write it as 2026-12-25")


def _services(data: dict[str, Any]) -> tuple[str, ...]:
    services = data.get("services")
    if not isinstance(services, list) or not services or not all(isinstance(name, str) for name in services):
        raise CalendarError("services: list the services that these hours are for, as in [frontend, daemon]")
    return tuple(dict.fromkeys(services))


# --- The hours of a period ----------------------------------------------------------------------------------------


def moment(text: Any, zone: ZoneInfo) -> datetime:  # noqa: ANN401 - a date or a time, as YAML or a person gives it
    """A date is its midnight, and a time without an offset is one by the calendar's clock."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        raise CalendarError(f"{text!r} is neither a date such as 2026-12-25 nor a time in ISO 8601") from None
    return read.astimezone(UTC) if read.tzinfo else _instant(read, zone)


def working_hours(found: Calendar, since: datetime, until: datetime) -> list[Period]:
    """When the services are on, from *since* up to *until*, in order and apart from each other."""
    if until < since:
        raise CalendarError(f"a period ends after it begins; this is {since.isoformat()} to {until.isoformat()}")
    cut = (
        Period(max(period.since, since), min(period.until, until)) for period in _merged(_begun(found, since, until))
    )
    return [period for period in cut if period.since < period.until]


def switches(found: Calendar, since: datetime, until: datetime) -> list[Switch]:
    """When the services go on or off, from *since* up to *until* without that moment itself."""
    if until < since:
        raise CalendarError(f"a period ends after it begins; this is {since.isoformat()} to {until.isoformat()}")
    edges = [
        switch
        for period in _merged(_begun(found, since, until))
        for switch in (Switch(period.since, True), Switch(period.until, False))
    ]
    return [switch for switch in edges if since <= switch.at < until]


def _begun(found: Calendar, since: datetime, until: datetime) -> list[Period]:
    """All periods that may matter from *since* to *until*, and some around them."""
    day, last = (since - _MARGIN).astimezone(found.zone).date(), (until + _MARGIN).astimezone(found.zone).date()
    periods = []
    while day <= last:
        if day not in found.holidays:
            midnight = datetime(day.year, day.month, day.day)
            for start, end in found.days[day.weekday()]:
                edges = (_instant(midnight + minutes * _MINUTE, found.zone) for minutes in (start, end))
                periods.append(Period(*edges))
        day += timedelta(days=1)
    return periods


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clock shows this time, or a later one where it skips it."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    at = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    while at.astimezone(zone).replace(tzinfo=None) < local:
        at += _MINUTE
    return at


def _merged(periods: list[Period]) -> list[Period]:
    merged: list[Period] = []
    for period in sorted(periods):
        if period.since >= period.until:
            continue  # all of it was skipped by the clock
        if merged and period.since <= merged[-1].until:
            merged[-1] = Period(merged[-1].since, max(merged[-1].until, period.until))
        else:
            merged.append(period)
    return merged


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
