# SPDX-License-Identifier: GPL-3.0-or-later
"""The security groups that are deployed, read back with the deploy role, against the arrows of the design's diagram."""

from __future__ import annotations

import configparser
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import sessions
from sandbox.settings import ROOT, Settings
from tests.e2e.operators.test_deployment import ACCOUNTS

Arrow = tuple[str, str, int]

# The arrows of the diagram between an account's parts. Dagster launches each run as a task of its own, which keeps its
# state in the database as the daemon does.
DIAGRAM = {
    ("dagit", "code_server", 4000),
    ("dagit", "database", 5432),
    ("daemon", "code_server", 4000),
    ("daemon", "database", 5432),
    ("run", "database", 5432),
}
INSIDE = {"dagit", "daemon", "code_server", "run"}
TO_AWS = {(name, "aws", 443) for name in INSIDE}
TO_S3 = {(name, "s3", 443) for name in INSIDE}
FROM_THE_FRONTEND = {("frontend", "internet", 443)}
# The diagram's arrow from the user to the frontend, where the frontend has a load balancer: on AWS 443 and 80.
BALANCED = "sutton"
FROM_THE_BALANCER = {("public_balancer", "frontend", 8080)}
FROM_THE_WORLD = {("world", "public_balancer", 8443), ("world", "public_balancer", 8081)}


class Account:
    """The groups of one account's two VPCs, under the names of the declaration."""

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self._client = _deployer(settings, name)
        network = self._made("localgov-network")
        vpcs = [network["FrontendVpc"], network["DagsterVpc"]]
        filters = [{"Name": "vpc-id", "Values": vpcs}]
        self.groups = self._client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
        self.defaults = [group for group in self.groups if group["GroupName"] == "default"]
        services = {
            _declared(logical): physical
            for logical, physical in self._made("localgov-services").items()
            if logical.endswith("SecurityGroup")
        }
        known = {
            **services,
            "database": self._made("localgov-database")["SecurityGroup"],
            "aws": network["EndpointSecurityGroup"],
        }
        self.names = {identifier: party for party, identifier in known.items()}

    def _made(self, stack: str) -> dict[str, str]:
        """Logical to physical names of the stack's resources."""
        resources = self._client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def unknown(self) -> list[str]:
        """Groups that neither the declaration nor AWS itself accounts for."""
        given = {group["GroupId"] for group in self.defaults}
        return [group["GroupName"] for group in self.groups if group["GroupId"] not in {*self.names, *given}]

    def declared(self, arrows: set[Arrow]) -> set[Arrow]:
        """Those arrows, where this account has its frontend behind a load balancer."""
        return arrows if self.name == BALANCED else set()

    def leaving(self) -> set[Arrow]:
        """What a group lets out: its name, to whom, on which port."""
        return {(name, other, port) for name, other, port in self._ends("IpPermissionsEgress") if other != "nowhere"}

    def entering(self) -> set[Arrow]:
        """What a group lets in: from whom, its name, on which port."""
        return {
            ("world" if other == "internet" else other, name, port) for name, other, port in self._ends("IpPermissions")
        }

    def _ends(self, direction: str) -> Iterator[Arrow]:
        for group in self.groups:
            for rule in group[direction]:
                for other in self._others(rule):
                    yield self.names.get(group["GroupId"], group["GroupName"]), other, _port(rule)

    def _others(self, rule: dict[str, Any]) -> Iterator[str]:
        yield from (self.names.get(pair["GroupId"], pair["GroupId"]) for pair in rule.get("UserIdGroupPairs", []))
        yield from ("s3" for _ in rule.get("PrefixListIds", []))
        for entry in rule.get("IpRanges", []):
            yield {"127.0.0.1/32": "nowhere", "0.0.0.0/0": "internet"}.get(entry["CidrIp"], entry["CidrIp"])
        yield from (entry["CidrIpv6"] for entry in rule.get("Ipv6Ranges", []))


def _port(rule: dict[str, Any]) -> int:
    """The one TCP port of a rule; 0 stands for anything wider."""
    one = rule["IpProtocol"] == "tcp" and rule.get("FromPort") == rule.get("ToPort")
    return int(rule["FromPort"]) if one else 0


def _declared(logical: str) -> str:
    """`CodeServerSecurityGroup` as `code_server`."""
    words = logical.removesuffix("SecurityGroup")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in words).lstrip("_")


def _deployer(settings: Settings, account: str) -> Any:  # noqa: ANN401 - boto3's clients have no static types
    """Makes clients with a session of the account's deploy role, taken on by the operator."""
    keys = configparser.ConfigParser()
    keys.read(settings.shared_credentials_file)
    endpoint = {"endpoint_url": settings.endpoint_url, "verify": str(settings.ca_bundle)}
    role = f"arn:aws:iam::{settings.accounts[account].id}:role/localgov-deploy"
    operator = sessions.of_keys(settings.region, **keys["operator"])
    sts = sessions.client(operator, "sts", **endpoint)
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="network")["Credentials"]
    deployer = sessions.of_keys(
        settings.region, assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"]
    )
    return lambda service: sessions.client(deployer, service, **endpoint)


@pytest.fixture(scope="module", params=sorted(ACCOUNTS))
def account(request: pytest.FixtureRequest, settings: Settings, deployed: subprocess.CompletedProcess[str]) -> Account:
    return Account(settings, request.param)


def test_each_service_is_let_out_along_its_arrows_and_nowhere_else(account: Account) -> None:
    along = DIAGRAM | TO_AWS | TO_S3 | FROM_THE_FRONTEND | account.declared(FROM_THE_BALANCER)
    assert account.leaving() == along


def test_each_part_lets_in_who_has_an_arrow_to_it_and_nobody_else(account: Account) -> None:
    assert account.entering() == DIAGRAM | TO_AWS | account.declared(FROM_THE_BALANCER | FROM_THE_WORLD)


def test_no_group_but_a_public_balancers_lets_anybody_in_by_address(account: Account) -> None:
    by_address = {
        account.names.get(group["GroupId"])
        for group in account.groups
        for rule in group["IpPermissions"]
        if rule.get("IpRanges") or rule.get("Ipv6Ranges") or rule.get("PrefixListIds")
    }
    assert by_address == ({"public_balancer"} if account.name == BALANCED else set())


def test_the_groups_that_vpcs_bring_along_allow_nothing(account: Account) -> None:
    assert len(account.defaults) == 2
    assert [(group["IpPermissions"], group["IpPermissionsEgress"]) for group in account.defaults] == [([], [])] * 2


def test_there_is_no_group_but_those_of_the_declaration(account: Account) -> None:
    assert account.unknown() == []


def test_the_drawn_matrix_shows_what_is_deployed(account: Account) -> None:
    """It is drawn with the frontend's balancer, on AWS's own ports."""
    drawn = json.loads((ROOT / "docs" / "network_matrix.json").read_text(encoding="utf-8"))
    arrows = {(arrow["source"], arrow["target"], arrow["port"]) for arrow in drawn["connections"]}
    world = {("world", "public_balancer", 443), ("world", "public_balancer", 80)}
    assert arrows - world == account.leaving() | FROM_THE_BALANCER
    assert {
        (source, target, port)
        for source, row in drawn["matrix"].items()
        for target, ports in row.items()
        for port in (ports if isinstance(ports, list) else [ports])
        if port
    } == arrows
