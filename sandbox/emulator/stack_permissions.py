# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack makes what its caller may make: CloudFormation acts with the caller's permissions.

As shipped a stack may contain anything, an administrator included, whatever the deploy role's policy says; so a policy
that lacks a permission would work here and fail on AWS. Asked at creation: the type's main action, and ``iam:PassRole``
for every role that the resource is given. Not asked: updates, deletions, tags, and what else a type may need. For roles
and buckets, whose names the policy limits, the resource counts; for the rest only the action does.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator._gather_role_policies",
    "ministack.core.iam_evaluator._gather_user_policies",
    "ministack.core.iam_evaluator._permissions_boundary",
    "ministack.core.iam_evaluator.caller_arn",
    "ministack.core.iam_evaluator.evaluate",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    "ministack.services.iam._roles",
    "ministack.services.iam._users",
)

# Where the prefix of the actions is not the middle of the type in lower case.
_PREFIXES = {
    "ApplicationAutoScaling": "application-autoscaling",
    "CertificateManager": "acm",
    "Cognito": "cognito-idp",
    "EFS": "elasticfilesystem",
    "ElasticLoadBalancingV2": "elasticloadbalancing",
    "StepFunctions": "states",
}
# Where the action is not ``Create<last part of the type>``.
_ACTIONS = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "RegisterScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "PutScalingPolicy",
    "AWS::CertificateManager::Certificate": "RequestCertificate",
    "AWS::CloudWatch::Alarm": "PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "PutDashboard",
    "AWS::Cognito::UserPoolGroup": "CreateGroup",
    "AWS::Cognito::UserPoolIdentityProvider": "CreateIdentityProvider",
    "AWS::EC2::EIP": "AllocateAddress",
    "AWS::EC2::FlowLog": "CreateFlowLogs",
    "AWS::EC2::SecurityGroupEgress": "AuthorizeSecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress": "AuthorizeSecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation": "AssociateRouteTable",
    "AWS::EC2::VPCGatewayAttachment": "AttachInternetGateway",
    "AWS::EC2::VPCPeeringConnection": "CreateVpcPeeringConnection",
    "AWS::ECS::TaskDefinition": "RegisterTaskDefinition",
    "AWS::ElastiCache::SubnetGroup": "CreateCacheSubnetGroup",
    "AWS::ElasticLoadBalancingV2::ListenerRule": "CreateRule",
    "AWS::Events::EventBusPolicy": "PutPermission",
    "AWS::Events::Rule": "PutRule",
    "AWS::IAM::ManagedPolicy": "CreatePolicy",
    "AWS::IAM::Policy": "PutRolePolicy",
    "AWS::IAM::RolePolicy": "PutRolePolicy",
    "AWS::Lambda::EventInvokeConfig": "PutFunctionEventInvokeConfig",
    "AWS::Lambda::LayerVersion": "PublishLayerVersion",
    "AWS::Lambda::Permission": "AddPermission",
    "AWS::Lambda::Url": "CreateFunctionUrlConfig",
    "AWS::Lambda::Version": "PublishVersion",
    "AWS::Logs::MetricFilter": "PutMetricFilter",
    "AWS::Logs::QueryDefinition": "PutQueryDefinition",
    "AWS::Logs::ResourcePolicy": "PutResourcePolicy",
    "AWS::Logs::SubscriptionFilter": "PutSubscriptionFilter",
    "AWS::Route53::RecordSet": "ChangeResourceRecordSets",
    "AWS::S3::BucketPolicy": "PutBucketPolicy",
    "AWS::SNS::Subscription": "Subscribe",
    "AWS::SNS::TopicPolicy": "SetTopicAttributes",
    "AWS::SQS::QueuePolicy": "SetQueueAttributes",
    "AWS::SSM::Parameter": "PutParameter",
    "AWS::SecretsManager::ResourcePolicy": "PutResourcePolicy",
    "AWS::SecretsManager::SecretTargetAttachment": "PutSecretValue",
}
# Who assumes the role that a resource of this type is given.
_ASSUMING = {
    "AWS::EC2::FlowLog": "vpc-flow-logs.amazonaws.com",
    "AWS::ECS::Service": "ecs.amazonaws.com",
    "AWS::ECS::TaskDefinition": "ecs-tasks.amazonaws.com",
    "AWS::RDS::DBInstance": "monitoring.rds.amazonaws.com",
}
_ROLE_PROPERTIES = frozenset(
    {"DeliverLogsPermissionArn", "ExecutionRoleArn", "MonitoringRoleArn", "Role", "RoleArn", "TaskRoleArn"}
)

Create = Callable[[str, dict[str, Any], str], Any]


def install(settings: Settings) -> None:
    del settings
    for kind, handler in find("ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS").items():
        if kind.startswith("AWS::") and not kind.startswith("AWS::CloudFormation::") and "create" in handler:
            handler["create"] = _asking(kind, handler["create"])


def _asking(kind: str, shipped: Create) -> Create:
    @functools.wraps(shipped)
    def create(logical_id: str, properties: dict[str, Any], stack: str) -> Any:  # noqa: ANN401
        _ask(_action(kind), _named_resource(kind, properties, f"{stack}-{logical_id}"))
        for role in _roles(properties):
            _ask("iam:PassRole", role, {"iam:passedtoservice": _assuming(kind)})
        return shipped(logical_id, properties, stack)

    return create


def _action(kind: str) -> str:
    _, service, resource = kind.split("::")[:3]
    return f"{_PREFIXES.get(service, service.lower())}:{_ACTIONS.get(kind, f'Create{resource}')}"


def _assuming(kind: str) -> str:
    service = kind.split("::")[1]
    return _ASSUMING.get(kind, f"{_PREFIXES.get(service, service.lower())}.amazonaws.com")


def _named_resource(kind: str, properties: dict[str, Any], generated: str) -> str | None:
    """The ARN of what is made, where a deployer's policy limits it by name."""
    account = find("ministack.core.responses.get_account_id")()
    if kind in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy"):
        roles = properties.get("Roles") or [properties.get("RoleName")]
        return f"arn:aws:iam::{account}:role/{roles[0]}" if roles[0] else None
    if kind in ("AWS::IAM::Role", "AWS::IAM::User"):
        noun = kind.rpartition("::")[2]
        name = properties.get(f"{noun}Name") or generated
        return f"arn:aws:iam::{account}:{noun.lower()}{properties.get('Path', '/')}{name}"
    if kind in ("AWS::S3::Bucket", "AWS::S3::BucketPolicy"):
        name = properties.get("BucketName") or properties.get("Bucket") or generated.lower()
        return f"arn:aws:s3:::{name}"
    return None


def _roles(properties: Any) -> Iterator[str]:  # noqa: ANN401 - any part of a template
    if isinstance(properties, list):
        for entry in properties:
            yield from _roles(entry)
    elif isinstance(properties, dict):
        for name, value in properties.items():
            if name in _ROLE_PROPERTIES and isinstance(value, str) and ":role/" in value:
                yield value
            else:
                yield from _roles(value)


def _ask(action: str, resource: str | None, keys: dict[str, str] | None = None) -> None:
    """Fail the resource as CloudFormation does when the caller may not do this."""
    evaluator = find("ministack.core.iam_evaluator")
    caller = evaluator.caller_arn()
    if caller.endswith(":root"):
        return
    policies, limits = _policies(caller)
    if resource is None:
        policies = _for_any_resource(policies)
        limits = [_for_any_resource(limit) for limit in limits]
    context = evaluator.EvalContext(
        principal_arn=caller,
        principal_type="User" if ":user/" in caller else "AssumedRole",
        principal_account=caller.split(":")[4],
        action=action,
        resource_arn=resource or "*",
        region=find("ministack.core.responses.get_region")(),
        service_context=keys or {},
    )
    if evaluator.evaluate(context, policies, *limits).decision != "Allow":
        raise ValueError(f"User: {caller} is not authorized to perform: {action} on resource: {resource or '*'}")


def _policies(caller: str) -> tuple[list[Any], list[Any]]:
    """The policies of the caller, and what limits them."""
    evaluator = find("ministack.core.iam_evaluator")
    account, path = caller.split(":")[4:6]
    if path.startswith("assumed-role/"):
        name, gather, store = path.split("/")[1], evaluator._gather_role_policies, "_roles"
    else:
        name, gather, store = path.rpartition("/")[2], evaluator._gather_user_policies, "_users"
    boundary = evaluator._permissions_boundary(find(f"ministack.services.iam.{store}"), name, account)
    return gather(name, account), boundary


def _for_any_resource(policies: list[Any]) -> list[Any]:
    """The same policies about actions alone: an allowance for some resource counts, a denial for some does not."""
    return [
        [
            dataclasses.replace(statement, resources=["*"], not_resources=[])
            for statement in statements
            if statement.effect == "Allow" or "*" in statement.resources
        ]
        for statements in policies
    ]
