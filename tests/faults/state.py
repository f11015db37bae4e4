# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  what AWS answers has no static types
"""All that an account holds, resource by resource, in a form that two deployments of the same inventory share.

Ids that AWS makes up are replaced by the names under which stacks know them; a resource that no stack knows, such as
one that was made twice, keeps a name of its own and so shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

Client = Callable[[str], Any]

# service, call, where its answer lists the resources.
_LISTED = [
    ("ec2", "describe_vpcs", "Vpcs"),
    ("ec2", "describe_subnets", "Subnets"),
    ("ec2", "describe_security_groups", "SecurityGroups"),
    ("ec2", "describe_route_tables", "RouteTables"),
    ("ec2", "describe_internet_gateways", "InternetGateways"),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints"),
    ("ec2", "describe_nat_gateways", "NatGateways"),
    ("ec2", "describe_flow_logs", "FlowLogs"),
    ("ec2", "describe_addresses", "Addresses"),
    ("ecs", "list_clusters", "clusterArns"),
    ("ecs", "list_task_definitions", "taskDefinitionArns"),
    ("ecr", "describe_repositories", "repositories"),
    ("rds", "describe_db_instances", "DBInstances"),
    ("rds", "describe_db_subnet_groups", "DBSubnetGroups"),
    ("rds", "describe_db_snapshots", "DBSnapshots"),
    ("rds", "describe_db_parameter_groups", "DBParameterGroups"),
    ("efs", "describe_file_systems", "FileSystems"),
    ("efs", "describe_access_points", "AccessPoints"),
    ("iam", "list_instance_profiles", "InstanceProfiles"),
    ("secretsmanager", "list_secrets", "SecretList"),
    ("logs", "describe_log_groups", "logGroups"),
    ("kms", "list_aliases", "Aliases"),
    ("sqs", "list_queues", "QueueUrls"),
    ("sns", "list_topics", "Topics"),
    ("sns", "list_subscriptions", "Subscriptions"),
    ("events", "list_rules", "Rules"),
    ("scheduler", "list_schedules", "Schedules"),
    ("scheduler", "list_schedule_groups", "ScheduleGroups"),
    ("cloudwatch", "describe_alarms", "MetricAlarms"),
    ("cloudwatch", "list_dashboards", "DashboardEntries"),
    ("cloudtrail", "describe_trails", "trailList"),
    ("cognito-idp", "list_user_pools", "UserPools"),
    ("servicediscovery", "list_namespaces", "Namespaces"),
    ("servicediscovery", "list_services", "Services"),
    ("elbv2", "describe_load_balancers", "LoadBalancers"),
    ("elbv2", "describe_target_groups", "TargetGroups"),
    ("elasticache", "describe_replication_groups", "ReplicationGroups"),
    ("stepfunctions", "list_state_machines", "stateMachines"),
    ("lambda", "list_functions", "Functions"),
]
_NEEDED = {"list_user_pools": {"MaxResults": 60}}
_OF_A_BUCKET = [
    "get_bucket_policy",
    "get_bucket_versioning",
    "get_bucket_encryption",
    "get_bucket_cors",
    "get_bucket_lifecycle_configuration",
    "get_bucket_notification_configuration",
    "get_bucket_tagging",
    "get_bucket_ownership_controls",
    "get_public_access_block",
    "get_object_lock_configuration",
]
# What says when and by which call, and not what.
_OF_THE_MOMENT = re.compile(r"(?i).*(time|date|timestamp|since|createdat|updatedat|lastmodified|created|modified)$")
_LEFT_OUT = {"ResponseMetadata", "SecretVersionsToStages", "DbiResourceId", "deployments", "events", "storedBytes"}
_MADE_UP = re.compile(
    r"(?<![a-z0-9])(?:vpc|vpc-cidr-assoc|subnet|sgr?|rtb|rtbassoc|igw|vpce|nat|eipalloc|eni|fl|acl|pl)-[0-9a-f]{8,17}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|(?<=rds!db-)[0-9a-f]{20}"
    r"|(?<=:secret:rds!db-)[0-9a-f-]{27}"
    r"|(?<=\.)[0-9a-f]{8}(?=\.eu-west-2\.rds)"
    r"|(?<=Policy-)[0-9a-f]{8}"
    r"|\bZ[0-9A-Z]{13}\b"
)
_END_OF_SECRET = re.compile(r"(:secret:[\w/!<>-]+)-[0-9A-Za-z]{6}\b")


def held(client: Client) -> dict[str, list[str]]:
    """Kind of resource to one text of each, sorted; `client` makes a client of a service in the account."""
    stacks = list(_stacks(client))
    names = _names(stacks)
    found = {"stack": [_text(stack, names) for stack in stacks]}
    for service, call, key in _LISTED:
        answer = getattr(client(service), call)(**_NEEDED.get(call, {}))
        found[f"{service} {key}"] = [_text(item, names) for item in answer[key]]
    found["bucket"] = [_text(bucket, names) for bucket in _buckets(client("s3"))]
    found["role"] = [_text(role, names) for role in _roles(client("iam"))]
    found["service"] = [_text(service, names) for service in _services(client("ecs"))]
    found["key"] = [_text(key, names) for key in _keys(client("kms"))]
    found["who may pull"] = [_text(policy, names) for policy in _repository_policies(client("ecr"))]
    return {kind: sorted(texts) for kind, texts in found.items()}


def differences(wanted: dict[str, list[str]], found: dict[str, list[str]]) -> list[str]:
    """A line for each resource that only one of two deployments has."""
    lines = []
    for kind in sorted(wanted.keys() | found.keys()):
        before, now = list(wanted.get(kind, [])), list(found.get(kind, []))
        for text in list(before):
            if text in now:
                before.remove(text)
                now.remove(text)
        lines += [f"missing {kind}: {text}" for text in before] + [f"too much {kind}: {text}" for text in now]
    return lines


def _stacks(client: Client) -> Iterator[dict[str, Any]]:
    cloudformation = client("cloudformation")
    for stack in cloudformation.describe_stacks()["Stacks"]:
        name = stack["StackName"]
        resources = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        # CREATE_COMPLETE or UPDATE_COMPLETE: both are a stack as its template says.
        state = "complete" if stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE") else stack["StackStatus"]
        yield {
            "name": name,
            "state": state,
            "parameters": sorted(stack.get("Parameters", []), key=json.dumps),
            "outputs": sorted(stack.get("Outputs", []), key=lambda output: str(output["OutputKey"])),
            "tags": sorted(stack.get("Tags", []), key=json.dumps),
            "resources": {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in resources},
            "template": cloudformation.get_template(StackName=name)["TemplateBody"],
            "change sets": cloudformation.list_change_sets(StackName=name)["Summaries"],
        }


def _names(stacks: list[dict[str, Any]]) -> dict[str, str]:
    """Ids to the names that stacks have for them; what is called after the platform stands for itself."""
    named = {}
    for stack in stacks:
        for logical, physical in stack["resources"].items():
            if physical and "localgov" not in physical:
                named[physical] = f"<{stack['name']}/{logical}>"
    return named


def _buckets(s3: Any) -> Iterator[dict[str, Any]]:
    for bucket in s3.list_buckets()["Buckets"]:
        described: dict[str, Any] = {"name": bucket["Name"]}
        for call in _OF_A_BUCKET:
            try:
                described[call] = getattr(s3, call)(Bucket=bucket["Name"])
            except ClientError as absent:
                described[call] = absent.response["Error"]["Code"]
        yield {**described, **_contents(s3, bucket["Name"])}


def _contents(s3: Any, bucket: str) -> dict[str, Any]:
    """The objects, by key and content, but for the files of a trail, which are called after the time; and what is half
    uploaded."""
    objects = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket).build_full_result().get("Contents", [])
    return {
        "objects": {one["Key"]: one["ETag"] for one in objects if not one["Key"].startswith("AWSLogs/")},
        "half uploaded": [one["Key"] for one in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])],
    }


def _roles(iam: Any) -> Iterator[dict[str, Any]]:
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
        yield {
            "name": name,
            "trust": role["AssumeRolePolicyDocument"],
            "policies": {one: iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in policies},
            "attached": iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"],
        }


def _keys(kms: Any) -> Iterator[dict[str, Any]]:
    """Those of the account itself. AWS's own come when they are first asked for."""
    for key in kms.list_keys()["Keys"]:
        described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if described["KeyManager"] == "CUSTOMER":
            yield {**described, "policy": kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"]}


def _repository_policies(ecr: Any) -> Iterator[dict[str, Any]]:
    for repository in ecr.describe_repositories()["repositories"]:
        name = repository["repositoryName"]
        try:
            yield {"name": name, "policy": ecr.get_repository_policy(repositoryName=name)["policyText"]}
        except ecr.exceptions.RepositoryPolicyNotFoundException:
            yield {"name": name, "policy": None}


def _services(ecs: Any) -> Iterator[dict[str, Any]]:
    for cluster in ecs.list_clusters()["clusterArns"]:
        arns = ecs.list_services(cluster=cluster)["serviceArns"]
        if arns:
            yield from ecs.describe_services(cluster=cluster, services=arns)["services"]


def _text(value: Any, names: dict[str, str]) -> str:
    text = json.dumps(value, default=str)
    for made_up in sorted(names, key=len, reverse=True):
        text = text.replace(made_up, names[made_up])
    return json.dumps(_lasting(json.loads(_END_OF_SECRET.sub(r"\1", _MADE_UP.sub("<id>", text)))), sort_keys=True)


def _lasting(value: Any) -> Any:
    """Without what says when, and with lists in one order: AWS promises none of most."""
    if isinstance(value, dict):
        return {
            name: _lasting(part)
            for name, part in value.items()
            if name not in _LEFT_OUT and not _OF_THE_MOMENT.fullmatch(name)
        }
    if isinstance(value, list):
        return sorted((_lasting(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
    return value
