# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from a declaration of services: connections, IAM statements, environment.

A declaration maps a service's name to its settings, see `docs/concepts.md`, section 3. Locations map a name such as
`data_store` to one bucket (a string) or to the buckets of several accounts (a mapping of host to bucket); an empty
value means that this account has no such location, and arrows to it ask for nothing.
"""

from __future__ import annotations

import json
from typing import Any, TypedDict

DATABASE, CACHE = "database", "cache"
DATABASE_PORT, CACHE_PORT = 5432, 6379
# Parties that are no services: what `connects_to` may name besides, and the port of each.
STORES = {DATABASE: DATABASE_PORT, CACHE: CACHE_PORT}
# The tier in the frontend VPC; all others, and the stores, are in the Dagster VPC.
FRONTEND_TIER = "frontend"

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


def balancer_of(service: Service) -> dict[str, Any]:
    """What a service says of its load balancer; empty when it is behind none."""
    said = service.get("balancer")
    return said if isinstance(said, dict) else {}


def balancer_party(name: str) -> str:
    """How a balancer is called among those who open connections."""
    return f"{name}_balancer"


def connections(services: Declaration) -> list[Connection]:
    """Every connection that the declaration asks for, in the order of the declaration."""
    return [
        {"source": source, "target": target, "port": _port_of(source, target, services)}
        for source, service in services.items()
        for target in service.get("connects_to") or []
    ]


def _port_of(source: str, target: str, services: Declaration) -> int:
    if target in STORES:
        return STORES[target]
    if target not in services:
        known = ", ".join([*services, *STORES])
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
    name, _separator, prefix = arrow.partition("/")
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
    return environment | {name: root(name, arrow, locations) for name, arrow in (service.get("roots") or {}).items()}


def root(variable: str, arrow: str, locations: Locations) -> str:
    """The one place that a variable of a service's `roots` stands for, as `s3://bucket/prefix`."""
    buckets, prefix = buckets_of(arrow, locations)
    if len(buckets) != 1:
        raise DeclarationError(
            f"{variable} is to be '{arrow}', which is {len(buckets)} buckets; name a location of one"
        )
    return "/".join([f"s3://{buckets[0]}", *([prefix] if prefix else [])])


def _storage_arrows(service: Service) -> list[str]:
    return [
        arrow
        for key in ("knows", "inspects", "lists", "versions", "reads", "writes", "resumes", "deletes", "erases")
        for arrow in service.get(key) or []
    ]


def storage_statements(service: Service, locations: Locations) -> list[Statement]:
    """IAM statements for what a service lists, reads, writes and so on; each Sid says which arrow asks."""
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
    # To write in parts needs no more than to write; to see what arrived of them, and to give up, does.
    statements += [
        _object_statement("Resume", arrow, locations, ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"])
        for arrow in service.get("resumes") or []
    ]
    statements += [
        _object_statement("Delete", arrow, locations, ["s3:DeleteObject"]) for arrow in service.get("deletes") or []
    ]
    # In a bucket with versions a deleted object is still there. To erase is to remove the versions that are listed.
    statements += [
        _object_statement("Erase", arrow, locations, ["s3:DeleteObjectVersion"])
        for arrow in service.get("erases") or []
    ]
    statements += [_inspect_statement(arrow, locations) for arrow in service.get("inspects") or []]
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


def _inspect_statement(arrow: str, locations: Locations) -> Statement:
    """Who else is let in to a bucket, and what its owner has noted on it: nothing of what it holds."""
    buckets, prefix = buckets_of(arrow, locations)
    if prefix:
        raise DeclarationError(f"inspects '{arrow}': policy and tags are a whole bucket's; leave the prefix out")
    return {
        "Sid": f"Inspect{camel(arrow)}",
        "Effect": "Allow",
        "Action": ["s3:GetBucketPolicy", "s3:GetBucketTagging"],
        "Resource": [_bucket_arn(bucket) for bucket in buckets],
    }


def key_statements(service: Service, locations: Locations, keys: dict[str, str]) -> list[Statement]:
    """IAM statements for the keys (bucket to ARN) of what a service reads and writes.

    S3 asks the key on behalf of whoever reads or writes, so both the key's policy and the caller's must let it. A part
    of a multipart upload is encrypted with a data key that S3 has to decrypt first.
    """
    statements = [
        _key_statement("DecryptToRead", arrow, locations, keys, ["kms:Decrypt"]) for arrow in service.get("reads") or []
    ]
    statements += [
        _key_statement("EncryptToWrite", arrow, locations, keys, ["kms:GenerateDataKey", "kms:Decrypt"])
        for arrow in service.get("writes") or []
    ]
    return [statement for statement in statements if statement["Resource"]]


def _key_statement(verb: str, arrow: str, locations: Locations, keys: dict[str, str], actions: list[str]) -> Statement:
    found, prefix = buckets_of(arrow, locations)
    buckets = [bucket for bucket in found if bucket in keys]
    arns = list(dict.fromkeys(keys[bucket] for bucket in buckets))
    regions = list(dict.fromkeys(arn.split(":")[3] for arn in arns))
    # With an S3 Bucket Key the context names the bucket, without one the object.
    contexts = [
        _bucket_arn(bucket, suffix) for bucket in buckets for suffix in ("", f"/{prefix}/*" if prefix else "/*")
    ]
    return {
        "Sid": f"{verb}{camel(arrow)}",
        "Effect": "Allow",
        "Action": actions,
        "Resource": arns,
        "Condition": {
            "StringEquals": {"kms:ViaService": [{"Fn::Sub": f"s3.{region}.${{AWS::URLSuffix}}"} for region in regions]},
            "StringLike": {"kms:EncryptionContext:aws:s3:arn": contexts},
        },
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
        *_follow_statements(prefix),
        *(_log_statements([task.replace("_", "-") for task in launched], prefix) if launched else []),
    ]


def queue_statements(service: Service, prefix: str) -> list[Statement]:
    """IAM statements for the queues that a service drains: to receive, to delete what was worked on, and to look."""
    return [
        {
            "Sid": f"Drain{camel(queue)}",
            "Effect": "Allow",
            "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
            "Resource": [_here("sqs", f"{prefix}-{queue.replace('_', '-')}")],
        }
        for queue in service.get("drains") or []
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


def _follow_statements(prefix: str) -> list[Statement]:
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
    ]


def _log_statements(tasks: list[str], prefix: str) -> list[Statement]:
    """Who launches a task is told why it failed; who only follows it never asks."""
    return [
        {
            "Sid": "ReadLogsOfFailedLaunches",
            "Effect": "Allow",
            "Action": "logs:GetLogEvents",
            "Resource": [_here("logs", f"log-group:/{prefix}/{task}:log-stream:*") for task in tasks],
        },
    ]
