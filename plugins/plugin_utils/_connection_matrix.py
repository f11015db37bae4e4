# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may open a connection to whom, from a declaration of services: as data, as a table, as a drawing.

Whoever is not named as a target in a row cannot be reached from it: security groups allow nothing else.
"""

from __future__ import annotations

from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import _balancers, _declaration

HTTPS_PORT = 443
# What lies outside the account's own subnets. `aws` are the interface endpoints of AWS services.
S3, AWS, INTERNET = "s3", "aws", "internet"
_OUTSIDE = {S3: "Amazon S3", AWS: "AWS services, by their endpoints", INTERNET: "the internet, TLS only"}
# Where a task's tier leads to beside the arrows: images, logs, secrets and objects. The frontend VPC has an internet
# gateway, the Dagster VPC what `la_network_egress` says.
_WAYS_OUT = {"endpoints": (AWS, S3), "nat": (INTERNET, S3), "none": ()}
_GROUPS = {"frontend": "Frontend VPC, public", "dagit": "Dagster VPC, dagit", "private": "Dagster VPC, private"}


# Who comes in by a public balancer. Apart from `internet`, which is where tasks go out to.
WORLD = "world"

# One port; several where a balancer also answers on the port from which it redirects.
Ports = int | list[int] | None


class Matrix(TypedDict):
    """`parties`: name to tier (`outside` for what is not in the account's subnets); `matrix`: source to target to port.

    `connections` is the same as a list, the declared arrows first.
    """

    parties: dict[str, str]
    connections: list[_declaration.Connection]
    matrix: dict[str, dict[str, Ports]]


def connection_matrix(
    services: _declaration.Declaration,
    egress: str = "endpoints",
    balancers: dict[str, dict[str, Any]] | None = None,
) -> Matrix:
    """Every service and balancer against every party; `None` where no connection can be opened."""
    if egress not in _WAYS_OUT:
        raise _declaration.DeclarationError(f"egress {egress!r} is none of {', '.join(_WAYS_OUT)}")
    found = _balancers.balancers(services, balancers or {})
    connections = [
        *_balancers.connections(services, balancers or {}),
        *_ways_in(found),
        *_ways_out(services, egress),
    ]
    parties = _parties(services, found, {arrow["target"] for arrow in connections})
    sources = [*services, *(balancer["party"] for balancer in found), *([WORLD] if _ways_in(found) else [])]
    matrix = {source: {target: _ports(source, target, connections) for target in parties} for source in sources}
    return {"parties": parties, "connections": connections, "matrix": matrix}


def _ports(source: str, target: str, connections: list[_declaration.Connection]) -> Ports:
    ports = [arrow["port"] for arrow in connections if (arrow["source"], arrow["target"]) == (source, target)]
    return ports if len(ports) > 1 else next(iter(ports), None)


def _ways_in(found: list[_balancers.Balancer]) -> list[_declaration.Connection]:
    return [
        {"source": WORLD, "target": balancer["party"], "port": port}
        for balancer in found
        for port in _balancers.public_ports(balancer)
    ]


def _ways_out(services: _declaration.Declaration, egress: str) -> list[_declaration.Connection]:
    return [
        {"source": name, "target": target, "port": HTTPS_PORT}
        for name, service in services.items()
        for target in ((INTERNET,) if service.get("tier") == _declaration.FRONTEND_TIER else _WAYS_OUT[egress])
    ]


def _parties(services: _declaration.Declaration, found: list[_balancers.Balancer], targets: set[str]) -> dict[str, str]:
    parties = {name: str(service.get("tier", "")) for name, service in services.items()}
    for balancer in found:
        is_public = balancer["settings"]["scheme"] == _balancers.PUBLIC
        parties[balancer["party"]] = _declaration.FRONTEND_TIER if is_public else "private"
    # The stores lie in the database subnets.
    parties |= {store: _declaration.DATABASE for store in _declaration.STORES if store in targets}
    return {**parties, **{name: "outside" for name in _OUTSIDE if name in targets}}


def markdown_table(matrix: Matrix) -> str:
    """A row for each service, a column for each party, and the port where the two meet."""
    parties = list(matrix["parties"])
    lines = ["| from \\ to | " + " | ".join(parties) + " |", "|---" * (len(parties) + 1) + "|"]
    for source, row in matrix["matrix"].items():
        lines.append(f"| **{source}** | " + " | ".join(_cell(row[target]) for target in parties) + " |")
    return "\n".join(lines)


def _cell(ports: Ports) -> str:
    return ", ".join(map(str, ports)) if isinstance(ports, list) else str(ports or "")


def drawing(matrix: Matrix, services: dict[str, dict[str, Any]]) -> str:
    """A Mermaid flowchart of the declared arrows and the ways out; dotted from a service that is off by default."""
    lines = ["flowchart LR"]
    for tier, title in _GROUPS.items():
        members = [name for name, party_tier in matrix["parties"].items() if party_tier == tier]
        if members:
            lines += [f'  subgraph tier_{tier}["{title}"]', *(f"    {_node(name)}" for name in members), "  end"]
    stores = [f"    {name}[({name})]" for name in _declaration.STORES if name in matrix["parties"]]
    if stores:
        lines += ['  subgraph tier_database["Dagster VPC, database"]', *stores, "  end"]
    if WORLD in matrix["matrix"]:
        lines.append(f'  {WORLD}(["anybody"])')
    lines += [f'  {name}(["{title}"])' for name, title in _OUTSIDE.items() if name in matrix["parties"]]
    for arrow in matrix["connections"]:
        line = "-.->" if services.get(arrow["source"], {}).get("desired_count") == 0 else "-->"
        lines.append(f"  {arrow['source']} {line}|{arrow['port']}| {arrow['target']}")
    return "\n".join(lines)


def _node(name: str) -> str:
    return f'{name}["{name.replace("_", " ")}"]'
