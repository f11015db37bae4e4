# SPDX-License-Identifier: GPL-3.0-or-later

"""The CloudFormation types that the emulator lacks as shipped: created, changed, read back, removed."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from tests.sandbox.conftest import Sandbox

TEMPLATE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
        "Subnet": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.0.0/24"},
        },
        "Address": {
            "Type": "AWS::EC2::EIP",
            "Properties": {"Domain": "vpc", "Tags": [{"Key": "Name", "Value": "way-out"}]},
        },
        "Gateway": {
            "Type": "AWS::EC2::NatGateway",
            "Properties": {
                "AllocationId": {"Fn::GetAtt": ["Address", "AllocationId"]},
                "SubnetId": {"Ref": "Subnet"},
                "Tags": [{"Key": "Name", "Value": "way-out"}],
            },
        },
        "Routes": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "Vpc"}}},
        "WayOut": {
            "Type": "AWS::EC2::Route",
            "Properties": {
                "RouteTableId": {"Ref": "Routes"},
                "DestinationCidrBlock": "0.0.0.0/0",
                "NatGatewayId": {"Ref": "Gateway"},
            },
        },
        "Web": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {
                "GroupDescription": "web",
                "VpcId": {"Ref": "Vpc"},
                "SecurityGroupEgress": [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "127.0.0.1/32"}],
            },
        },
        "Database": {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "database", "VpcId": {"Ref": "Vpc"}},
        },
        "WebToDatabase": {
            "Type": "AWS::EC2::SecurityGroupEgress",
            "Properties": {
                "GroupId": {"Ref": "Web"},
                "DestinationSecurityGroupId": {"Ref": "Database"},
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
            },
        },
        "DatabaseFromWeb": {
            "Type": "AWS::EC2::SecurityGroupIngress",
            "Properties": {
                "GroupId": {"Ref": "Database"},
                "SourceSecurityGroupId": {"Ref": "Web"},
                "IpProtocol": "tcp",
                "FromPort": 5432,
                "ToPort": 5432,
                "Description": "web to database",
            },
        },
        "LogGroup": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
        "FlowLog": {
            "Type": "AWS::EC2::FlowLog",
            "Properties": {
                "ResourceId": {"Ref": "Vpc"},
                "ResourceType": "VPC",
                "TrafficType": "REJECT",
                "LogDestinationType": "cloud-watch-logs",
                "LogGroupName": {"Ref": "LogGroup"},
                "Tags": [{"Key": "Name", "Value": "flows"}],
            },
        },
    },
    "Outputs": {
        name: {"Value": value}
        for name, value in {
            "Address": {"Ref": "Address"},
            "Allocation": {"Fn::GetAtt": ["Address", "AllocationId"]},
            "Gateway": {"Ref": "Gateway"},
            "GatewayAttribute": {"Fn::GetAtt": ["Gateway", "NatGatewayId"]},
            "Web": {"Ref": "Web"},
            "Database": {"Ref": "Database"},
            "FlowLog": {"Ref": "FlowLog"},
            "FlowLogAttribute": {"Fn::GetAtt": ["FlowLog", "Id"]},
            "IngressRule": {"Ref": "DatabaseFromWeb"},
            "Vpc": {"Ref": "Vpc"},
        }.items()
    },
}


class Stack:
    """A stack of one test."""

    def __init__(self, sandbox: Sandbox, name: str) -> None:
        credentials = sandbox.deployer("camden")
        self.cloudformation = sandbox.client("cloudformation", credentials)
        self.ec2 = sandbox.client("ec2", credentials)
        self.name = name

    def deploy(self, template: dict[str, Any]) -> dict[str, str]:
        exists = self.name in [stack["StackName"] for stack in self.cloudformation.describe_stacks()["Stacks"]]
        verb = "update" if exists else "create"
        getattr(self.cloudformation, f"{verb}_stack")(StackName=self.name, TemplateBody=json.dumps(template))
        self.wait(f"stack_{verb}_complete")
        (stack,) = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def remove(self) -> None:
        self.cloudformation.delete_stack(StackName=self.name)
        self.wait("stack_delete_complete")

    def wait(self, state: str) -> None:
        waiter = self.cloudformation.get_waiter(state)
        waiter.wait(StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    def rules(self, group: str, direction: str = "IpPermissions") -> list[tuple[Any, ...]]:
        (found,) = self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        return [
            (
                rule["IpProtocol"],
                rule.get("FromPort"),
                [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] or [r["CidrIp"] for r in rule["IpRanges"]],
            )
            for rule in found[direction]
        ]


@pytest.fixture
def stack(sandbox: Sandbox, unique: str) -> Iterator[Stack]:
    made = Stack(sandbox, unique)
    yield made
    made.remove()


def test_the_whole_network_is_made_and_can_be_read_back(stack: Stack) -> None:
    made = stack.deploy(TEMPLATE)
    (address,) = stack.ec2.describe_addresses(AllocationIds=[made["Allocation"]])["Addresses"]
    assert address["PublicIp"] == made["Address"]
    (gateway,) = stack.ec2.describe_nat_gateways(NatGatewayIds=[made["Gateway"]])["NatGateways"]
    assert gateway["State"] == "available"
    assert made["GatewayAttribute"] == made["Gateway"]
    assert {"Key": "Name", "Value": "way-out"} in gateway["Tags"]
    (log,) = stack.ec2.describe_flow_logs(FlowLogIds=[made["FlowLog"]])["FlowLogs"]
    assert (log["ResourceId"], log["TrafficType"]) == (made["Vpc"], "REJECT")
    assert made["FlowLogAttribute"] == made["FlowLog"]
    assert stack.rules(made["Database"]) == [("tcp", 5432, [made["Web"]])]
    assert stack.rules(made["Web"], "IpPermissionsEgress") == [
        ("tcp", 1, ["127.0.0.1/32"]),
        ("tcp", 5432, [made["Database"]]),
    ]
    assert made["IngressRule"].startswith("sgr-")


def test_a_changed_port_replaces_the_rule_and_a_changed_description_does_not(stack: Stack) -> None:
    before = stack.deploy(TEMPLATE)
    described = copy.deepcopy(TEMPLATE)
    described["Resources"]["DatabaseFromWeb"]["Properties"]["Description"] = "only the web"
    assert stack.deploy(described)["IngressRule"] == before["IngressRule"]
    changed = copy.deepcopy(described)
    changed["Resources"]["DatabaseFromWeb"]["Properties"].update(FromPort=6543, ToPort=6543)
    after = stack.deploy(changed)
    assert after["IngressRule"] != before["IngressRule"]
    assert stack.rules(after["Database"]) == [("tcp", 6543, [after["Web"]])]


def test_a_rule_that_leaves_the_template_leaves_the_group(stack: Stack) -> None:
    stack.deploy(TEMPLATE)
    without = copy.deepcopy(TEMPLATE)
    del without["Resources"]["DatabaseFromWeb"], without["Outputs"]["IngressRule"]
    made = stack.deploy(without)
    assert stack.rules(made["Database"]) == []


def test_a_change_set_says_what_would_be_replaced(stack: Stack) -> None:
    stack.deploy(TEMPLATE)
    changed = copy.deepcopy(TEMPLATE)
    changed["Resources"]["FlowLog"]["Properties"]["TrafficType"] = "ALL"
    changed["Resources"]["Gateway"]["Properties"]["Tags"][0]["Value"] = "exit"
    stack.cloudformation.create_change_set(StackName=stack.name, ChangeSetName="plan", TemplateBody=json.dumps(changed))
    stack.cloudformation.get_waiter("change_set_create_complete").wait(
        StackName=stack.name, ChangeSetName="plan", WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    changes = stack.cloudformation.describe_change_set(StackName=stack.name, ChangeSetName="plan")["Changes"]
    planned = {
        change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"]["Replacement"] for change in changes
    }
    assert planned["FlowLog"] == "True"
    assert planned["Gateway"] == "False"


def test_removal_leaves_nothing(sandbox: Sandbox, unique: str) -> None:
    stack = Stack(sandbox, unique)
    made = stack.deploy(TEMPLATE)
    stack.remove()
    assert stack.ec2.describe_addresses()["Addresses"] == []
    assert stack.ec2.describe_flow_logs()["FlowLogs"] == []
    live = [{"Name": "state", "Values": ["available"]}]
    assert stack.ec2.describe_nat_gateways(Filters=live)["NatGateways"] == []
    assert made["Vpc"] not in [vpc["VpcId"] for vpc in stack.ec2.describe_vpcs()["Vpcs"]]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (
            {
                "Type": "AWS::EC2::SecurityGroupIngress",
                "Properties": {"GroupId": "sg-nowhere", "IpProtocol": "-1", "CidrIp": "10.0.0.0/8"},
            },
            "sg-nowhere",
        ),
        ({"Type": "AWS::EC2::NatGateway", "Properties": {"SubnetId": "subnet-nowhere"}}, "subnet-nowhere"),
    ],
    ids=["rule-without-group", "gateway-without-subnet"],
)
def test_what_aws_would_refuse_fails_the_stack(stack: Stack, resource: dict[str, Any], reason: str) -> None:
    template = {"Resources": {"Wrong": resource}}
    stack.cloudformation.create_stack(StackName=stack.name, TemplateBody=json.dumps(template))
    with pytest.raises(WaiterError, match="ROLLBACK_COMPLETE"):
        stack.wait("stack_create_complete")
    events = stack.cloudformation.describe_stack_events(StackName=stack.name)["StackEvents"]
    assert any(reason in event.get("ResourceStatusReason", "") for event in events)
