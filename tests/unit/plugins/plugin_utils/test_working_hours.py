# SPDX-License-Identifier: GPL-3.0-or-later
"""When services are on, against an oracle that asks every minute what the clock has shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _working_hours as hours
from hypothesis import given, settings
from hypothesis import strategies as some

OFFICE: dict[str, Any] = {
    "time_zone": "Europe/London",
    "days": {day: ["08:00", "18:00"] for day in hours.DAYS[:5]},
    "holidays": ["2026-12-25", date(2026, 12, 28)],
    "services": ["frontend"],
}
MINUTE = timedelta(minutes=1)
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)


def office(**changed: Any) -> hours.Calendar:  # noqa: ANN401 - any part of a calendar
    return hours.calendar({**OFFICE, **changed})


def on(found: hours.Calendar, since: str, until: str) -> float:
    """Hours in the period from one local day up to another."""
    periods = hours.working_hours(found, hours.moment(since, found.zone), hours.moment(until, found.zone))
    return sum((period.until - period.since) / timedelta(hours=1) for period in periods)


def at(found: hours.Calendar, since: str, until: str) -> list[tuple[str, bool]]:
    """Switches in UTC."""
    edges = hours.switches(found, hours.moment(since, found.zone), hours.moment(until, found.zone))
    return [(edge.at.strftime("%d %H:%M"), edge.on) for edge in edges]


def test_a_week_of_office_hours_has_fifty() -> None:
    assert on(office(), "2026-11-23", "2026-11-30") == 50
    assert at(office(), "2026-11-27", "2026-12-01") == [
        ("27 08:00", True),
        ("27 18:00", False),
        ("30 08:00", True),
        ("30 18:00", False),
    ]


def test_summer_hours_are_by_the_clock_on_the_wall() -> None:
    assert at(office(), "2026-03-27", "2026-03-31") == [
        ("27 08:00", True),
        ("27 18:00", False),
        ("30 07:00", True),
        ("30 17:00", False),
    ]


def test_nothing_is_on_on_a_bank_holiday_nor_on_the_weekend_before_it() -> None:
    assert at(office(), "2026-12-24", "2026-12-30") == [
        ("24 08:00", True),
        ("24 18:00", False),
        ("29 08:00", True),
        ("29 18:00", False),
    ]


def test_a_night_that_the_clock_changes_is_an_hour_shorter_or_longer() -> None:
    nights = office(days={"saturday": ["22:00", "06:00"]}, holidays=[])
    assert on(nights, "2026-03-28", "2026-03-30") == 7
    assert on(nights, "2026-10-24", "2026-10-26") == 9
    assert on(nights, "2026-11-07", "2026-11-09") == 8


def test_a_time_that_the_clock_skips_stands_for_the_first_one_after_it() -> None:
    early = office(days={"sunday": ["01:30", "05:00"]}, holidays=[])
    assert at(early, "2026-03-29", "2026-03-30") == [("29 01:00", True), ("29 04:00", False)]
    within = office(days={"sunday": ["01:15", "01:45"]}, holidays=[])
    assert at(within, "2026-03-29", "2026-03-30") == []


def test_a_time_that_the_clock_shows_twice_stands_for_its_first() -> None:
    early = office(days={"sunday": ["00:30", "01:30"]}, holidays=[])
    assert at(early, "2026-10-25", "2026-10-26") == [("24 23:30", True), ("25 00:30", False)]


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    nights = office(days={day: ["22:00", "06:00"] for day in hours.DAYS}, holidays=["2026-12-25"])
    assert at(nights, "2026-12-25", "2026-12-26") == [("25 06:00", False)]
    assert at(nights, "2026-12-26", "2026-12-27") == [("26 22:00", True)]


def test_what_meets_or_overlaps_is_one_period() -> None:
    days = {"monday": [["08:00", "12:00"], ["12:00", "15:00"], ["14:00", "24:00"]], "tuesday": ["00:00", "02:00"]}
    assert at(office(days=days), "2026-11-23", "2026-11-25") == [("23 08:00", True), ("24 02:00", False)]


def test_a_period_is_cut_where_it_is_asked_for_and_may_be_empty() -> None:
    assert on(office(), "2026-11-23T09:00", "2026-11-23T17:30") == 8.5
    assert on(office(), "2026-11-23T12:00", "2026-11-23T12:00") == 0
    assert on(office(), "2026-11-23T19:00", "2026-11-24T07:00") == 0


def test_an_edge_belongs_to_the_period_that_begins_with_it() -> None:
    assert at(office(), "2026-11-23T08:00", "2026-11-23T18:00") == [("23 08:00", True)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time_zone": "Europe/Londn"}, "time_zone: 'Europe/Londn' is no time zone; write one such as Europe/London"),
        ({"time_zone": None}, "time_zone: None is no time zone"),
        ({"time_zone": "../etc/passwd"}, "is no time zone"),
        ({"days": {}}, "say when services are on"),
        ({"days": {"monday": []}}, "no day has any hours"),
        ({"days": {"Montag": ["08:00", "18:00"]}}, "'Montag' is no day of the week; write monday, tuesday"),
        (
            {"days": {"monday": [480, 1080]}},
            'monday has 480, which is no time of day; write .* in quotes, as in "08:00"',
        ),
        ({"days": {"monday": ["8:00", "18:00"]}}, "'8:00', which is no time of day"),
        ({"days": {"monday": ["08:00", "24:30"]}}, "'24:30', which is no time of day"),
        ({"days": {"monday": ["08:00"]}}, r"monday has \['08:00'\]; write"),
        ({"days": {"monday": "08:00-18:00"}}, "monday has '08:00-18:00'; write"),
        ({"days": {"monday": ["08:00", "08:00"]}}, "no time at all; a whole day is"),
        ({"days": {"monday": ["24:00", "08:00"]}}, "no time at all"),
        ({"holidays": ["25.12.2026"]}, "holidays: '25.12.2026' is no day; write it as 2026-12-25"),
        ({"holidays": ["2026-02-30"]}, "holidays: '2026-02-30' is no day"),
        ({"holidays": "2026-12-25"}, "holidays: '2026-12-25' is no list of days"),
        ({"services": []}, "services: list the services"),
        ({"service": ["frontend"]}, "working hours have no 'service'; they have time_zone, days, holidays, services"),
    ],
)
def test_a_bad_calendar_is_told_of_by_its_part(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(hours.CalendarError, match=message):
        office(**changed)


def test_a_calendar_is_a_mapping() -> None:
    with pytest.raises(hours.CalendarError, match="a mapping of time_zone, days"):
        hours.calendar(["08:00"])


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(hours.CalendarError, match="a period ends after it begins"):
        on(office(), "2026-11-24", "2026-11-23")
    with pytest.raises(hours.CalendarError, match="neither a date"):
        on(office(), "tomorrow", "2026-11-23")


# --- Any calendar -------------------------------------------------------------------------------------------------


def minute_by_minute(found: hours.Calendar, since: datetime, until: datetime) -> Iterator[tuple[datetime, bool]]:
    """Whether services are on in each minute: what has the clock on the wall shown at the latest by then?"""
    now, shown = since - timedelta(days=2), datetime.min
    while now < until:
        shown = max(shown, now.astimezone(found.zone).replace(tzinfo=None))
        if now >= since:
            yield now, any(_contains(found, shown, shown.date() - timedelta(days=back)) for back in (0, 1))
        now += MINUTE


def _contains(found: hours.Calendar, shown: datetime, day: date) -> bool:
    minute = (shown - datetime(day.year, day.month, day.day)) // MINUTE
    return day not in found.holidays and any(start <= minute < end for start, end in found.days[day.weekday()])


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


times = some.integers(0, 24 * 60 - 1).map(clock)
pairs = some.lists(some.tuples(times, times).filter(lambda pair: pair[0] != pair[1]).map(list), min_size=1, max_size=2)
# Where clocks change by an hour, by half an hour, by two, southwards, and not at all.
zones = some.sampled_from(
    ["Europe/London", "America/St_Johns", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago", "Asia/Kolkata"]
)


@some.composite
def calendars(draw: some.DrawFn) -> hours.Calendar:
    days = draw(some.dictionaries(some.sampled_from(hours.DAYS), pairs, min_size=1))
    near = [changed.date() + timedelta(days=offset) for changed in (SPRING, AUTUMN) for offset in range(-2, 3)]
    holidays = draw(some.lists(some.sampled_from(near), max_size=4))
    return office(time_zone=draw(zones), days=days, holidays=holidays)


def changes_of_clocks(zone: ZoneInfo) -> list[datetime]:
    """Days of 2026 on which the clock of the zone changes; the year's first day where it never does."""
    days = [datetime(2026, 1, 2, tzinfo=UTC) + timedelta(days=number) for number in range(363)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    return [days[at] for at in range(1, len(days)) if offsets[at] != offsets[at - 1]] or days[:1]


@settings(max_examples=40, deadline=None)
@given(calendars(), some.data())
def test_any_calendar_is_as_the_clock_on_the_wall_says_minute_by_minute(
    found: hours.Calendar, data: some.DataObject
) -> None:
    change = data.draw(some.sampled_from(changes_of_clocks(found.zone)))
    since = change - timedelta(minutes=data.draw(some.integers(0, 3000)))
    until = since + timedelta(minutes=data.draw(some.integers(0, 4500)))
    state = dict(minute_by_minute(found, since - MINUTE, until))
    minutes = [now for now in state if now >= since]
    periods = hours.working_hours(found, since, until)
    inside = [now for period in periods for now in _minutes_of(period)]
    assert inside == [now for now in minutes if state[now]]
    edges = [(now, state[now]) for now in minutes if state[now] != state[now - MINUTE]]
    assert [(edge.at, edge.on) for edge in hours.switches(found, since, until)] == edges


def _minutes_of(period: hours.Period) -> list[datetime]:
    return [period.since + number * MINUTE for number in range((period.until - period.since) // MINUTE)]
