# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboard of an account in CloudWatch, derived from its declaration of services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# CloudWatch's grid has 24 columns.
_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 6
_INSIGHTS, _ECS = "ECS/ContainerInsights", "AWS/ECS"

Widget = dict[str, Any]


def dashboard(
    services: Mapping[str, Mapping[str, Any]],
    prefix: str,
    region: str,
    queues: Sequence[str] = (),
    database_kind: str = "instance",
    balancers: Iterable[str] = (),
) -> dict[str, Any]:
    """A dashboard's body: tasks, their use of what they have, queues, database, balancers, and the latest errors.

    `queues` are names without the prefix; of a service that has no `desired_count` there is nothing to count.
    """
    dashed = {name: name.replace("_", "-") for name in services}
    counted = [dashed[name] for name, service in services.items() if "desired_count" in service]
    names = [f"{prefix}-{queue.replace('_', '-')}" for queue in queues]
    graphs = [
        _graph("Tasks that run", region, _of_services(_INSIGHTS, "RunningTaskCount", prefix, counted)),
        _graph("Tasks that should run", region, _of_services(_INSIGHTS, "DesiredTaskCount", prefix, counted)),
        _graph("Processors, percent", region, _of_services(_ECS, "CPUUtilization", prefix, counted)),
        _graph("Memory, percent", region, _of_services(_ECS, "MemoryUtilization", prefix, counted)),
        _graph("Database", region, _of_database(prefix, database_kind)),
    ]
    if names:
        graphs.append(_graph("Messages that wait, and that failed", region, _of_queues(names)))
    if list(balancers):
        graphs.append(_graph("Answers of balancers that were errors", region, _of_balancers()))
    errors = _errors([f"/{prefix}/{name}" for name in dashed.values()], region)
    return {"widgets": _placed([*graphs, errors])}


def _graph(title: str, region: str, metrics: list[list[Any]]) -> Widget:
    shown = {"title": title, "region": region, "view": "timeSeries", "stat": "Maximum", "period": 300}
    return {"type": "metric", "width": _WIDTH, "height": _HEIGHT, "properties": {**shown, "metrics": metrics}}


def _of_services(namespace: str, metric: str, cluster: str, names: Iterable[str]) -> list[list[Any]]:
    return [[namespace, metric, "ClusterName", cluster, "ServiceName", name, {"label": name}] for name in names]


def _of_database(prefix: str, kind: str) -> list[list[Any]]:
    """Beside small numbers, storage has an axis of its own."""
    last: list[Any]
    if kind == "serverless":
        where = ["DBClusterIdentifier", prefix]
        last = ["AWS/RDS", "ServerlessDatabaseCapacity", *where]
    else:
        where = ["DBInstanceIdentifier", prefix]
        last = ["AWS/RDS", "FreeStorageSpace", *where, {"yAxis": "right", "stat": "Minimum"}]
    return [["AWS/RDS", "CPUUtilization", *where], ["AWS/RDS", "DatabaseConnections", *where], last]


def _of_queues(names: Iterable[str]) -> list[list[Any]]:
    return [
        ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name, {"label": name}]
        for queue in names
        for name in (queue, f"{queue}-failed")
    ]


def _of_balancers() -> list[list[Any]]:
    """By a search, as the metrics' names of balancers end with what AWS adds to them."""
    kinds = {"balancer": "HTTPCode_ELB_5XX_Count", "services": "HTTPCode_Target_5XX_Count"}
    return [
        [{"expression": f"SEARCH('{{AWS/ApplicationELB,LoadBalancer}} {metric}', 'Sum', 300)", "id": identifier}]
        for identifier, metric in kinds.items()
    ]


def _errors(groups: Iterable[str], region: str) -> Widget:
    sources = " | ".join(f"SOURCE '{group}'" for group in groups)
    wanted = "filter @message like /ERROR|Traceback|Given up/ | sort @timestamp desc | limit 50"
    query = f"{sources} | fields @timestamp, @log, @message | {wanted}"
    properties = {"title": "Latest errors", "region": region, "view": "table", "query": query}
    return {"type": "log", "width": _COLUMNS, "height": _HEIGHT, "properties": properties}


def _placed(widgets: Iterable[Widget]) -> list[Widget]:
    """From left to right, in rows."""
    x = y = 0
    placed = []
    for widget in widgets:
        if x + widget["width"] > _COLUMNS:
            x, y = 0, y + _HEIGHT
        placed.append({**widget, "x": x, "y": y})
        x += widget["width"]
    return placed
