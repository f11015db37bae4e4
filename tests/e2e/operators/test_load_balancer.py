# SPDX-License-Identifier: GPL-3.0-or-later
"""An authority's frontend behind its public load balancer, as a person meets it."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from typing import Any

import pytest

from sandbox.journey.person import wait_for
from sandbox.sessions import client_of_root
from sandbox.settings import Settings

# As the sandbox's inventory says; on AWS 443 and 80.
SECURE, PLAIN = 8443, 8081


@pytest.fixture(scope="module")
def balancer(settings: Settings, deployed: subprocess.CompletedProcess[str]) -> str:
    """Where sutton's balancer is reached, once its frontend is healthy behind it."""
    outputs = client_of_root(settings, "sutton", "cloudformation").describe_stacks(StackName="localgov-services")
    told = {entry["OutputKey"]: entry["OutputValue"] for entry in outputs["Stacks"][0]["Outputs"]}
    groups = client_of_root(settings, "sutton", "elbv2")
    (group,) = groups.describe_target_groups()["TargetGroups"]

    def healthy() -> bool:
        found = groups.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
        return [target["TargetHealth"]["State"] for target in found] == ["healthy"]

    wait_for(healthy, "sutton's frontend to be healthy behind its balancer", 120)
    return str(told["PublicBalancerDnsName"])


def ask(connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", path)
    return connection.getresponse()


def test_the_frontend_answers_over_tls(settings: Settings, balancer: str) -> None:
    trusted = ssl.create_default_context(cafile=settings.ca_bundle)
    answer = ask(http.client.HTTPSConnection(balancer, SECURE, context=trusted, timeout=10), "/signed-out")
    assert answer.status == 200
    assert "upload" in answer.read().decode().lower()


def test_without_tls_a_person_is_sent_there(balancer: str) -> None:
    answer = ask(http.client.HTTPConnection(balancer, PLAIN, timeout=10), "/upload?year=2026")
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{balancer}:{SECURE}/upload?year=2026")


def test_the_balancer_is_as_the_account_declares_it(settings: Settings, balancer: str) -> None:
    client = client_of_root(settings, "sutton", "elbv2")
    (found,) = client.describe_load_balancers()["LoadBalancers"]
    arn: dict[str, Any] = {"LoadBalancerArn": found["LoadBalancerArn"]}
    attributes = {
        entry["Key"]: entry["Value"] for entry in client.describe_load_balancer_attributes(**arn)["Attributes"]
    }
    assert attributes["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert attributes["routing.http.desync_mitigation_mode"] == "defensive"
    (secure,) = [one for one in client.describe_listeners(**arn)["Listeners"] if one["Port"] == SECURE]
    assert secure["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
