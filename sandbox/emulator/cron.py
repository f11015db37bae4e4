# SPDX-License-Identifier: GPL-3.0-or-later
"""Cron expressions as EventBridge Scheduler takes them, as far as lists, ranges and steps go.

As shipped they are read in UTC. Here they are read by the clock of their time zone: a time that the clock skips in
spring never comes, one that it shows twice in autumn counts once. `L`, `W` and `#` are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST = 256  # characters of an expression


class CronError(ValueError):
    """Not an expression that AWS, or this sandbox, would take."""


@dataclass(frozen=True)
class Field:
    first: int
    last: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> frozenset[int]:
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, part: str) -> range:
        span, _, step = part.partition("/")
        low, dash, high = span.partition("-")
        if span in ("*", "?"):
            first, last = self.first, self.last
        else:
            first = self._number(low)
            last = self._number(high) if dash else (self.last if step else first)
        if not self.first <= first <= last <= self.last or (step and not step.isdigit()):
            raise CronError(part)
        return range(first, last + 1, int(step or 1))

    def _number(self, text: str) -> int:
        if text.upper() in self.names:
            return self.first + self.names.index(text.upper())
        if not text.isdigit():
            raise CronError(text)
        return int(text)


_FIELDS = (Field(0, 59), Field(0, 23), Field(1, 31), Field(1, 12, _MONTHS), Field(1, 7, _DAYS), Field(1970, 2199))


@dataclass(frozen=True)
class Cron:
    """The values of each field at which it fires; days of the week are 1 (Sunday) to 7."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    years: frozenset[int]

    def fires(self, moment: datetime, zone: ZoneInfo) -> bool:
        """Whether it fires in the minute of *moment*, which is in UTC."""
        local = moment.astimezone(zone)
        return (
            local.fold == 0
            and local.minute in self.minutes
            and local.hour in self.hours
            and local.day in self.days
            and local.month in self.months
            and local.isoweekday() % 7 + 1 in self.weekdays
            and local.year in self.years
        )


def parse(expression: str) -> Cron:
    match = re.fullmatch(r"cron\((.+)\)", expression)
    texts = match[1].split() if match else []
    if len(expression) > _LONGEST or len(texts) != len(_FIELDS) or (texts[2] == "?") == (texts[4] == "?"):
        raise CronError(expression)
    return Cron(*(field.values(text) for field, text in zip(_FIELDS, texts, strict=True)))


def at(expression: str, zone: ZoneInfo) -> datetime | None:
    """The moment of a one-time expression in UTC, or None if it is not one."""
    match = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", expression)
    return datetime.fromisoformat(match[1]).replace(tzinfo=zone).astimezone(UTC) if match else None
