# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account's dashboard shows follows from its declaration."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _dashboard

SERVICES: dict[str, Any] = {
    "frontend": {"desired_count": 1},
    "code_server": {"desired_count": 1},
    "run": {},
}


def widgets(**more: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
    body = _dashboard.dashboard(SERVICES, "localgov", "eu-west-2", **more)
    return {widget["properties"]["title"]: widget for widget in body["widgets"]}


def test_each_service_that_is_counted_is_a_line_of_its_own() -> None:
    metrics = widgets()["Tasks that run"]["properties"]["metrics"]
    assert [metric[5] for metric in metrics] == ["frontend", "code-server"]
    assert metrics[0][:4] == ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", "localgov"]


def test_a_queue_is_shown_beside_what_failed_of_it() -> None:
    metrics = widgets(queues=["uploads"])["Messages that wait, and that failed"]["properties"]["metrics"]
    assert [metric[3] for metric in metrics] == ["localgov-uploads", "localgov-uploads-failed"]
    assert "Messages that wait, and that failed" not in widgets()


def test_a_database_of_each_kind_is_found_by_its_own_name() -> None:
    assert widgets()["Database"]["properties"]["metrics"][2][1:3] == ["FreeStorageSpace", "DBInstanceIdentifier"]
    serverless = widgets(database_kind="serverless")["Database"]["properties"]["metrics"]
    assert {metric[2] for metric in serverless} == {"DBClusterIdentifier"}


def test_errors_are_looked_for_in_the_log_of_every_service() -> None:
    query = widgets()["Latest errors"]["properties"]["query"]
    assert query.startswith("SOURCE '/localgov/frontend' | SOURCE '/localgov/code-server' | SOURCE '/localgov/run' |")


def test_no_graph_lies_on_another_or_beside_the_grid() -> None:
    placed = list(widgets(queues=["uploads"], balancers={"public": {}}).values())
    assert all(one["x"] + one["width"] <= 24 for one in placed)
    assert all((a["y"], a["x"]) < (b["y"], b["x"]) for a, b in pairwise(placed))
    assert len({(one["x"], one["y"]) for one in placed}) == len(placed) == 8
