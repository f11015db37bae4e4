# SPDX-License-Identifier: GPL-3.0-or-later
"""When services are on in the next 14 days, and what accounts cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _outlook

from tests.unit.playbooks import estates

FRIDAY = datetime(2026, 12, 18, 15, tzinfo=UTC)
HOURS = {**estates.OFFICE, "holidays": ["2026-12-25", "2026-12-28"]}


def account(name: str, prices: Any = None, **declared: Any) -> _outlook.Account:  # noqa: ANN401
    given = estates.account(name, 1, **declared)
    return {"name": name, "declared": given["declared"], "prices": estates.PRICES if prices is None else prices}  # type: ignore[typeddict-item]


def told(*accounts: _outlook.Account) -> dict[str, Any]:
    return _outlook.outlook(accounts, FRIDAY)


def test_two_weeks_begin_today_and_leave_weekends_and_holidays_out() -> None:
    (one,) = told(account("camden", hours=HOURS))["accounts"]
    days = {day["day"]: day["periods"] for day in one["hours"]["days"]}
    assert (min(days), max(days), len(days)) == ("2026-12-18", "2026-12-31", 14)
    off = {day for day, periods in days.items() if not periods}
    assert off == {"2026-12-19", "2026-12-20", "2026-12-25", "2026-12-26", "2026-12-27", "2026-12-28"}
    assert days["2026-12-18"] == ["08:00 to 18:00"]
    assert (one["hours"]["on"], one["hours"]["of"]) == (80, 336)


def test_a_period_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    days = {"friday": ["20:00", "04:00"], "sunday": ["00:00", "24:00"]}
    found = _outlook.ahead({**HOURS, "days": days, "holidays": []}, FRIDAY)
    periods = {day["day"]: day["periods"] for day in found["days"] if day["periods"]}
    assert periods["2026-12-18"] == ["20:00 to 19 December 04:00"]
    assert periods["2026-12-20"] == ["00:00 to 24:00"]


def test_the_night_in_which_the_clock_changes_has_an_hour_more() -> None:
    found = _outlook.ahead(HOURS, datetime(2026, 10, 20, tzinfo=UTC))
    assert found["of"] == 337


def test_accounts_that_are_alike_are_one_line_of_hours_and_one_of_costs() -> None:
    alike = [account(name, hours=HOURS) for name in ("barnet", "camden", "croydon", "sutton")]
    found = told(*alike, account("merton"))
    hours, heading, costs, other = found["lines"]
    assert [calendar["accounts"] for calendar in found["calendars"]] == [["barnet", "camden", "croydon", "sutton"]]
    assert hours.startswith(
        "barnet, camden, croydon and 1 more: frontend, daemon, code_server are on for 80 of the next 336"
    )
    assert "off all day on 12-19, 12-20" in hours
    assert heading.split() == ["Account", "A", "month,", "about", "By", "another", "choice"]
    assert "way out nat" in costs
    assert "hours always on +" in costs
    assert "hours office hours -" in other


def test_what_is_not_known_of_one_account_is_said_and_hides_nothing_of_the_others() -> None:
    found = told(account("camden", prices={}), account("sutton", hours={**HOURS, "days": {}}), account("merton"))
    camden, sutton, merton = found["accounts"]
    assert camden["unknown"] == "There are no prices of this region."
    assert "say when services are on" in sutton["unknown"]
    assert found["monthly"] == {"USD": merton["costs"]["monthly"]}
