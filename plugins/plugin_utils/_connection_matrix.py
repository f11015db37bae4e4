# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may open a connection to whom, from a declaration of services: as data, as a table, as a drawing.

Whoever is not named as a target in a row cannot be reached from it: security groups allow nothing else.
"""

from __future__ import annotations

from typing import Any, TypedDict

from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration

HTTPS_PORT = 443
# What lies outside the account's own subnets. `aws` are the interface endpoints of AWS services.
S3, AWS, INTERNET = "s3", "aws", "internet"
_OUTSIDE = {S3: "Amazon S3", AWS: "AWS services, by their endpoints", INTERNET: "the internet, TLS only"}
# Where a task's tier leads to beside the arrows: images, logs, secrets and objects. The frontend VPC has an internet
# gateway, the Dagster VPC what `la_network_egress` says.
_FRONTEND = "frontend"
_WAYS_OUT = {"endpoints": (AWS, S3), "nat": (INTERNET, S3), "none": ()}
_GROUPS = {"frontend": "Frontend VPC, public", "dagit": "Dagster VPC, dagit", "private": "Dagster VPC, private"}


class Matrix(TypedDict):
    """`parties`: name to tier (`outside` for what is not in the account's subnets); `matrix`: source to target to port.

    `connections` is the same as a list, the declared arrows first.
    """

    parties: dict[str, str]
    connections: list[_declaration.Connection]
    matrix: dict[str, dict[str, int | None]]


def connection_matrix(services: _declaration.Declaration, egress: str = "endpoints") -> Matrix:
    """Every service against every party; `None` where no connection can be opened."""
    if egress not in _WAYS_OUT:
        raise _declaration.DeclarationError(f"egress {egress!r} is none of {', '.join(_WAYS_OUT)}")
    connections = [*_declaration.connections(services), *_ways_out(services, egress)]
    ports = {(arrow["source"], arrow["target"]): arrow["port"] for arrow in connections}
    parties = _parties(services, {target for _, target in ports})
    matrix = {source: {target: ports.get((source, target)) for target in parties} for source in services}
    return {"parties": parties, "connections": connections, "matrix": matrix}


def _ways_out(services: _declaration.Declaration, egress: str) -> list[_declaration.Connection]:
    return [
        {"source": name, "target": target, "port": HTTPS_PORT}
        for name, service in services.items()
        for target in ((INTERNET,) if service.get("tier") == _FRONTEND else _WAYS_OUT[egress])
    ]


def _parties(services: _declaration.Declaration, targets: set[str]) -> dict[str, str]:
    parties = {name: str(service.get("tier", "")) for name, service in services.items()}
    if _declaration.DATABASE in targets:
        parties[_declaration.DATABASE] = _declaration.DATABASE
    return {**parties, **{name: "outside" for name in _OUTSIDE if name in targets}}


def markdown_table(matrix: Matrix) -> str:
    """A row for each service, a column for each party, and the port where the two meet."""
    parties = list(matrix["parties"])
    lines = ["| from \\ to | " + " | ".join(parties) + " |", "|---" * (len(parties) + 1) + "|"]
    for source, row in matrix["matrix"].items():
        lines.append(f"| **{source}** | " + " | ".join(str(row[target] or "") for target in parties) + " |")
    return "\n".join(lines)


def drawing(matrix: Matrix, services: dict[str, dict[str, Any]]) -> str:
    """A Mermaid flowchart of the declared arrows and the ways out; dotted from a service that is off by default."""
    lines = ["flowchart LR"]
    for tier, title in _GROUPS.items():
        members = [name for name, party_tier in matrix["parties"].items() if party_tier == tier]
        if members:
            lines += [f'  subgraph tier_{tier}["{title}"]', *(f"    {_node(name)}" for name in members), "  end"]
    if _declaration.DATABASE in matrix["parties"]:
        lines += ['  subgraph tier_database["Dagster VPC, database"]', "    database[(database)]", "  end"]
    lines += [f'  {name}(["{title}"])' for name, title in _OUTSIDE.items() if name in matrix["parties"]]
    for arrow in matrix["connections"]:
        line = "-.->" if services[arrow["source"]].get("desired_count") == 0 else "-->"
        lines.append(f"  {arrow['source']} {line}|{arrow['port']}| {arrow['target']}")
    return "\n".join(lines)


def _node(name: str) -> str:
    return f'{name}["{name.replace("_", " ")}"]'
