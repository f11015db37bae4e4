# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may open a connection to whom, as data, table and drawing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _connection_matrix as matrices
from ansible_collections.localgov.platform.plugins.plugin_utils import _declaration

SERVICES: dict[str, Any] = {
    "frontend": {"tier": "frontend", "port": 8080, "desired_count": 1},
    "dagit": {"tier": "dagit", "port": 3000, "desired_count": 0, "connects_to": ["code_server"]},
    "daemon": {"tier": "private", "desired_count": 1, "connects_to": ["code_server", "database"]},
    "code_server": {"tier": "private", "port": 4000, "desired_count": 1},
}
ROOM = {"frontend": None, "dagit": None, "daemon": None, "code_server": None, "database": None}


def test_a_service_reaches_its_arrows_and_the_ways_out_of_its_tier() -> None:
    found = matrices.connection_matrix(SERVICES)["matrix"]
    assert found["frontend"] == {**ROOM, "s3": None, "aws": None, "internet": 443}
    assert found["dagit"] == {**ROOM, "code_server": 4000, "s3": 443, "aws": 443, "internet": None}
    assert found["daemon"] == {
        **ROOM,
        "code_server": 4000,
        "database": 5432,
        "s3": 443,
        "aws": 443,
        "internet": None,
    }


def test_nobody_but_services_opens_connections() -> None:
    assert matrices.connection_matrix(SERVICES)["matrix"].keys() == SERVICES.keys()


def test_the_list_of_connections_says_what_the_matrix_says() -> None:
    found = matrices.connection_matrix(SERVICES)
    listed = {(arrow["source"], arrow["target"]): arrow["port"] for arrow in found["connections"]}
    assert listed == {
        (source, target): port for source, row in found["matrix"].items() for target, port in row.items() if port
    }


@pytest.mark.parametrize(
    ("egress", "ways_out"),
    [("endpoints", {"aws", "s3"}), ("nat", {"internet", "s3"}), ("none", set())],
)
def test_the_way_out_is_what_the_network_was_given(egress: str, ways_out: set[str]) -> None:
    found = matrices.connection_matrix(SERVICES, egress)
    assert {arrow["target"] for arrow in found["connections"] if arrow["source"] == "code_server"} == ways_out


def test_another_way_out_is_refused() -> None:
    with pytest.raises(_declaration.DeclarationError, match="egress 'vpn' is none of endpoints, nat, none"):
        matrices.connection_matrix(SERVICES, "vpn")


def test_what_nobody_reaches_is_no_party() -> None:
    parties = matrices.connection_matrix({"code_server": {"tier": "private", "port": 4000}}, "none")["parties"]
    assert parties == {"code_server": "private"}


def test_the_table_has_a_port_where_a_service_meets_its_target() -> None:
    table = matrices.markdown_table(matrices.connection_matrix(SERVICES, "none"))
    assert table.splitlines() == [
        "| from \\ to | frontend | dagit | daemon | code_server | database | internet |",
        "|---|---|---|---|---|---|---|",
        "| **frontend** |  |  |  |  |  | 443 |",
        "| **dagit** |  |  |  | 4000 |  |  |",
        "| **daemon** |  |  |  | 4000 | 5432 |  |",
        "| **code_server** |  |  |  |  |  |  |",
    ]


def test_every_connection_is_drawn_once_and_dotted_from_what_is_off_by_default() -> None:
    found = matrices.connection_matrix(SERVICES, "none")
    arrows = [line.strip() for line in matrices.drawing(found, SERVICES).splitlines() if ">|" in line]
    assert arrows == [
        "dagit -.->|4000| code_server",
        "daemon -->|4000| code_server",
        "daemon -->|5432| database",
        "frontend -->|443| internet",
    ]


def test_every_party_is_drawn_in_its_subnet() -> None:
    lines = [line.strip() for line in matrices.drawing(matrices.connection_matrix(SERVICES), SERVICES).splitlines()]
    private = lines[lines.index('subgraph tier_private["Dagster VPC, private"]') :]
    assert private[1:4] == ['daemon["daemon"]', 'code_server["code server"]', "end"]
    assert 'aws(["AWS services, by their endpoints"])' in lines
