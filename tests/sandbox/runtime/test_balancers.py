# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients have no static types
"""A stack's load balancer answers: rules, redirects, TLS, the health of targets and several of them."""

from __future__ import annotations

import http.client
import json
import ssl
import uuid
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime.conftest import Account, account, eventually

# Says who it is, and is well until it is told otherwise.
WEB = """
    import http.server, os
    class Web(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        well = True
        def do_GET(self):
            if self.path == "/fall-ill":
                Web.well = False
            status = 200 if Web.well or self.path != "/health" else 500
            names = ("Host", "X-Forwarded-Proto", "X-Forwarded-For", "X-Forwarded-Port")
            said = [os.environ["NAME"], os.environ["BIND_ADDRESS"], self.path]
            body = "|".join([*said, *(self.headers[name] or "" for name in names)]).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        do_POST = do_GET
        def log_message(self, *_): pass
    http.server.ThreadingHTTPServer((os.environ["BIND_ADDRESS"], 8080), Web).serve_forever()
"""
HTTPS_PORT, HTTP_PORT = 18443, 18081
CERTIFICATE = "arn:aws:acm:eu-west-2:012345670123:certificate/11111111-2222-3333-4444-555555555555"


def listener(port: int, protocol: str, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    properties = {
        "LoadBalancerArn": {"Ref": "Balancer"},
        "Port": port,
        "Protocol": protocol,
        "DefaultActions": [action],
        **more,
    }
    return {"Type": "AWS::ElasticLoadBalancingV2::Listener", "Properties": properties}


def rule(priority: int, field: str, config: str, values: list[str]) -> dict[str, Any]:
    return {
        "Type": "AWS::ElasticLoadBalancingV2::ListenerRule",
        "Properties": {
            "ListenerArn": {"Ref": "Secure"},
            "Priority": priority,
            "Conditions": [{"Field": field, config: {"Values": values}}],
            "Actions": [{"Type": "forward", "TargetGroupArn": {"Ref": "Targets"}}],
        },
    }


def template(name: str) -> dict[str, Any]:
    nothing = {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "nothing here"}
    onwards = {"Protocol": "HTTPS", "Port": str(HTTPS_PORT), "StatusCode": "HTTP_301"}
    return {
        "Resources": {
            "Balancer": {
                "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                "Properties": {"Name": name, "Subnets": ["subnet-1", "subnet-2"]},
            },
            "Secure": listener(
                HTTPS_PORT,
                "HTTPS",
                {"Type": "fixed-response", "FixedResponseConfig": nothing},
                Certificates=[{"CertificateArn": CERTIFICATE}],
            ),
            "Plain": listener(HTTP_PORT, "HTTP", {"Type": "redirect", "RedirectConfig": onwards}),
            "Targets": {
                "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
                "Properties": {
                    "Port": 8080,
                    "Protocol": "HTTP",
                    "TargetType": "ip",
                    "HealthCheckPath": "/health",
                    "HealthCheckIntervalSeconds": 5,
                    "HealthyThresholdCount": 2,
                    "UnhealthyThresholdCount": 2,
                },
            },
            "Paths": rule(10, "path-pattern", "PathPatternConfig", ["/admin/*", "/health", "/fall-ill"]),
            "Hosts": rule(20, "host-header", "HostHeaderConfig", ["*.example.gov.uk"]),
        },
        "Outputs": {
            "Host": {"Value": {"Fn::GetAtt": ["Balancer", "DNSName"]}},
            "Targets": {"Value": {"Ref": "Targets"}},
        },
    }


@dataclass
class Balanced:
    """A balancer with two tasks behind it."""

    owner: Account
    host: str
    targets: str

    def ask(self, path: str, port: int = HTTPS_PORT, **headers: str) -> tuple[int, list[str], str]:
        """Status, what the target said, and where to go instead."""
        trusted = ssl.create_default_context(cafile=self.owner.sandbox.description["ca_bundle"])
        secure = http.client.HTTPSConnection(self.host, port, timeout=10, context=trusted)
        connection = secure if port == HTTPS_PORT else http.client.HTTPConnection(self.host, port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode().split("|"), answer.headers.get("Location", "")
        finally:
            connection.close()

    def answers(self, path: str, port: int = HTTPS_PORT) -> bool:
        try:
            return self.ask(path, port)[0] != 503
        except OSError:
            return False

    def states(self) -> list[str]:
        client = self.owner.client("elbv2")
        described = client.describe_target_health(TargetGroupArn=self.targets)["TargetHealthDescriptions"]
        return sorted(entry["TargetHealth"]["State"] for entry in described)


@pytest.fixture(scope="module")
def balanced(machine: Sandbox) -> Balanced:
    owner, name = account(machine, "croydon"), f"test-{uuid.uuid4().hex[:8]}"
    stacks = owner.client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template(name)))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    outputs = {
        entry["OutputKey"]: entry["OutputValue"]
        for entry in stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    made = Balanced(owner, outputs["Host"], outputs["Targets"])
    definition = owner.define(WEB, environment=[{"name": "NAME", "value": "web"}])
    behind = {"targetGroupArn": made.targets, "containerName": "main", "containerPort": 8080}
    owner.serve(definition, desiredCount=2, loadBalancers=[behind])
    eventually(lambda: made.states() == ["healthy", "healthy"], "two healthy targets")
    eventually(lambda: made.answers("/admin/x") and made.answers("/", HTTP_PORT), "the balancer's listeners")
    return made


def test_a_path_rule_leads_to_a_target_with_what_the_client_asked_for(balanced: Balanced) -> None:
    status, said, _ = balanced.ask("/admin/users?page=2", Host="shop.test")
    assert status == 200
    assert said[0] == "web"
    # On ports other than 443 and 80 a load balancer names its own port to the target.
    assert said[2:5] == ["/admin/users?page=2", f"shop.test:{HTTPS_PORT}", "https"]
    assert said[5].startswith("127.")
    assert said[6] == str(HTTPS_PORT)


def test_a_host_rule_leads_to_a_target(balanced: Balanced) -> None:
    assert balanced.ask("/", Host="upload.example.gov.uk")[0] == 200


def test_what_no_rule_is_about_gets_the_listeners_own_answer(balanced: Balanced) -> None:
    assert balanced.ask("/elsewhere", Host="shop.test")[:2] == (404, ["nothing here"])


def test_plain_http_is_sent_on_to_tls_with_path_and_query(balanced: Balanced) -> None:
    status, _, location = balanced.ask("/admin/users?page=2", HTTP_PORT, Host=f"shop.test:{HTTP_PORT}")
    assert (status, location) == (301, f"https://shop.test:{HTTPS_PORT}/admin/users?page=2")


def test_it_listens_on_a_loopback_address_that_the_sandboxs_authority_vouches_for(balanced: Balanced) -> None:
    assert balanced.host.startswith(balanced.owner.sandbox.description["task_network"].removesuffix(".0.0/16") + ".0.")


def test_requests_go_to_each_healthy_target_in_turn_and_to_no_ill_one(balanced: Balanced) -> None:
    met = {balanced.ask("/admin/x")[1][1] for _ in range(4)}
    assert len(met) == 2
    _, (_, fallen, *_), _ = balanced.ask("/fall-ill")
    eventually(lambda: balanced.states() == ["healthy", "unhealthy"], "the ill target to be noticed", 30)
    assert {balanced.ask("/admin/x")[1][1] for _ in range(4)} == met - {fallen}
