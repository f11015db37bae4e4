# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account costs in a month by its declaration, and what it would cost by other choices.

Prices and assumed use are data, see `playbooks/prices/`. A month has 730 hours; what is on by working hours counts a
twelfth of the hours of the year that begins now. What is not declared (requests, data that leave AWS, units of a
balancer's capacity, snapshots, support, taxes) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration, _working_hours

HOURS_OF_MONTH = 730.0
_YEAR = timedelta(days=365)
_MONTHS = 12
_SPOT, _ON_DEMAND = "FARGATE_SPOT", "FARGATE"
_MIB = 1024
# What Container Insights measures of a cluster, of a service, and of the tasks of a definition.
_METRICS_OF_CLUSTER, _METRICS_OF_SERVICE, _METRICS_OF_TASKS = 8, 11, 6
# The hours that are compared with being always on, where an account has none of its own.
_OFFICE_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
_OFFICE_HOURS = ["08:00", "18:00"]


class CostError(ValueError):
    """Prices that lack what an account needs: says which entry, and where to add it."""


class Account(TypedDict):
    """What is declared of an account, as the role's fact `la_services_declaration` and the inventory have it.

    `hours` is empty where nothing is switched by a calendar, `cache` where there is none. `endpoints` are those that
    the services would need, also where the way out is another one.
    """

    services: dict[str, dict[str, Any]]
    balancers: dict[str, dict[str, Any]]
    database: dict[str, Any]
    cache: dict[str, Any]
    cpu_architecture: str
    egress: str
    zones: int
    nat_gateways: int
    endpoints: list[str]
    hours: dict[str, Any]


class Line(NamedTuple):
    """A part of the bill: so many of a unit, at a price."""

    item: str
    quantity: float
    unit: str
    price: float

    @property
    def monthly(self) -> float:
        return round(self.quantity * self.price, 2)


class Bill(TypedDict):
    """A line has `item`, `quantity`, `unit`, `price`, `monthly`; a choice `group`, `choice`, `chosen`, `monthly`."""

    currency: str
    region: str
    as_of: str
    monthly: float
    lines: list[dict[str, Any]]
    choices: list[dict[str, Any]]


def bill(account: Account, prices: Mapping[str, Any], now: datetime) -> Bill:
    """What the account costs, and what it would by each other choice alone. CostError, CalendarError."""
    lines = list(_lines(account, prices, now))
    monthly = _sum(lines)
    return {
        "currency": prices["currency"],
        "region": prices["region"],
        "as_of": str(prices["as_of"]),
        "monthly": monthly,
        "lines": [{**line._asdict(), "monthly": line.monthly} for line in lines if line.quantity],
        "choices": [
            {"group": group, "choice": choice, "chosen": other == account, "monthly": _sum(_lines(other, prices, now))}
            for group, choice, other in _choices(account)
        ],
    }


def totals(bills: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """What accounts cost in a month together, by currency. One whose costs are not known has no `monthly`."""
    found: dict[str, float] = {}
    for one in bills:
        if "monthly" in one:
            found[one["currency"]] = round(found.get(one["currency"], 0.0) + one["monthly"], 2)
    return found


def _sum(lines: Iterable[Line]) -> float:
    return round(sum(line.monthly for line in lines), 2)


def _lines(account: Account, prices: Mapping[str, Any], now: datetime) -> Iterator[Line]:
    yield from _tasks(account, prices, now)
    yield from _network(account, prices, now)
    yield from _stores(account, prices)
    yield from _insights(account, prices, now)
    assumed = prices["assumptions"]
    yield Line("Logs", assumed["log_gib"], "GiB", _price(prices, "log_gib"))
    yield Line("Secrets", len(_secrets(account)), "secret", _price(prices, "secret_month"))
    yield Line("Buckets", assumed["stored_gib"], "GiB", _price(prices, "storage_gib_month"))


def _price(prices: Mapping[str, Any], *path: str) -> float:
    found: Any = prices["prices"]
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            raise CostError(
                f"the prices of {prices['region']} have no {': '.join(path)}; "
                f"add it in the inventory, as in platform_prices: {_example(path)}"
            )
        found = found[key]
    return float(found)


def _example(path: tuple[str, ...]) -> str:
    text = "0.1"
    for key in reversed(path):
        text = f"{{{key}: {text}}}"
    return text


# --- What runs -----------------------------------------------------------------------------------------------------


def _tasks(account: Account, prices: Mapping[str, Any], now: datetime) -> Iterator[Line]:
    for name, service in account["services"].items():
        kind = f"{service.get('capacity_provider') or _ON_DEMAND}_{account['cpu_architecture']}"
        vcpus, gibs = int(service.get("cpu", 256)) / 1024, int(service.get("memory", 512)) / _MIB
        an_hour = vcpus * _price(prices, "vcpu_hour", kind) + gibs * _price(prices, "gib_hour", kind)
        words = f"task-hour of {vcpus:g} vCPU, {gibs:g} GiB"
        spot = " on Spot" if kind.startswith(_SPOT) else ""
        yield Line(f"Tasks: {name}{spot}", _task_hours(name, account, prices, now), words, an_hour)


def _task_hours(name: str, account: Account, prices: Mapping[str, Any], now: datetime) -> float:
    """How many hours its tasks are there in a month, together. Runs have no count and share what is assumed of them."""
    service = account["services"][name]
    if "desired_count" not in service:
        runs = sum("desired_count" not in other for other in account["services"].values())
        return float(prices["assumptions"]["run_hours"]) / runs
    if service.get("on_demand"):
        return float(prices["assumptions"]["session_hours"])
    count = int(service["desired_count"])
    if name in account["hours"].get("services", []):
        return max(1, count) * _calendar_hours(account["hours"], now)
    return count * HOURS_OF_MONTH


def _calendar_hours(hours: dict[str, Any], now: datetime) -> float:
    return _hours_a_month(json.dumps(hours, sort_keys=True, default=str), now)


@lru_cache(maxsize=256)  # a calendar is asked for many times, by many accounts
def _hours_a_month(hours: str, now: datetime) -> float:
    periods = _working_hours.working_hours(_working_hours.calendar(json.loads(hours)), now, now + _YEAR)
    total = sum((period.until - period.since for period in periods), timedelta())
    hours_of_year = total / timedelta(hours=1)
    return round(hours_of_year / _MONTHS, 1)


def _insights(account: Account, prices: Mapping[str, Any], now: datetime) -> Iterator[Line]:
    """A service that is off is not measured."""
    metrics = float(_METRICS_OF_CLUSTER)
    for name, service in account["services"].items():
        share = min(1.0, _task_hours(name, account, prices, now) / HOURS_OF_MONTH)
        metrics += share * (_METRICS_OF_TASKS + (_METRICS_OF_SERVICE if "desired_count" in service else 0))
    yield Line("Container Insights", round(metrics, 1), "metric", _price(prices, "metric_month"))


# --- What they reach -----------------------------------------------------------------------------------------------


def _network(account: Account, prices: Mapping[str, Any], now: datetime) -> Iterator[Line]:
    traffic = float(prices["assumptions"]["traffic_gib"])
    if account["egress"] == "nat":
        hours = account["nat_gateways"] * HOURS_OF_MONTH
        yield Line("NAT gateways", hours, "hour", _price(prices, "nat_gateway_hour"))
        yield Line("NAT gateways: traffic", traffic, "GiB", _price(prices, "nat_gateway_gib"))
    if account["egress"] == "endpoints":
        hours = len(account["endpoints"]) * account["zones"] * HOURS_OF_MONTH
        yield Line("Interface endpoints", hours, "hour in a zone", _price(prices, "endpoint_hour"))
        yield Line("Interface endpoints: traffic", traffic, "GiB", _price(prices, "endpoint_gib"))
    yield Line("Load balancers", len(account["balancers"]) * HOURS_OF_MONTH, "hour", _price(prices, "balancer_hour"))
    yield Line("Public addresses", _public_hours(account, prices, now), "hour", _price(prices, "public_address_hour"))


def _public_hours(account: Account, prices: Mapping[str, Any], now: datetime) -> float:
    """Of the tasks in the frontend's tier, of public balancers in each zone, and of NAT gateways."""
    tasks: float = sum(
        _task_hours(name, account, prices, now)
        for name, service in account["services"].items()
        if service.get("tier") == _declaration.FRONTEND_TIER
    )
    public = len([one for one in account["balancers"].values() if one.get("scheme") == "public"])
    gateways = account["nat_gateways"] if account["egress"] == "nat" else 0
    return tasks + (public * account["zones"] + gateways) * HOURS_OF_MONTH


def _stores(account: Account, prices: Mapping[str, Any]) -> Iterator[Line]:
    database = account["database"]
    if database.get("kind") == "serverless":
        units = float(database["capacity"]["minimum"])
        an_hour = _price(prices, "database_capacity_hour")
        yield Line("Database, at its least", units * HOURS_OF_MONTH, "hour of a capacity unit", an_hour)
        yield Line("Database: storage", database["storage_gib"], "GiB", _price(prices, "database_serverless_gib_month"))
    elif database:
        times, kind = (2 if database["multi_az"] else 1), str(database["instance_class"])
        an_hour = _price(prices, "database_hour", kind)
        yield Line(f"Database: {kind}", times * HOURS_OF_MONTH, "hour", an_hour)
        yield Line("Database: storage", times * database["storage_gib"], "GiB", _price(prices, "database_gib_month"))
    if cache := account["cache"]:
        hours = (1 + int(cache["replicas"])) * HOURS_OF_MONTH
        yield Line(f"Cache: {cache['node_type']}", hours, "hour", _price(prices, "cache_hour", str(cache["node_type"])))


def _secrets(account: Account) -> set[str]:
    """The secrets that the declaration names, without the keys of what they hold."""
    found: set[str] = set()
    for service in account["services"].values():
        init = service.get("init") or []
        for container in [service, *([init] if isinstance(init, dict) else init)]:
            for secret in (container.get("secrets") or {}).values():
                found.add(":".join(secret.split(":")[:7]) if secret.startswith("arn:") else secret.split(":")[0])
    return found


# --- What could be chosen ------------------------------------------------------------------------------------------


def _choices(account: Account) -> Iterator[tuple[str, str, Account]]:
    """Group, words, and the account with this choice and otherwise as it is."""
    for egress in dict.fromkeys(["endpoints", "nat", account["egress"]]):
        yield "way out", egress, {**account, "egress": egress}
    if any("desired_count" not in service for service in account["services"].values()):
        yield "runs", "on demand", _with_runs(account, _ON_DEMAND)
        yield "runs", "Spot", _with_runs(account, _SPOT)
    switchable = [
        name
        for name, service in account["services"].items()
        if int(service.get("desired_count", 0)) and not service.get("on_demand")
    ]
    yield "hours", "always on", {**account, "hours": {}}
    if account["hours"]:
        yield "hours", "its own", account
    elif switchable:
        yield "hours", "office hours", {**account, "hours": _office(switchable)}


def _with_runs(account: Account, provider: str) -> Account:
    services = {
        name: service
        if "desired_count" in service or (service.get("capacity_provider") or _ON_DEMAND) == provider
        else {**service, "capacity_provider": provider}
        for name, service in account["services"].items()
    }
    return {**account, "services": services}


def _office(services: list[str]) -> dict[str, Any]:
    days = dict.fromkeys(_OFFICE_DAYS, _OFFICE_HOURS)
    return {"time_zone": "Europe/London", "days": days, "services": services}
