# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules fire exactly when services are to be switched, read as EventBridge Scheduler reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.filter.calendar_schedules import calendar_schedules
from ansible_collections.localgov.platform.plugins.plugin_utils import _calendar_schedules as calendars
from ansible_collections.localgov.platform.plugins.plugin_utils import _working_hours as hours
from hypothesis import given, settings
from hypothesis import strategies as some

from sandbox.emulator import cron
from tests.unit.plugins.plugin_utils.test_working_hours import OFFICE, office, pairs, zones

NOW = datetime(2026, 11, 26, 15, 30, tzinfo=UTC)
# England's, as they are published.
BANK_HOLIDAYS = [
    *("2026-12-25", "2026-12-28", "2027-01-01", "2027-03-26", "2027-03-29", "2027-05-03", "2027-05-31"),
    *("2027-08-30", "2027-12-27", "2027-12-28"),
]


def fired(found: hours.Calendar, schedules: list[calendars.Schedule], since: datetime, until: datetime) -> Any:  # noqa: ANN401
    """Moments at which schedules fire, each as often as it does; looked at every minute of the hours that matter."""
    parsed = [(cron.parse(schedule.expression), schedule.on) for schedule in schedules]
    times = {(hour, minute) for expression, _ in parsed for hour in expression.hours for minute in expression.minutes}
    return [
        (moment, on)
        for moment in _moments(found, times, since, until)
        for expression, on in parsed
        if expression.fires(moment, found.zone)
    ]


def _moments(
    found: hours.Calendar, times: set[tuple[int, int]], since: datetime, until: datetime
) -> Iterator[datetime]:
    """Every minute in UTC at which the clock shows one of these times, twice where it does so twice."""
    day = since.astimezone(found.zone).date()
    moments = set()
    while day <= until.astimezone(found.zone).date():
        for hour, minute in times:
            for fold in (0, 1):
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=found.zone, fold=fold)
                moments.add(local.astimezone(UTC))
        day += timedelta(days=1)
    return iter(sorted(moment for moment in moments if since <= moment < until))


def switched(found: hours.Calendar, since: datetime, until: datetime) -> list[tuple[datetime, bool]]:
    return sorted((switch.at, switch.on) for switch in hours.switches(found, since, until))


def test_office_hours_need_a_schedule_for_each_month_with_a_holiday_and_one_for_the_others_of_each_year() -> None:
    schedules = calendars.schedules(office(holidays=BANK_HOLIDAYS), NOW)
    assert {schedule.name: schedule.expression for schedule in schedules if schedule.on} == {
        "on-0800-2026-12": "cron(0 8 1,2,3,4,7,8,9,10,11,14,15,16,17,18,21,22,23,24,29,30,31 12 ? 2026)",
        "on-0800-2027-01": "cron(0 8 4,5,6,7,8,11,12,13,14,15,18,19,20,21,22,25,26,27,28,29 1 ? 2027)",
        "on-0800-2027-03": "cron(0 8 1,2,3,4,5,8,9,10,11,12,15,16,17,18,19,22,23,24,25,30,31 3 ? 2027)",
        "on-0800-2026": "cron(0 8 ? 1,2,3,4,5,6,7,8,9,10,11 MON,TUE,WED,THU,FRI 2026)",
        "on-0800-2027": "cron(0 8 ? 2,4,5,6,7,8,9,10,11,12 MON,TUE,WED,THU,FRI 2027)",
        "on-0800-later": "cron(0 8 ? * MON,TUE,WED,THU,FRI 2028-2199)",
    }


def test_over_half_a_year_they_fire_at_each_edge_once_and_at_no_other_time() -> None:
    found = office(holidays=BANK_HOLIDAYS)
    until = hours.moment("2027-05-01", found.zone)
    schedules = calendars.schedules(found, NOW)
    edges = fired(found, schedules, NOW, until)
    assert edges == switched(found, NOW, until)
    assert len(edges) > 200


def test_holidays_further_ahead_are_kept_when_the_schedules_are_made_anew() -> None:
    found, later = office(holidays=BANK_HOLIDAYS), NOW + timedelta(days=60)
    assert calendars.renew_by(found, NOW) == date(2027, 5, 1)
    assert calendars.renew_by(found, later) == date(2027, 7, 1)
    names = [{one.name for one in calendars.schedules(found, moment)} for moment in (NOW, later)]
    assert [("on-0800-2027-05" in one) for one in names] == [False, True]


def test_it_is_said_in_good_time_that_holidays_are_missing() -> None:
    found = office(holidays=BANK_HOLIDAYS)
    assert [calendars.needs_holidays(found, datetime(2027, month, 1, tzinfo=UTC)) for month in (9, 11)] == [False, True]
    assert not calendars.needs_holidays(office(holidays=[]), NOW)


def test_years_that_nobody_knows_the_holidays_of_go_by_the_week() -> None:
    found = office(holidays=BANK_HOLIDAYS)
    since, until = (hours.moment(f"{year}-01-01", found.zone) for year in (2030, 2031))
    assert fired(found, calendars.schedules(found, NOW), since, until) == switched(found, since, until)


def test_the_same_schedules_come_of_every_day_between_two_holidays() -> None:
    found = office(holidays=BANK_HOLIDAYS)
    for days in (1, 2, 3):
        assert calendars.schedules(found, NOW + timedelta(days=days)) == calendars.schedules(found, NOW)


def test_a_schedule_that_would_never_fire_again_is_not_made() -> None:
    found = office(holidays=BANK_HOLIDAYS)
    names = {schedule.name for schedule in calendars.schedules(found, datetime(2026, 12, 31, 12, tzinfo=UTC))}
    assert "off-1800-2026-12" in names
    assert not {name for name in names if name.startswith("on-0800-2026")}


def test_hours_without_an_end_switch_nothing_and_are_refused() -> None:
    always = dict.fromkeys(hours.DAYS, ("00:00", "24:00"))
    with pytest.raises(hours.CalendarError, match="never off"):
        calendars.schedules(office(days={day: list(times) for day, times in always.items()}, holidays=[]), NOW)


nows = some.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@settings(max_examples=40, deadline=None)
@given(some.dictionaries(some.sampled_from(hours.DAYS), pairs, min_size=1), zones, nows, some.data())
def test_any_calendar_is_switched_at_its_edges_for_half_a_year(
    days: dict[str, Any], zone: str, now: datetime, data: some.DataObject
) -> None:
    near = some.integers(-5, 200).map(lambda offset: (now + timedelta(days=offset)).date())
    found = office(time_zone=zone, days=days, holidays=data.draw(some.lists(near, max_size=8)))
    until = hours.moment(calendars.renew_by(found, now), found.zone)
    try:
        schedules = calendars.schedules(found, now)
    except hours.CalendarError:
        assert switched(found, now, until) == []
        return
    assert sorted(fired(found, schedules, now + timedelta(minutes=1), until)) == switched(
        found, now + timedelta(minutes=1), until
    )
    assert len({schedule.name for schedule in schedules}) == len(schedules)
    assert all(len(schedule.expression) <= 256 for schedule in schedules)


SERVICES: dict[str, dict[str, Any]] = {
    "frontend": {"desired_count": 2},
    "dagit": {"desired_count": 0, "on_demand": True},
    "daemon": {"desired_count": 1},
    "search": {"desired_count": 0},
    "run": {},
}


def test_a_service_that_is_on_has_its_declared_tasks_and_one_that_is_declared_off_has_one() -> None:
    given = {**OFFICE, "services": ["frontend", "search", "daemon"]}
    found = calendar_schedules(given, SERVICES, "2026-11-26T15:30:00Z")["schedules"]
    on = {(one["service"], one["count"]) for one in found if "-on-" in one["name"]}
    assert on == {("frontend", 2), ("search", 1), ("daemon", 1)}
    assert {one["count"] for one in found if "-off-" in one["name"]} == {0}


@pytest.mark.parametrize("name", ["run", "webserver"])
def test_what_is_no_service_cannot_be_switched(name: str) -> None:
    with pytest.raises(
        AnsibleFilterError, match=f"'{name}' is no service that can be switched; .* frontend, daemon, search$"
    ):
        calendar_schedules({**OFFICE, "services": [name]}, SERVICES, "2026-11-26T15:30:00Z")


def test_what_is_off_but_for_a_stated_time_is_switched_by_no_calendar() -> None:
    with pytest.raises(AnsibleFilterError, match=r"'dagit' is switched on demand .* leave it out"):
        calendar_schedules({**OFFICE, "services": ["frontend", "dagit"]}, SERVICES, "2026-11-26T15:30:00Z")
