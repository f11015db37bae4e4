# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account costs, counted by hand, and by other choices."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from ansible_collections.localgov.platform.plugins.plugin_utils import _costs

from tests.sandbox.conftest import CHECKOUT

NOW = datetime(2027, 1, 1, tzinfo=UTC)
# Round numbers, so that whoever reads this can follow.
PRICES: dict[str, Any] = {
    "region": "eu-west-2",
    "currency": "USD",
    "as_of": "2027-01-01",
    "prices": {
        "vcpu_hour": {"FARGATE_X86_64": 0.04, "FARGATE_SPOT_X86_64": 0.01},
        "gib_hour": {"FARGATE_X86_64": 0.004, "FARGATE_SPOT_X86_64": 0.001},
        "public_address_hour": 0.005,
        "nat_gateway_hour": 0.05,
        "nat_gateway_gib": 0.05,
        "endpoint_hour": 0.01,
        "endpoint_gib": 0.01,
        "balancer_hour": 0.02,
        "database_hour": {"db.t4g.micro": 0.02},
        "database_gib_month": 0.1,
        "database_capacity_hour": 0.1,
        "database_serverless_gib_month": 0.1,
        "cache_hour": {"cache.t4g.micro": 0.02},
        "log_gib": 0.5,
        "metric_month": 0.3,
        "secret_month": 0.4,
        "storage_gib_month": 0.02,
    },
    "assumptions": {"run_hours": 20, "session_hours": 4, "traffic_gib": 20, "log_gib": 2, "stored_gib": 10},
}
OFFICE = {
    "time_zone": "Europe/London",
    "days": {day: ["08:00", "18:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")},
    "services": ["daemon"],
}


def account(**changes: Any) -> _costs.Account:  # noqa: ANN401
    found: dict[str, Any] = {
        "services": {
            "frontend": {"tier": "frontend", "desired_count": 1, "secrets": {"KEY": "session:current"}},
            "dagit": {"tier": "dagit", "desired_count": 0, "on_demand": True, "memory": 1024},
            "daemon": {"tier": "private", "desired_count": 1, "memory": 1024, "secrets": {"USER": "database:username"}},
            "run": {"tier": "private", "cpu": 1024, "memory": 4096, "secrets": {"PASSWORD": "database:password"}},
        },
        "balancers": {"public": {"scheme": "public"}},
        "database": {"kind": "instance", "instance_class": "db.t4g.micro", "storage_gib": 20, "multi_az": False},
        "cache": {},
        "cpu_architecture": "X86_64",
        "egress": "endpoints",
        "zones": 2,
        "nat_gateways": 1,
        "endpoints": ["ecr.api", "ecr.dkr", "logs"],
        "hours": {},
    }
    return {**found, **changes}  # type: ignore[typeddict-item]


def bill(**changes: Any) -> _costs.Bill:  # noqa: ANN401
    return _costs.bill(account(**changes), PRICES, NOW)


def lines(found: _costs.Bill) -> dict[str, float]:
    return {line["item"]: line["monthly"] for line in found["lines"]}


def choice(found: _costs.Bill, group: str, words: str) -> dict[str, Any]:
    (one,) = [one for one in found["choices"] if (one["group"], one["choice"]) == (group, words)]
    return one


def test_every_line_is_what_one_counts_by_hand() -> None:
    found = bill()
    assert lines(found) == {
        # 730 h of 0.25 x 0.04 + 0.5 x 0.004
        "Tasks: frontend": 8.76,
        # 4 h of 0.25 x 0.04 + 1 x 0.004
        "Tasks: dagit": 0.06,
        # 730 h of the same
        "Tasks: daemon": 10.22,
        # 20 h of 1 x 0.04 + 4 x 0.004
        "Tasks: run": 1.12,
        # 3 of them in 2 zones: 4380 h of 0.01
        "Interface endpoints": 43.8,
        "Interface endpoints: traffic": 0.2,
        "Load balancers": 14.6,
        # One of the frontend, two of the balancer: 2190 h of 0.005
        "Public addresses": 10.95,
        "Database: db.t4g.micro": 14.6,
        "Database: storage": 2.0,
        # 8 of the cluster, 17 of each of two services that are on, next to nothing of what is on for a few hours
        "Container Insights": 12.69,
        "Logs": 1.0,
        # Two of the three names are of one secret.
        "Secrets": 0.8,
        "Buckets": 0.2,
    }
    assert found["monthly"] == pytest.approx(121.0)


def test_the_total_is_the_sum_of_the_lines_as_they_are_shown() -> None:
    found = bill(egress="nat", hours=OFFICE)
    assert found["monthly"] == pytest.approx(sum(lines(found).values()))


def test_nat_gateways_instead_of_endpoints_cost_their_hours_addresses_and_traffic() -> None:
    found = bill()
    # 730 x 0.05 + 20 x 0.05 + 730 x 0.005 instead of 43.80 + 0.20
    assert choice(found, "way out", "nat")["monthly"] == pytest.approx(121.0 - 44.0 + 36.5 + 1.0 + 3.65)
    assert choice(found, "way out", "endpoints") == {
        "group": "way out",
        "choice": "endpoints",
        "chosen": True,
        "monthly": found["monthly"],
    }


def test_runs_on_spot_are_cheaper_and_nothing_else_is() -> None:
    # 20 h of 1 x 0.01 + 4 x 0.001 instead of 1.12
    assert choice(bill(), "runs", "Spot")["monthly"] == pytest.approx(121.0 - 1.12 + 0.28)


def test_working_hours_count_a_twelfth_of_a_year_by_the_calendar() -> None:
    found = bill(hours=OFFICE)
    # 261 days of 10 hours in 2027, and 217.5 a month, by 0.014
    assert lines(found)["Tasks: daemon"] == pytest.approx(3.04)
    assert choice(found, "hours", "its own")["chosen"]
    assert choice(found, "hours", "always on")["monthly"] == pytest.approx(121.0)
    assert not choice(found, "hours", "always on")["chosen"]


def test_an_account_without_hours_is_told_what_office_hours_would_save() -> None:
    found = bill()
    assert choice(found, "hours", "office hours")["monthly"] < found["monthly"]


def test_exactly_one_choice_of_each_group_is_the_chosen_one() -> None:
    for found in (bill(), bill(egress="none", hours=OFFICE)):
        chosen = [one["group"] for one in found["choices"] if one["chosen"]]
        assert sorted(chosen) == ["hours", "runs", "way out"]


def test_two_zones_of_a_database_cost_twice_as_much() -> None:
    found = bill(database={**account()["database"], "multi_az": True})
    assert (lines(found)["Database: db.t4g.micro"], lines(found)["Database: storage"]) == (29.2, 4.0)


def test_a_serverless_database_costs_at_least_its_least_capacity() -> None:
    found = bill(database={"kind": "serverless", "capacity": {"minimum": 0.5, "maximum": 4}, "storage_gib": 20})
    assert lines(found)["Database, at its least"] == 36.5


def test_a_price_that_nobody_has_written_down_is_asked_for_and_never_nothing() -> None:
    with pytest.raises(_costs.CostError, match=r"no database_hour: db.m7g.large.*platform_prices: {database_hour: {db"):
        bill(database={**account()["database"], "instance_class": "db.m7g.large"})


def test_the_shipped_prices_have_all_that_an_account_may_need() -> None:
    (path,) = (CHECKOUT / "playbooks" / "prices").glob("*.yml")
    shipped = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert shipped["region"] == path.stem
    assert datetime.fromisoformat(shipped["as_of"])
    assert shipped["assumptions"].keys() == PRICES["assumptions"].keys()
    assert shipped["prices"].keys() == PRICES["prices"].keys()
    cache = {"node_type": "cache.t4g.micro", "replicas": 1}
    for egress in ("endpoints", "nat"):
        for architecture in ("X86_64", "ARM64"):
            wanted = account(egress=egress, cpu_architecture=architecture, cache=cache, hours=OFFICE)
            assert 50 < _costs.bill(wanted, shipped, NOW)["monthly"] < 500
