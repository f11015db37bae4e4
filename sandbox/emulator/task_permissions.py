# SPDX-License-Identifier: GPL-3.0-or-later
"""Which resource an ECS call is about, and in which cluster, as IAM on AWS sees it.

As shipped every call that names a cluster is judged on the cluster alone, so that a policy for one task definition, one
service or one task never matches, and ``ecs:cluster`` conditions never hold. Events of a log are judged on its group,
where AWS judges them on the stream.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_ACTIONS = "ministack.core.iam_actions"

NEEDS = (
    f"{_ACTIONS}.extract_resource_arn",
    f"{_ACTIONS}.request_tag_context",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.services.ecs._resolve_td_key",
)

_ON_LOG_STREAMS = {"GetLogEvents", "PutLogEvents"}
# Actions without a resource of their own: AWS judges them on "*".
_NO_RESOURCE = {
    "DescribeTaskDefinition",
    "DeregisterTaskDefinition",
    "ListClusters",
    "ListTaskDefinitions",
    "ListTaskDefinitionFamilies",
    "ListTasks",
    "ListServices",
    "RegisterTaskDefinition",
}


def install(settings: Settings) -> None:
    actions = find(_ACTIONS)
    actions.extract_resource_arn = _with_tasks(actions.extract_resource_arn)
    actions.request_tag_context = _with_cluster(actions.request_tag_context)


def _with_tasks(shipped: Any) -> Any:  # noqa: ANN401 - the emulator's own function
    @functools.wraps(shipped)
    def extract_resource_arn(service: str, method: str, path: str, headers: dict[str, str], *rest: Any) -> str:  # noqa: ANN401
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "ecs":
            return resource_arn(action, _content(rest[0]))
        shipped_arn: str = shipped(service, method, path, headers, *rest)
        stream = _content(rest[0]).get("logStreamName") if service == "logs" and action in _ON_LOG_STREAMS else None
        return f"{shipped_arn.removesuffix(':*')}:log-stream:{stream}" if stream else shipped_arn

    return extract_resource_arn


def _with_cluster(shipped: Any) -> Any:  # noqa: ANN401 - the emulator's own function
    @functools.wraps(shipped)
    def request_tag_context(service: str, action: str, body: bytes, *rest: Any) -> dict[str, Any]:  # noqa: ANN401
        context: dict[str, Any] = shipped(service, action, body, *rest)
        if service == "ecs":
            cluster = _content(body).get("cluster") or "default"
            context["ecs:cluster"] = cluster if cluster.startswith("arn:") else _arn("cluster", cluster)
        return context

    return request_tag_context


def resource_arn(action: str, request: dict[str, Any]) -> str:
    """The resource that the policy of the caller is matched with; of several, the first."""
    cluster = _name(request.get("cluster") or "default")
    if action in _NO_RESOURCE:
        return "*"
    if action in ("RunTask", "StartTask"):
        named = request.get("taskDefinition", "")
        if named.startswith("arn:"):
            return str(named)
        return _arn("task-definition", str(find("ministack.services.ecs._resolve_td_key")(named)))
    for named, kind in (("task", "task"), ("tasks", "task"), ("service", "service"), ("services", "service")):
        if value := _first(request.get(named)):
            return value if value.startswith("arn:") else _arn(kind, f"{cluster}/{value}")
    if name := request.get("serviceName"):
        return _arn("service", f"{cluster}/{name}")
    if arn := request.get("resourceArn"):
        return str(arn)
    if name := _first(request.get("clusterName") or request.get("clusters") or request.get("cluster")):
        return name if name.startswith("arn:") else _arn("cluster", name)
    return "*"


def _arn(kind: str, name: str) -> str:
    region, account = find("ministack.core.responses.get_region")(), find("ministack.core.responses.get_account_id")()
    return f"arn:aws:ecs:{region}:{account}:{kind}/{name}"


def _first(value: Any) -> str:  # noqa: ANN401 - as a request has it
    chosen = value[0] if isinstance(value, list) and value else value
    return chosen if isinstance(chosen, str) else ""


def _name(name_or_arn: str) -> str:
    return name_or_arn.rpartition("/")[2]


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
