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
    return [arrow for key in ("knows", "lists", "reads", "writes", "deletes") for arrow in service.get(key) or []]


def storage_statements(service: Service, locations: Locations) -> list[Statement]:
    """IAM statements for what a service lists, reads, writes and deletes; each Sid says which arrow asks for it."""
    reads = service.get("reads") or []
    listed = [*reads, *(arrow for arrow in service.get("lists") or [] if arrow not in reads)]
    statements = [_list_statement(arrow, locations) for arrow in listed]
    statements += [
        _object_statement("Read", arrow, locations, ["s3:GetObject", "s3:GetObjectVersion"]) for arrow in reads
    ]
    statements += [
        _object_statement("Write", arrow, locations, ["s3:PutObject", "s3:AbortMultipartUpload"])
        for arrow in service.get("writes") or []
    ]
    statements += [
        _object_statement("Delete", arrow, locations, ["s3:DeleteObject"]) for arrow in service.get("deletes") or []
    ]
    return [statement for statement in statements if statement["Resource"]]


def _bucket_arn(bucket: str, suffix: str = "") -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}{suffix}"}


def _list_statement(arrow: str, locations: Locations) -> Statement:
    buckets, prefix = buckets_of(arrow, locations)
    statement: Statement = {
        "Sid": f"List{camel(arrow)}",
        "Effect": "Allow",
        "Action": ["s3:ListBucket", "s3:ListBucketVersions"],
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
    """IAM statements for a service that starts tasks of this account's cluster: only the families that it launches.

    `prefix` is the platform's name prefix, from which cluster, families and roles take their names.
    """
    launched = services[name].get("launches") or []
    if unknown := [task for task in launched if task not in services]:
        raise DeclarationError(f"service '{name}' launches '{unknown[0]}', which is not declared")
    if not launched:
        return []
    families = [f"{prefix}-{task.replace('_', '-')}" for task in launched]
    here = "arn:${AWS::Partition}:%s:${AWS::Region}:${AWS::AccountId}:%s"
    cluster = {"Fn::Sub": here % ("ecs", f"cluster/{prefix}")}
    tasks = {"Fn::Sub": here % ("ecs", f"task/{prefix}/*")}
    role = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/%s"
    return [
        {
            "Sid": "LaunchDeclaredTasks",
            "Effect": "Allow",
            "Action": "ecs:RunTask",
            "Resource": [{"Fn::Sub": here % ("ecs", f"task-definition/{family}:*")} for family in families],
            "Condition": {"ArnEquals": {"ecs:cluster": cluster}},
        },
        {
            "Sid": "FollowAndStopLaunchedTasks",
            "Effect": "Allow",
            "Action": ["ecs:DescribeTasks", "ecs:StopTask"],
            "Resource": [tasks],
            "Condition": {"ArnEquals": {"ecs:cluster": cluster}},
        },
        {
            "Sid": "TagTasksAtLaunch",
            "Effect": "Allow",
            "Action": "ecs:TagResource",
            "Resource": [tasks],
            "Condition": {"StringEquals": {"ecs:CreateAction": "RunTask"}},
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
            "Resource": [
                {"Fn::Sub": here % ("logs", f"log-group:/{prefix}/{task.replace('_', '-')}:log-stream:*")}
                for task in launched
            ],
        },
        {
            "Sid": "PassRolesOfLaunchedTasks",
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": [
                {"Fn::Sub": role % f"{family}-{kind}"} for family in families for kind in ("execution", "task")
            ],
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        },
    ]
