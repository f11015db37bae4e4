# SPDX-License-Identifier: GPL-3.0-or-later
"""The digital marketplace as those meet it who use it: by its public balancer, and as its applications."""

from __future__ import annotations

import copy
import hashlib
import http.client
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import sessions
from tests.integration.marketplace.conftest import ACCOUNT, PORTS, PREFIX, SERVICES, Marketplace, declared

FRONTENDS = {
    "buyer_frontend": "/",
    "supplier_frontend": "/suppliers",
    "admin_frontend": "/admin",
    "user_frontend": "/user",
}
# Behind the internal balancer, with a path of each.
INTERNAL = {"api": "/agreements", "search": "/search/shoes", "antivirus": "/antivirus/scan"}


@pytest.mark.parametrize(
    ("path", "application"),
    [
        ("/", "buyer-frontend"),
        ("/suppliers", "supplier-frontend"),
        ("/suppliers/opportunities/7", "supplier-frontend"),
        ("/admin", "admin-frontend"),
        ("/admin/agreements", "admin-frontend"),
        ("/user", "user-frontend"),
        ("/user/login", "user-frontend"),
        ("/users", "buyer-frontend"),
        ("/search/shoes", "buyer-frontend"),
        ("/antivirus/scan", "buyer-frontend"),
    ],
)
def test_the_public_balancer_leads_a_path_to_the_frontend_that_declares_it(
    marketplace: Marketplace, path: str, application: str
) -> None:
    said = marketplace.ask(path)
    assert (said["application"], said["image"], said["path"]) == (application, application, path)


def test_requests_go_to_both_tasks_of_a_service_that_has_two(marketplace: Marketplace) -> None:
    assert len({marketplace.ask("/")["task"] for _ in range(4)}) == SERVICES["buyer_frontend"]["desired_count"] == 2


def test_without_tls_a_person_is_sent_there(marketplace: Marketplace) -> None:
    host = marketplace.outputs("services")["PublicBalancerDnsName"]
    connection = http.client.HTTPConnection(host, PORTS["public"]["redirect_port"], timeout=10)
    connection.request("GET", "/suppliers?page=2")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"{marketplace.public_address}/suppliers?page=2")


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_frontend_reaches_by_the_internal_balancer_those_that_an_arrow_names_and_knows_of_no_others(
    marketplace: Marketplace, frontend: str
) -> None:
    outputs = marketplace.outputs("services")
    internal = f"https://{outputs['InternalBalancerDnsName']}:{outputs['InternalBalancerPort']}"
    for application, path in INTERNAL.items():
        said = marketplace.ask(FRONTENDS[frontend], f"{application}:{path}")["asked"]
        if application in SERVICES[frontend]["connects_to"]:
            assert (said["application"], said["path"], said["through"]) == (application, path, internal)
        else:
            assert said == {"unknown": application}


def test_the_internal_balancer_lets_in_those_alone_whose_arrow_leads_behind_it(marketplace: Marketplace) -> None:
    listed = marketplace.client("cloudformation").list_stack_resources(StackName=f"{PREFIX}-services")
    groups = {
        entry["LogicalResourceId"].removesuffix("SecurityGroup"): entry["PhysicalResourceId"]
        for entry in listed["StackResourceSummaries"]
        if entry["ResourceType"] == "AWS::EC2::SecurityGroup"
    }
    described = marketplace.client("ec2").describe_security_groups(GroupIds=[groups["InternalBalancer"]])
    rules = described["SecurityGroups"][0]["IpPermissions"]
    let_in = {pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]}
    with_an_arrow = [name for name, one in SERVICES.items() if set(one.get("connects_to", [])) & set(INTERNAL)]
    assert let_in == {groups[name.title().replace("_", "")] for name in with_an_arrow}
    assert [rule["IpRanges"] for rule in rules if rule.get("IpRanges")] == []
    assert {rule["FromPort"] for rule in rules} == {PORTS["internal"]["port"]}


def test_one_request_goes_from_frontend_to_api_to_search(marketplace: Marketplace) -> None:
    said = marketplace.ask("/suppliers", "api:/opportunities", "search:/search/shoes")
    assert said["asked"]["application"] == "api"
    assert said["asked"]["asked"]["application"] == "search"


def test_the_api_finds_in_its_database_what_the_migration_has_made(marketplace: Marketplace) -> None:
    said = marketplace.ask("/", "api:/agreements")["asked"]["database"]
    assert said == {"agreements": ["Acme Ltd"], "user": "marketplace", "owner": "marketplace", "encrypted": True}


def test_each_application_has_the_secrets_that_it_declares_and_no_others(marketplace: Marketplace) -> None:
    manager = marketplace.client("secretsmanager")
    token = manager.get_secret_value(SecretId=marketplace.outputs("cache")["CacheSecretArn"])["SecretString"]
    values = {**marketplace.secrets, "cache_token": json.loads(token)["token"]}
    hashes = {name.upper(): hashlib.sha256(value.encode()).hexdigest() for name, value in values.items()}
    told = {name: marketplace.ask(path)["secrets"] for name, path in FRONTENDS.items()}
    told["api"] = marketplace.ask("/", "api:/")["asked"]["secrets"]
    for name, secrets in told.items():
        wanted = [secret for secret in SERVICES[name]["secrets"] if not secret.startswith("PG")]
        assert secrets == {secret: hashes[secret] for secret in wanted}


def test_the_cache_speaks_tls_asks_for_a_token_and_is_what_frontends_are_told(marketplace: Marketplace) -> None:
    (cache,) = marketplace.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert cache["TransitEncryptionEnabled"] is cache["AtRestEncryptionEnabled"] is cache["AuthTokenEnabled"] is True
    outputs = marketplace.outputs("cache")
    assert marketplace.ask("/user")["cache"] == [outputs["CacheHost"], outputs["CachePort"]]


def test_a_file_goes_through_the_buckets_by_the_rights_that_are_declared(marketplace: Marketplace) -> None:
    buckets = {name: f"{PREFIX}-{marketplace.settings.accounts[ACCOUNT].id}-{name}" for name in declared_buckets()}
    listed = marketplace.client("s3").list_buckets()["Buckets"]
    assert set(buckets.values()) <= {bucket["Name"] for bucket in listed}
    supplier, antivirus, buyer = (
        task(marketplace, name) for name in ("supplier-frontend", "antivirus", "buyer-frontend")
    )
    supplier.put_object(Bucket=buckets["uploads"], Key="offer.pdf", Body=b"an offer")
    scanned = antivirus.get_object(Bucket=buckets["uploads"], Key="offer.pdf")["Body"].read()
    antivirus.put_object(Bucket=buckets["documents"], Key="offer.pdf", Body=scanned)
    antivirus.delete_object(Bucket=buckets["uploads"], Key="offer.pdf")
    assert supplier.get_object(Bucket=buckets["documents"], Key="offer.pdf")["Body"].read() == b"an offer"
    with pytest.raises(ClientError, match="AccessDenied"):
        buyer.get_object(Bucket=buckets["documents"], Key="offer.pdf")


# Whatever comes after it finds what it has left, so it is the last.
@pytest.mark.slow
def test_what_a_failed_deployment_goes_back_to_finds_the_rights_that_were_to_go(
    marketplace: Marketplace, tmp_path: Path
) -> None:
    before = rights(marketplace, "api-execution")
    other = marketplace.client("secretsmanager").create_secret(Name="marketplace/other", SecretString="other")["ARN"]
    services = copy.deepcopy(SERVICES)
    api = services["api"]
    for one in (api, api["init"][1]):
        one["secrets"] = {**one["secrets"], "API_TOKEN": other}
    api["command"] = ["python", "-c", "exit(3)"]
    (tmp_path / "broken.json").write_text(json.dumps({"la_services_services": services}))

    run = marketplace.deploy(tmp_path / "broken.json")
    assert run.returncode == 2, run.stdout[-4000:]
    assert "Service api failed" in run.stdout
    assert "The stack localgov-services is back as it was before. Until a run succeeds, roles keep" in run.stdout
    # Its only task had gone for the new one, and has started anew with a secret that the new declaration does not name.
    assert marketplace.ask("/", "api:/agreements")["asked"]["database"]["agreements"] == ["Acme Ltd"]
    assert other in json.dumps(rights(marketplace, "api-execution")["start"])

    mended = marketplace.deploy()
    assert mended.returncode == 0, mended.stdout[-4000:]
    assert rights(marketplace, "api-execution") == before


def rights(marketplace: Marketplace, role: str) -> dict[str, Any]:
    """The policies of a role by their names."""
    iam, name = marketplace.client("iam"), f"{PREFIX}-{role}"
    names = iam.list_role_policies(RoleName=name)["PolicyNames"]
    return {one: iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in names}


def declared_buckets() -> list[str]:
    found: list[str] = declared("services")["platform_buckets"]
    return found


def task(marketplace: Marketplace, service: str) -> Any:  # noqa: ANN401 - boto3 has no static types
    """S3 as the tasks of a service may use it."""
    settings = marketplace.settings
    role = f"arn:aws:iam::{settings.accounts[ACCOUNT].id}:role/{PREFIX}-{service}-task"
    session: Any = sessions.of_task_role(settings, role)
    return session.client("s3", endpoint_url=settings.endpoint_url, verify=str(settings.ca_bundle))
