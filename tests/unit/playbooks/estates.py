# SPDX-License-Identifier: GPL-3.0-or-later
"""Estates as playbooks/report.yml puts them together, for tests of its page and pictures in the documentation."""

from __future__ import annotations

import copy
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(CHECKOUT / "build" / "collections"))

from ansible_collections.localgov.platform.plugins.plugin_utils import _estate  # noqa: E402

NOW = datetime.fromisoformat("2026-11-27T09:30:00+00:00")
PRICES = yaml.safe_load((CHECKOUT / "playbooks" / "prices" / "eu-west-2.yml").read_text(encoding="utf-8"))
_DECLARED = yaml.safe_load((CHECKOUT / "roles" / "la_services" / "defaults" / "main.yml").read_text(encoding="utf-8"))
_LITERAL = (
    "image", "tier", "port", "desired_count", "on_demand", "cpu", "memory", "capacity_provider", "connects_to",
)  # fmt: skip
CERTIFICATE = "arn:aws:acm:eu-west-2:012345678901:certificate/11111111-2222-3333-4444-555555555555"
DIGESTS = {
    name: f"sha256:{number}{'e3b0c44298fc1c' * 4}"[:71]
    for number, name in enumerate(("frontend", "dagit", "daemon", "code-server"), 1)
}


def services() -> dict[str, dict[str, Any]]:
    """As the role declares them, without what it says in Jinja."""
    declared = _DECLARED["la_services_services"]
    found = {name: {key: service[key] for key in _LITERAL if key in service} for name, service in declared.items()}
    for name in ("dagit", "daemon", "run"):
        found[name]["secrets"] = {"DAGSTER_PG_PASSWORD": "database:password"}
    return found


def account(name: str, number: int, **declared: Any) -> _estate.Account:  # noqa: ANN401
    """One whose state is what it declares; the first is the organisation's."""
    given = services()
    if number:
        given["frontend"]["balancer"] = {"name": "public"}
    kind = "authority" if number else "organisation"
    return {
        "name": name,
        "id": f"3{number:011}",
        "kind": kind,
        "declared": {
            "services": given,
            "balancers": {"public": {"scheme": "public", "certificate_arn": CERTIFICATE}} if number else {},
            "database": {"kind": "instance", "instance_class": "db.t4g.micro", "storage_gib": 20, "multi_az": False},
            "cache": {},
            "cpu_architecture": "X86_64",
            "egress": "endpoints",
            "zones": 2,
            "nat_gateways": 1,
            "endpoints": ["ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sqs", "ssmmessages"],
            "hours": {},
            "share": "granted",
            "digests": DIGESTS,
            **declared,
        },
        "state": _state(given, number, kind),
        "failure": "",
        "prices": PRICES,
        "versions": {"dagster": "1.13.27", "schema": "7e2f3204cf8e", "configuration": "c15159b0f3a2"},
    }


def _state(given: dict[str, dict[str, Any]], number: int, kind: str) -> dict[str, Any]:
    there = [
        {
            "name": name.replace("_", "-"),
            "task_definition": f"localgov-{name}:7",
            "images": {name.replace("_", "-"): DIGESTS[service["image"]]},
            "desired": service.get("desired_count", 0),
            "running": service.get("desired_count", 0),
            "rollout": "COMPLETED",
        }
        for name, service in given.items()
    ]
    finished = NOW - timedelta(hours=7 * (number % 9) + 1)
    return {
        "stacks": [
            {
                "name": f"localgov-{name}",
                "status": "UPDATE_COMPLETE",
                "updated": "2026-11-20T08:15:00Z",
                "drift": "IN_SYNC",
            }
            for name in ("database", "events", "network", "roles", "services", "topics", "watch")
        ],
        "services": [one for one in there if one["name"] != "run"],
        "tasks": [one for one in there if one["name"] == "run"],
        "alarms": [],
        "share": {"open": True, "decided": "", "since": ""} if kind == "authority" else {},
        "runs": [
            {
                "dataset": "ssda903",
                "year": "2026",
                "state": state,
                "finished_at": f"{finished - timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}",
                "errors": errors,
            }
            for day, (state, errors) in enumerate((("accepted", 3), ("rejected", 41), ("accepted", 0)))
        ]
        if kind == "authority"
        else [],
        "unread": [],
    }


def small() -> list[_estate.Account]:
    """An organisation and five authorities; of these two differ and one cannot be reached."""
    names = ("hub", "camden", "croydon", "sutton", "barnet", "merton")
    found = [account(name, number) for number, name in enumerate(names)]
    _hub, _camden, croydon, sutton, barnet, merton = found
    daemon = next(one for one in croydon["state"]["services"] if one["name"] == "daemon")
    daemon["running"] = 0
    croydon["state"]["alarms"] = [
        {
            "name": "localgov-daemon-below",
            "since": "2026-11-27T08:02:00Z",
            "description": "daemon runs fewer tasks than it should. What to do: docs/runbooks.md#service-below-desired",
        }
    ]
    old = next(one for one in sutton["state"]["services"] if one["name"] == "frontend")
    old["images"]["frontend"] = "sha256:0f5e2b7c9d11" + "0" * 52
    sutton["state"]["share"] = {"open": True, "decided": "revoked", "since": "2026-11-26T16:40:00Z"}
    barnet["state"], barnet["failure"] = {}, UNREACHABLE
    merton["state"]["share"] = {"open": False, "decided": "revoked", "since": "2026-10-02T09:00:00Z"}
    merton["declared"].update(egress="nat", hours=OFFICE)
    return found


OFFICE = {
    "time_zone": "Europe/London",
    "days": {day: ["08:00", "18:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday")},
    "holidays": ["2026-12-25"],
    "services": ["frontend", "daemon", "code_server"],
}
UNREACHABLE = (
    "Cannot assume the role localgov-deploy in account 300000000004: AccessDenied: User: "
    "arn:aws:sts::444444444444:assumed-role/operators/somebody@example.gov.uk is not authorized to perform: "
    "sts:AssumeRole"
)


def large(count: int = 150) -> list[_estate.Account]:
    """As many accounts, the small estate's among them."""
    first = small()
    return [*first, *(account(f"authority-{number:03}", number) for number in range(len(first), count))]


def page(accounts: list[_estate.Account]) -> str:
    """What the playbook writes for these accounts."""
    templates = jinja2.Environment(  # noqa: S701  the template escapes, as Ansible does not
        loader=jinja2.FileSystemLoader(CHECKOUT / "playbooks" / "templates"), trim_blocks=True
    )
    templates.filters["strftime"] = lambda form, _seconds, utc: NOW.strftime(form)
    estate = _estate.estate(copy.deepcopy(accounts), "localgov", NOW)
    return templates.get_template("estate.html.j2").render(__report_estate=estate, now=lambda utc: NOW)
