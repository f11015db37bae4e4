# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a declaration of services: connections, IAM statements, environment.

A declaration maps a service's name to its settings, see `docs/concepts.md`, section 3. Locations map a name such as
`data_store` to one bucket (a string) or to the buckets of several accounts (a mapping of host to bucket); an empty
value means that this account has no such location, and arrows to it ask for nothing.
"""

from __future__ import annotations

import json
from typing import Any, TypedDict

DATABASE = "database"
DATABASE_PORT = 5432

Service = dict[str, Any]
Declaration = dict[str, Service]
Locations = dict[str, Any]
Statement = dict[str, Any]


class DeclarationError(ValueError):
    """A declaration that cannot be carried out: says which service and key, and what is expected."""


class Connection(TypedDict):
    """An arrow of the declaration: `source` may open a TCP connection to `target` on `port`."""

    source: str
    target: str
    port: int


def camel(name: str) -> str:
    """`data_store/uploads` as `DataStoreUploads`: CloudFormation names and Sids take letters and digits only."""
    words = "".join(character if character.isalnum() else " " for character in name).split()
    return "".join(word[0].upper() + word[1:] for word in words)


def connections(services: Declaration) -> list[Connection]:
    """Every connection that the declaration asks for, in the order of the declaration."""
    return [
        {"source": source, "target": target, "port": _port_of(source, target, services)}
        for source, service in services.items()
        for target in service.get("connects_to") or []
    ]


def _port_of(source: str, target: str, services: Declaration) -> int:
    if target == DATABASE:
        return DATABASE_PORT
    if target not in services:
        known = ", ".join([*services, DATABASE])
        raise DeclarationError(
            f"service '{source}' connects_to '{target}', which is not declared; declared are: {known}"
        )
    port = services[target].get("port")
    if port is None:
        raise DeclarationError(
            f"service '{source}' connects_to '{target}', which declares no port; give '{target}' a port"
        )
    return int(port)


def buckets_of(arrow: str, locations: Locations) -> tuple[list[str], str]:
    """The buckets and the key prefix of an arrow such as `data_store/uploads`; no prefix stands for a whole bucket."""
    name, _, prefix = arrow.partition("/")
    if name not in locations:
        raise DeclarationError(f"'{arrow}' names no location; known are: {', '.join(sorted(locations))}")
    value = locations[name] or {}
    buckets = [value] if isinstance(value, str) else list(value.values())
    return buckets, prefix.strip("/")


def location_environment(service: Service, locations: Locations) -> dict[str, str]:
    """`<NAME>_LOCATION` for each bucket that the service knows of; `<NAME>_LOCATIONS` (JSON) where it is several."""
    environment = {}
    for name in sorted({arrow.partition("/")[0] for arrow in _storage_arrows(service)}):
        buckets_of(name, locations)
        value = locations[name]
        if isinstance(value, str) and value:
            environment[f"{name.upper()}_LOCATION"] = f"s3://{value}"
        elif isinstance(value, dict) and value:
            roots = {host: f"s3://{bucket}" for host, bucket in value.items()}
            environment[f"{name.upper()}_LOCATIONS"] = json.dumps(roots, sort_keys=True)
    return environment


def _storage_arrows(service: Service) -> list[str]:
    return [
        arrow
        for key in ("knows", "lists", "versions", "reads", "writes", "deletes")
        for arrow in service.get(key) or []
    ]


def storage_statements(service: Service, locations: Locations) -> list[Statement]:
    """IAM statements for what a service lists, reads, writes and deletes; each Sid says which arrow asks for it."""
    reads = service.get("reads") or []
    listed = [*reads, *(arrow for arrow in service.get("lists") or [] if arrow not in reads)]
    statements = [_list_statement("List", "s3:ListBucket", arrow, locations) for arrow in listed]
    statements += [
        _list_statement("ListVersionsOf", "s3:ListBucketVersions", arrow, locations)
        for arrow in service.get("versions") or []
    ]
    statements += [_object_statement("Read", arrow, locations, ["s3:GetObject"]) for arrow in reads]
    statements += [
        _object_statement("Write", arrow, locations, ["s3:PutObject"]) for arrow in service.get("writes") or []
    ]
    statements += [
        _object_statement("Delete", arrow, locations, ["s3:DeleteObject"]) for arrow in service.get("deletes") or []
    ]
    return [statement for statement in statements if statement["Resource"]]


def _bucket_arn(bucket: str, suffix: str = "") -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}{suffix}"}


def _list_statement(verb: str, action: str, arrow: str, locations: Locations) -> Statement:
    buckets, prefix = buckets_of(arrow, locations)
    statement: Statement = {
        "Sid": f"{verb}{camel(arrow)}",
        "Effect": "Allow",
        "Action": [action],
        "Resource": [_bucket_arn(bucket) for bucket in buckets],
    }
    if prefix:
        statement["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}/*"]}}
    return statement


def _object_statement(verb: str, arrow: str, locations: Locations, actions: list[str]) -> Statement:
    buckets, prefix = buckets_of(arrow, locations)
    keys = f"/{prefix}/*" if prefix else "/*"
    return {
        "Sid": f"{verb}{camel(arrow)}",
        "Effect": "Allow",
        "Action": actions,
        "Resource": [_bucket_arn(bucket, keys) for bucket in buckets],
    }


def launch_statements(name: str, services: Declaration, prefix: str) -> list[Statement]:
    """IAM statements for a service that `launches` or only `follows` tasks of this account's cluster.

    `prefix` is the platform's name prefix, from which cluster, families and roles take their names.
    """
    launched = services[name].get("launches") or []
    followed = [*launched, *(services[name].get("follows") or [])]
    if unknown := [task for task in followed if task not in services]:
        raise DeclarationError(f"service '{name}' launches or follows '{unknown[0]}', which is not declared")
    if not followed:
        return []
    families = [f"{prefix}-{task.replace('_', '-')}" for task in launched]
    return [
        *(_start_statements(families, prefix) if families else []),
        *_follow_statements([task.replace("_", "-") for task in followed], prefix),
    ]


def session_statements(service: Service) -> list[Statement]:
    """IAM statements of a service that is reached by a port that Session Manager forwards."""
    if not service.get("on_demand"):
        return []
    channels = [f"{verb}{kind}Channel" for verb in ("Create", "Open") for kind in ("Control", "Data")]
    return [
        {
            "Sid": "ForwardedPortsHaveNoResourceLevel",
            "Effect": "Allow",
            "Action": [f"ssmmessages:{channel}" for channel in channels],
            "Resource": "*",
        }
    ]


def _here(service: str, resource: str) -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{resource}"}


def _start_statements(families: list[str], prefix: str) -> list[Statement]:
    roles = [f"{family}-{kind}" for family in families for kind in ("execution", "task")]
    return [
        {
            "Sid": "LaunchDeclaredTasks",
            "Effect": "Allow",
            "Action": "ecs:RunTask",
            "Resource": [_here("ecs", f"task-definition/{family}:*") for family in families],
            "Condition": {"ArnEquals": {"ecs:cluster": _here("ecs", f"cluster/{prefix}")}},
        },
        {
            "Sid": "TagTasksAtLaunch",
            "Effect": "Allow",
            "Action": "ecs:TagResource",
            "Resource": [_here("ecs", f"task/{prefix}/*")],
            "Condition": {"StringEquals": {"ecs:CreateAction": "RunTask"}},
        },
        {
            "Sid": "PassRolesOfLaunchedTasks",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": [
                {"Fn::Sub": f"arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:role/{role}"} for role in roles
            ],
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        },
    ]


def _follow_statements(tasks: list[str], prefix: str) -> list[Statement]:
    return [
        {
            "Sid": "FollowAndStopLaunchedTasks",
            "Effect": "Allow",
            "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
            "Resource": [_here("ecs", f"task/{prefix}/*")],
            "Condition": {"ArnEquals": {"ecs:cluster": _here("ecs", f"cluster/{prefix}")}},
        },
        {
            "Sid": "DescribeTaskDefinitionHasNoResourceLevel",
            "Effect": "Allow",
            "Action": "ecs:DescribeTaskDefinition",
            "Resource": "*",
        },
        {
            "Sid": "ReadLogsOfFailedLaunches",
            "Effect": "Allow",
            "Action": "logs:GetLogEvents",
            "Resource": [_here("logs", f"log-group:/{prefix}/{task}:log-stream:*") for task in tasks],
        },
    ]
