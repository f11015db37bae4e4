# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's template as accounts get it: ways out, what may pass an endpoint, flow logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.localgov.platform.plugins.plugin_utils import _endpoints
from ministack.core import iam_evaluator

ROOT = Path(__file__).resolve().parents[3]
LARGEST_TEMPLATE = 51_200
REGION, OWN, HUB, SUTTON, STRANGER = "eu-west-2", "012345670123", "200000000001", "300000000003", "900000000010"
ORGANISATION, ELSEWHERE = "o-a1b2c3d4e5", "o-f6g7h8i9j0"
PSEUDO_PARAMETERS = {"AWS::AccountId": OWN, "AWS::Partition": "aws", "AWS::Region": REGION}
VARIANTS = ("network", "network_three_zones", "network_nat", "network_nat_per_zone", "network_none")

Template = dict[str, Any]


class CloudFormationLoader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, kept as their long ones."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value = (
        loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True)
        if isinstance(node, yaml.SequenceNode)
        else None
    )
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


CloudFormationLoader.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """Every choice of network, rendered as the lint step renders it."""
    folder = tmp_path_factory.mktemp("templates")
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            "localhost,",
            "-e",
            json.dumps({"render_folder": str(folder)}),
            "tests/lint/render_templates.yml",
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    texts = {name: (folder / f"{name}.yml").read_text(encoding="utf-8") for name in VARIANTS}
    assert {name: len(text.encode()) for name, text in texts.items() if len(text.encode()) > LARGEST_TEMPLATE} == {}
    return {name: yaml.load(text, CloudFormationLoader) for name, text in texts.items()}  # noqa: S506


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """Logical name to properties."""
    resources = template["Resources"].items()
    return {name: resource["Properties"] for name, resource in resources if resource["Type"] == f"AWS::{kind}"}


def resolved(value: Any) -> Any:  # noqa: ANN401 - any part of a policy
    """What CloudFormation and then IAM make of a policy: parameters, and the variable for the caller's organisation."""
    if isinstance(value, list):
        return [resolved(entry) for entry in value]
    if isinstance(value, dict):
        if "Ref" in value:
            return PSEUDO_PARAMETERS[value["Ref"]]
        if "Fn::Sub" in value:
            text = value["Fn::Sub"]
            for name, given in PSEUDO_PARAMETERS.items():
                text = text.replace(f"${{{name}}}", given)
            return text
        return {key: resolved(entry) for key, entry in value.items()}
    return ORGANISATION if value == "${aws:PrincipalOrgID}" else value


def passes(template: Template, endpoint: str, account: str, action: str, resource: str, owner: str | None) -> bool:
    """Whether a call passes the endpoint; *owner* is the organisation of the resource's account, as AWS tells it."""
    policy = resolved(of_type(template, "EC2::VPCEndpoint")[endpoint]["PolicyDocument"])
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{account}:assumed-role/localgov-run-task/task",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=REGION,
        service_context={"aws:resourceorgid": owner} if owner else {},
    )
    return bool(iam_evaluator.evaluate_resource_policy(policy, context).decision == "Allow")


# --- What may pass an endpoint ------------------------------------------------------------------------------------

LAYERS = f"arn:aws:s3:::prod-{REGION}-starport-layer-bucket/layer"
REPOSITORY = f"arn:aws:ecr:{REGION}:{HUB}:repository/localgov/code-server"
LOG_STREAM = f"arn:aws:logs:{REGION}:{OWN}:log-group:/localgov/run:log-stream:run/1"
SECRET = f"arn:aws:secretsmanager:{REGION}:{OWN}:secret:database"


@pytest.mark.parametrize(
    ("endpoint", "action", "resource"),
    [
        ("DagsterS3Endpoint", "s3:GetObject", f"arn:aws:s3:::localgov-{OWN}-data-store/uploads/a.csv"),
        ("FrontendS3Endpoint", "s3:PutObject", f"arn:aws:s3:::localgov-{OWN}-data-store/uploads/a.csv"),
        ("DagsterS3Endpoint", "s3:ListBucket", f"arn:aws:s3:::localgov-{SUTTON}-shared"),
        # A trial of access has to get its answer from the bucket it tries, not from the endpoint.
        ("DagsterS3Endpoint", "s3:GetObject", f"arn:aws:s3:::localgov-{SUTTON}-data-store/uploads/a.csv"),
        ("EcrApiEndpoint", "ecr:BatchGetImage", REPOSITORY),
        ("EcrDkrEndpoint", "ecr:BatchGetImage", REPOSITORY),
        ("EcrDkrEndpoint", "ecr:PutImage", REPOSITORY),
        ("LogsEndpoint", "logs:PutLogEvents", LOG_STREAM),
        ("SecretsmanagerEndpoint", "secretsmanager:GetSecretValue", SECRET),
        ("EcsEndpoint", "ecs:RunTask", f"arn:aws:ecs:{REGION}:{OWN}:task-definition/localgov-run:1"),
        ("EcsEndpoint", "ecs:StopTask", f"arn:aws:ecs:{REGION}:{OWN}:task/localgov/1"),
    ],
)
def test_a_task_reaches_what_belongs_to_the_organisation(
    templates: dict[str, Template], endpoint: str, action: str, resource: str
) -> None:
    assert passes(templates["network"], endpoint, OWN, action, resource, ORGANISATION)


@pytest.mark.parametrize(
    ("endpoint", "action"),
    [
        ("DagsterS3Endpoint", "s3:ListAllMyBuckets"),
        ("EcrApiEndpoint", "ecr:GetAuthorizationToken"),
        ("EcsEndpoint", "ecs:DescribeTaskDefinition"),
    ],
)
def test_a_call_that_names_no_resource_passes_for_the_own_account_alone(
    templates: dict[str, Template], endpoint: str, action: str
) -> None:
    assert passes(templates["network"], endpoint, OWN, action, "*", None)
    assert not passes(templates["network"], endpoint, STRANGER, action, "*", None)


@pytest.mark.parametrize("owner", [ELSEWHERE, None], ids=["another-organisation", "no-organisation"])
@pytest.mark.parametrize(
    ("endpoint", "action", "resource"),
    [
        ("DagsterS3Endpoint", "s3:PutObject", "arn:aws:s3:::localgov-of-somebody-else/stolen.csv"),
        ("FrontendS3Endpoint", "s3:PutObject", "arn:aws:s3:::localgov-of-somebody-else/stolen.csv"),
        ("EcrDkrEndpoint", "ecr:PutImage", f"arn:aws:ecr:{REGION}:{STRANGER}:repository/stolen"),
        ("LogsEndpoint", "logs:PutLogEvents", f"arn:aws:logs:{REGION}:{STRANGER}:log-group:stolen"),
        ("SecretsmanagerEndpoint", "secretsmanager:PutSecretValue", "arn:aws:secretsmanager:::secret:stolen"),
    ],
)
def test_nothing_is_carried_out_of_the_organisation(
    templates: dict[str, Template], endpoint: str, action: str, resource: str, owner: str | None
) -> None:
    assert not passes(templates["network"], endpoint, OWN, action, resource, owner)


@pytest.mark.parametrize("account", [STRANGER, SUTTON], ids=["a-stranger", "another-authority"])
def test_credentials_of_another_account_are_of_no_use_inside(templates: dict[str, Template], account: str) -> None:
    for endpoint in of_type(templates["network"], "EC2::VPCEndpoint"):
        assert not passes(templates["network"], endpoint, account, "s3:PutObject", "arn:aws:s3:::x/y", ORGANISATION)


def test_image_layers_are_read_whoever_signed_and_never_written(templates: dict[str, Template]) -> None:
    for endpoint in ("DagsterS3Endpoint", "FrontendS3Endpoint"):
        assert passes(templates["network"], endpoint, STRANGER, "s3:GetObject", LAYERS, None)
        assert not passes(templates["network"], endpoint, STRANGER, "s3:PutObject", LAYERS, None)


def test_no_endpoint_is_left_with_the_policy_that_allows_everything(templates: dict[str, Template]) -> None:
    for template in templates.values():
        for properties in of_type(template, "EC2::VPCEndpoint").values():
            assert properties["PolicyDocument"]["Statement"]


# --- Ways out -----------------------------------------------------------------------------------------------------


def default_routes(template: Template) -> dict[str, str]:
    """Route table to the gateway that its default route leads to."""
    return {
        route["RouteTableId"]["Ref"]: (route.get("GatewayId") or route["NatGatewayId"])["Ref"]
        for route in of_type(template, "EC2::Route").values()
        if route["DestinationCidrBlock"] == "0.0.0.0/0"
    }


def frontend(zones: int) -> dict[str, str]:
    return {f"PublicRouteTable{zone}": "FrontendInternetGateway" for zone in range(1, zones + 1)}


@pytest.mark.parametrize("variant", ["network", "network_three_zones", "network_none"])
def test_without_nat_the_dagster_vpc_has_no_gateway_and_no_default_route(
    templates: dict[str, Template], variant: str
) -> None:
    template = templates[variant]
    assert default_routes(template) == frontend(3 if variant == "network_three_zones" else 2)
    assert of_type(template, "EC2::InternetGateway").keys() == {"FrontendInternetGateway"}
    assert of_type(template, "EC2::NatGateway") == {}


def test_one_nat_gateway_serves_both_zones(templates: dict[str, Template]) -> None:
    inside = {f"{tier}RouteTable{zone}": "NatGateway1" for tier in ("Dagit", "Private") for zone in (1, 2)}
    public = {"NatRouteTable1": "DagsterInternetGateway"}
    assert default_routes(templates["network_nat"]) == {**frontend(2), **inside, **public}


def test_a_nat_gateway_per_zone_serves_its_own_zone(templates: dict[str, Template]) -> None:
    zones = (1, 2, 3)
    inside = {f"{tier}RouteTable{zone}": f"NatGateway{zone}" for tier in ("Dagit", "Private") for zone in zones}
    public = {f"NatRouteTable{zone}": "DagsterInternetGateway" for zone in zones}
    template = templates["network_nat_per_zone"]
    assert default_routes(template) == {**frontend(3), **inside, **public}
    placed = {name: gateway["SubnetId"]["Ref"] for name, gateway in of_type(template, "EC2::NatGateway").items()}
    assert placed == {f"NatGateway{zone}": f"NatSubnet{zone}" for zone in zones}


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (
            "network",
            {"ecr.api", "ecr.dkr", "ecs", "logs", "secretsmanager", "sqs", "ssmmessages", "frontend s3", "dagster s3"},
        ),
        ("network_nat", {"frontend s3", "dagster s3"}),
        ("network_none", {"frontend s3"}),
    ],
)
def test_endpoints_are_those_of_the_chosen_way_out(
    templates: dict[str, Template], variant: str, expected: set[str]
) -> None:
    def described(properties: dict[str, Any]) -> str:
        service = str(properties["ServiceName"]["Fn::Sub"]).partition("${AWS::Region}.")[2]
        vpc = str(properties["VpcId"]["Ref"]).removesuffix("Vpc").lower()
        return f"{vpc} {service}" if properties["VpcEndpointType"] == "Gateway" else service

    assert {described(found) for found in of_type(templates[variant], "EC2::VPCEndpoint").values()} == expected


def test_the_database_subnets_lead_nowhere(templates: dict[str, Template]) -> None:
    for template in templates.values():
        leading = [*default_routes(template), *_routed_to_s3(template)]
        assert not [table for table in leading if table.startswith("Database")]


def _routed_to_s3(template: Template) -> Iterator[str]:
    for properties in of_type(template, "EC2::VPCEndpoint").values():
        yield from (table["Ref"] for table in properties.get("RouteTableIds", []))


def test_the_endpoints_by_default_are_those_that_the_default_services_need() -> None:
    network = yaml.safe_load((ROOT / "roles/la_network/defaults/main.yml").read_text())
    services = yaml.safe_load((ROOT / "roles/la_services/defaults/main.yml").read_text())
    assert network["la_network_endpoints"] == _endpoints.endpoints(services["la_services_services"])


# --- Flow logs ----------------------------------------------------------------------------------------------------


def test_both_vpcs_log_all_traffic_into_groups_that_expire(templates: dict[str, Template]) -> None:
    logs = of_type(templates["network"], "EC2::FlowLog").values()
    groups = of_type(templates["network"], "Logs::LogGroup")
    assert {log["ResourceId"]["Ref"] for log in logs} == {"FrontendVpc", "DagsterVpc"}
    assert {log["TrafficType"] for log in logs} == {"ALL"}
    assert {groups[log["LogGroupName"]["Ref"]]["RetentionInDays"] for log in logs} == {90}


def test_the_role_of_flow_logs_writes_to_their_two_groups_for_this_account_alone(
    templates: dict[str, Template],
) -> None:
    (role,) = resolved(list(of_type(templates["network"], "IAM::Role").values()))
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": OWN},
        "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:{REGION}:{OWN}:vpc-flow-log/*"},
    }
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    groups = {group["LogGroupName"] for group in of_type(templates["network"], "Logs::LogGroup").values()}
    arns = {f"arn:aws:logs:{REGION}:{OWN}:log-group:{group}" for group in groups}
    assert set(statement["Resource"]) == {*arns, *(f"{arn}:*" for arn in arns)}
    assert {action.partition(":")[0] for action in statement["Action"]} == {"logs"}


def test_flow_logs_are_off_only_with_a_reason_which_the_stack_keeps(templates: dict[str, Template]) -> None:
    for name, template in templates.items():
        reason = template["Resources"]["DagsterVpc"].get("Metadata", {}).get("FlowLogsOffBecause")
        assert bool(reason) == (name == "network_none")
        assert len(of_type(template, "EC2::FlowLog")) == (0 if reason else 2)
        assert len(of_type(template, "IAM::Role")) == (0 if reason else 1)
