# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudFormation types of a network that ministack's CloudFormation refuses, though its EC2 has the resources."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_PROVISIONERS = "ministack.services.cloudformation.provisioners"

NEEDS = (
    f"{_PROVISIONERS}._RESOURCE_HANDLERS",
    f"{_PROVISIONERS}._REPLACING_PROPERTIES",
    f"{_PROVISIONERS}._ec2_apply_tags",
    f"{_PROVISIONERS}._ec2_sg_permissions",
    "ministack.services.ec2._accept_vpc_peering_connection",
    "ministack.services.ec2._addresses",
    "ministack.services.ec2._allocate_address",
    "ministack.services.ec2._create_flow_logs",
    "ministack.services.ec2._create_nat_gateway",
    "ministack.services.ec2._create_vpc_peering_connection",
    "ministack.services.ec2._delete_flow_logs",
    "ministack.services.ec2._delete_nat_gateway",
    "ministack.services.ec2._delete_vpc_peering_connection",
    "ministack.services.ec2._release_address",
    "ministack.services.ec2._security_groups",
    "ministack.services.ec2._strip_descriptions",
    "ministack.services.ec2._subnets",
    "ministack.services.ec2._tags",
)

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]  # physical id, attributes

_RULE_REPLACING = (
    "CidrIp",
    "CidrIpv6",
    "DestinationPrefixListId",
    "DestinationSecurityGroupId",
    "FromPort",
    "GroupId",
    "GroupName",
    "IpProtocol",
    "SourcePrefixListId",
    "SourceSecurityGroupId",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
    "ToPort",
)


def install(settings: Settings) -> None:
    del settings
    handlers, replacing = find(f"{_PROVISIONERS}._RESOURCE_HANDLERS"), find(f"{_PROVISIONERS}._REPLACING_PROPERTIES")
    for direction, store in (("Ingress", "IpPermissions"), ("Egress", "IpPermissionsEgress")):
        kind = f"AWS::EC2::SecurityGroup{direction}"
        handlers[kind] = _rule_handlers(kind, store)
        replacing[kind] = _RULE_REPLACING
    handlers["AWS::EC2::EIP"] = {"create": _create_address, "update": _update_address, "delete": _delete_address}
    replacing["AWS::EC2::EIP"] = ("Domain", "NetworkBorderGroup", "TransferAddress", "IpamPoolId", "Address")
    handlers["AWS::EC2::NatGateway"] = {"create": _create_gateway, "update": _update_gateway, "delete": _delete_gateway}
    replacing["AWS::EC2::NatGateway"] = ("AllocationId", "ConnectivityType", "PrivateIpAddress", "SubnetId", "VpcId")
    handlers["AWS::EC2::VPCPeeringConnection"] = {
        "create": _create_peering,
        "update": _update_tags,  # its tags alone can change
        "delete": _delete_peering,
    }
    replacing["AWS::EC2::VPCPeeringConnection"] = ("PeerVpcId", "VpcId")
    handlers["AWS::EC2::FlowLog"] = {"create": _create_log, "update": _update_tags, "delete": _delete_log}
    replacing["AWS::EC2::FlowLog"] = (
        "DeliverLogsPermissionArn",
        "DestinationOptions",
        "LogDestination",
        "LogDestinationType",
        "LogFormat",
        "LogGroupName",
        "MaxAggregationInterval",
        "ResourceId",
        "ResourceType",
        "TrafficType",
    )


def _apply_tags(identifier: str, properties: Properties, before: Properties | None = None) -> None:
    find(f"{_PROVISIONERS}._ec2_apply_tags")(identifier, properties, before)


def _ask(operation: str, **parameters: str) -> str:
    """Call an operation of EC2 as CloudFormation does; its answer's text."""
    status, _headers, body = find(f"ministack.services.ec2.{operation}")(parameters)
    text = body.decode() if isinstance(body, bytes) else str(body)
    if status >= 400:
        reason = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
        raise ValueError(reason[1] if reason else text)
    return text


def _field(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"EC2 answered without {pattern}")
    return found[1]


# --- Rules of security groups -------------------------------------------------------------------------------------


def _rule_handlers(kind: str, store: str) -> dict[str, Callable[..., Any]]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        del logical_id, stack
        rules = _group(kind, properties)[store]
        (rule,) = find(f"{_PROVISIONERS}._ec2_sg_permissions")([properties])
        if any(_same_rule(rule, other) for other in rules):
            raise ValueError(f"{kind}: the specified rule already exists in {properties.get('GroupId')}.")
        rule["SecurityGroupRuleId"] = f"sgr-{uuid.uuid4().hex[:17]}"
        rules.append(rule)
        return rule["SecurityGroupRuleId"], {"Id": rule["SecurityGroupRuleId"]}

    def update(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
        del before, stack
        rules = _group(kind, properties)[store]
        (rule,) = find(f"{_PROVISIONERS}._ec2_sg_permissions")([properties])
        rules[:] = [
            {**rule, "SecurityGroupRuleId": physical_id} if other.get("SecurityGroupRuleId") == physical_id else other
            for other in rules
        ]
        return physical_id, {"Id": physical_id}

    def delete(physical_id: str, properties: Properties) -> None:
        del properties
        for group in find("ministack.services.ec2._security_groups").values():
            group[store][:] = [rule for rule in group[store] if rule.get("SecurityGroupRuleId") != physical_id]

    return {"create": create, "update": update, "delete": delete}


def _group(kind: str, properties: Properties) -> dict[str, Any]:
    identifier = properties.get("GroupId", "")
    group: dict[str, Any] | None = find("ministack.services.ec2._security_groups").get(identifier)
    if group is None:
        raise ValueError(f"{kind}: the security group {identifier!r} does not exist.")
    return group


def _same_rule(one: dict[str, Any], other: dict[str, Any]) -> bool:
    strip = find("ministack.services.ec2._strip_descriptions")
    bare = [{**strip(rule), "SecurityGroupRuleId": None} for rule in (one, other)]
    return bool(bare[0] == bare[1])


# --- Addresses, NAT gateways, flow logs ---------------------------------------------------------------------------


def _create_address(logical_id: str, properties: Properties, stack: str) -> Created:
    del logical_id, stack
    answer = _ask("_allocate_address", Domain=properties.get("Domain", "vpc"))
    allocation = _field(answer, r"<allocationId>(.*?)</allocationId>")
    _apply_tags(allocation, properties)
    address = _field(answer, r"<publicIp>(.*?)</publicIp>")
    return address, {"AllocationId": allocation, "PublicIp": address}


def _update_address(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
    del stack
    allocation = _allocation(physical_id)
    _apply_tags(allocation, properties, before)
    return physical_id, {"AllocationId": allocation, "PublicIp": physical_id}


def _delete_address(physical_id: str, properties: Properties) -> None:
    del properties
    allocation = _allocation(physical_id)
    if allocation:
        _ask("_release_address", AllocationId=allocation)


def _allocation(address: str) -> str:
    addresses = find("ministack.services.ec2._addresses").values()
    return next((str(record["AllocationId"]) for record in addresses if record["PublicIp"] == address), "")


def _create_gateway(logical_id: str, properties: Properties, stack: str) -> Created:
    del logical_id, stack
    subnet, allocation = properties.get("SubnetId", ""), properties.get("AllocationId", "")
    if subnet not in find("ministack.services.ec2._subnets"):
        raise ValueError(f"AWS::EC2::NatGateway: the subnet {subnet!r} does not exist.")
    kind = properties.get("ConnectivityType", "public")
    if kind == "public" and allocation not in find("ministack.services.ec2._addresses"):
        raise ValueError(f"AWS::EC2::NatGateway: the allocation {allocation!r} does not exist.")
    answer = _ask("_create_nat_gateway", SubnetId=subnet, AllocationId=allocation, ConnectivityType=kind)
    identifier = _field(answer, r"<natGatewayId>(.*?)</natGatewayId>")
    _apply_tags(identifier, properties)
    return identifier, {"NatGatewayId": identifier}


def _update_gateway(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
    del stack
    _apply_tags(physical_id, properties, before)
    return physical_id, {"NatGatewayId": physical_id}


def _delete_gateway(physical_id: str, properties: Properties) -> None:
    del properties
    _ask("_delete_nat_gateway", NatGatewayId=physical_id)


def _create_peering(logical_id: str, properties: Properties, stack: str) -> Created:
    """Of one account and region, which is accepted at once."""
    del logical_id, stack
    given = {name: str(properties[name]) for name in ("VpcId", "PeerVpcId")}
    answer = _ask("_create_vpc_peering_connection", **given)
    identifier = _field(answer, r"<vpcPeeringConnectionId>(.*?)</vpcPeeringConnectionId>")
    _ask("_accept_vpc_peering_connection", VpcPeeringConnectionId=identifier)
    _apply_tags(identifier, properties)
    return identifier, {"Id": identifier}


def _delete_peering(physical_id: str, properties: Properties) -> None:
    del properties
    _ask("_delete_vpc_peering_connection", VpcPeeringConnectionId=physical_id)


def _create_log(logical_id: str, properties: Properties, stack: str) -> Created:
    del logical_id, stack
    names = ("ResourceType", "TrafficType", "LogDestinationType", "LogDestination", "LogGroupName")
    given = {name: str(properties[name]) for name in names if properties.get(name)}
    answer = _ask("_create_flow_logs", **{"ResourceId.1": properties["ResourceId"]}, **given)
    identifier = _field(answer, r"<item>(fl-.*?)</item>")
    _apply_tags(identifier, properties)
    return identifier, {"Id": identifier}


def _update_tags(physical_id: str, before: Properties, properties: Properties, stack: str) -> Created:
    del stack
    _apply_tags(physical_id, properties, before)
    return physical_id, {"Id": physical_id}


def _delete_log(physical_id: str, properties: Properties) -> None:
    del properties
    _ask("_delete_flow_logs", **{"FlowLogId.1": physical_id})
