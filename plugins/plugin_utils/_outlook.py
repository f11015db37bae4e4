# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies ahead of accounts as they are declared: when their services are on, and what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import _costs, _plan_report, _tables, _working_hours

DAYS = 14
_HOUR = timedelta(hours=1)


class Account(TypedDict):
    """`declared` and `prices` (which may be empty) as `_costs.bill` takes them."""

    name: str
    declared: _costs.Account
    prices: Mapping[str, Any]


def outlook(accounts: Sequence[Account], now: datetime) -> dict[str, Any]:
    """`accounts`, each with `account`, `hours`, `costs` or `unknown`; `lines` for a terminal; `monthly` by currency.

    `hours` is empty where nothing is switched by a calendar. `calendars` are the hours that differ, each with its
    `accounts`.
    """
    told = [_told(account, now) for account in accounts]
    monthly = _costs.totals(one["costs"] for one in told)
    calendars = _calendars(told)
    lines = [*map(_hours_line, calendars), *_costs_lines(told)]
    return {"accounts": told, "calendars": calendars, "lines": lines, "monthly": monthly}


def _calendars(told: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    alike: dict[str, dict[str, Any]] = {}
    for one in told:
        if one["hours"]:
            alike.setdefault(str(one["hours"]), {"accounts": [], "hours": one["hours"]})["accounts"].append(
                one["account"]
            )
    return list(alike.values())


def _told(account: Account, now: datetime) -> dict[str, Any]:
    told = {"account": account["name"], "hours": {}, "costs": {}, "unknown": ""}
    try:
        if account["declared"]["hours"]:
            told["hours"] = ahead(account["declared"]["hours"], now)
        if account["prices"]:
            return {**told, "costs": _costs.bill(account["declared"], account["prices"], now)}
    except (_costs.CostError, _working_hours.CalendarError) as error:
        return {**told, "unknown": str(error)}
    return {**told, "unknown": "There are no prices of this region."}


def ahead(hours: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Of today and the next 13 days, by the calendar's clock: `days`, each with `day` and `periods`, and `on` (hours).

    Periods are times of day. One that ends on another day has its end's date, too.
    """
    calendar = _working_hours.calendar(hours)
    today = now.astimezone(calendar.zone).date()
    first, last = (_working_hours.moment(today + timedelta(days=days), calendar.zone) for days in (0, DAYS))
    periods = _working_hours.working_hours(calendar, first, last)
    days = [today + timedelta(days=number) for number in range(DAYS)]
    return {
        "time_zone": str(calendar.zone),
        "services": list(calendar.services),
        "days": [
            {
                "day": day.isoformat(),
                "weekday": f"{day:%A}",
                "periods": [
                    _words(period, calendar)
                    for period in periods
                    if period.since.astimezone(calendar.zone).date() == day
                ],
            }
            for day in days
        ],
        "on": round(sum((period.until - period.since for period in periods), timedelta()) / _HOUR, 2),
        "of": round((last - first) / _HOUR, 2),
    }


def _words(period: _working_hours.Period, calendar: _working_hours.Calendar) -> str:
    since, until = (moment.astimezone(calendar.zone) for moment in (period.since, period.until))
    if until.date() == since.date():
        return f"{since:%H:%M} to {until:%H:%M}"
    if until.date() == since.date() + timedelta(days=1) and f"{until:%H:%M}" == "00:00":
        return f"{since:%H:%M} to 24:00"
    return f"{since:%H:%M} to {until:%d %B %H:%M}"


# --- For a terminal ------------------------------------------------------------------------------------------------


def _hours_line(calendar: dict[str, Any]) -> str:
    hours = calendar["hours"]
    off = [day["day"][5:] for day in hours["days"] if not day["periods"]]
    said = f"{', '.join(hours['services'])} are on for {hours['on']:g} of the next {hours['of']:g} hours"
    return (
        f"{_plan_report.names(calendar['accounts'])}: {said}{', and off all day on ' if off else ''}{', '.join(off)}."
    )


def _costs_lines(told: Iterable[dict[str, Any]]) -> list[str]:
    """Accounts that cost the same by the same choices are one row."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in told:
        alike.setdefault(_costs_row(one), []).append(one["account"])
    rows = [
        {"accounts": _plan_report.names(accounts), "monthly": monthly, "choices": choices}
        for (monthly, choices), accounts in alike.items()
    ]
    columns = {"accounts": "Account", "monthly": "A month, about", "choices": "By another choice"}
    return _tables.aligned(rows, columns) if rows else []


def _costs_row(one: dict[str, Any]) -> tuple[str, str]:
    costs = one["costs"]
    if not costs:
        return "not known", one["unknown"]
    others = [
        f"{choice['group']} {choice['choice']} {choice['monthly'] - costs['monthly']:+,.0f}"
        for choice in costs["choices"]
        if not choice["chosen"]
    ]
    return f"{costs['monthly']:,.0f} {costs['currency']}", ", ".join(others)
