# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""A user pool's identity provider, made by the deployer in a stack; and the people whom the sandbox thinks of."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from botocore.exceptions import WaiterError

from tests.sandbox.conftest import Sandbox

_METADATA = "https://login.camden.example/metadata.xml"


def template(metadata: str = _METADATA, provider: str = "council") -> str:
    pool = {"Ref": "UserPool"}
    details = {"MetadataURL": metadata}
    resources = {
        "UserPool": {"Type": "AWS::Cognito::UserPool", "Properties": {"UserPoolName": "people"}},
        "Group": {"Type": "AWS::Cognito::UserPoolGroup", "Properties": {"UserPoolId": pool, "GroupName": "uploaders"}},
        "Provider": {
            "Type": "AWS::Cognito::UserPoolIdentityProvider",
            "Properties": {
                "UserPoolId": pool,
                "ProviderName": provider,
                "ProviderType": "SAML",
                "ProviderDetails": details,
                "AttributeMapping": {"email": "mail"},
            },
        },
    }
    return json.dumps({"Resources": resources, "Outputs": {"Pool": {"Value": pool}}})


@pytest.fixture
def cloudformation(sandbox: Sandbox) -> Any:
    return sandbox.client("cloudformation", sandbox.deployer("camden"))


def wait(cloudformation: Any, what: str, stack: str) -> None:
    waiter = cloudformation.get_waiter(f"stack_{what}_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def test_a_provider_is_made_changed_replaced_and_removed(sandbox: Sandbox, cloudformation: Any, unique: str) -> None:
    cloudformation.create_stack(StackName=unique, TemplateBody=template())
    wait(cloudformation, "create", unique)
    (stack,) = cloudformation.describe_stacks(StackName=unique)["Stacks"]
    pool = stack["Outputs"][0]["OutputValue"]
    cognito = sandbox.client("cognito-idp", sandbox.root("camden"))

    def provider(name: str) -> dict[str, Any]:
        answer = cognito.describe_identity_provider(UserPoolId=pool, ProviderName=name)
        found: dict[str, Any] = answer["IdentityProvider"]
        return found

    assert provider("council")["ProviderDetails"]["MetadataURL"] == _METADATA
    assert provider("council")["AttributeMapping"]["email"] == "mail"
    cloudformation.update_stack(StackName=unique, TemplateBody=template(metadata=f"{_METADATA}?new"))
    wait(cloudformation, "update", unique)
    assert provider("council")["ProviderDetails"]["MetadataURL"] == f"{_METADATA}?new"
    cloudformation.update_stack(StackName=unique, TemplateBody=template(provider="borough"))
    wait(cloudformation, "update", unique)
    assert [one["ProviderName"] for one in cognito.list_identity_providers(UserPoolId=pool)["Providers"]] == ["borough"]
    cloudformation.delete_stack(StackName=unique)
    wait(cloudformation, "delete", unique)
    assert pool not in {one["Id"] for one in cognito.list_user_pools(MaxResults=60)["UserPools"]}


def test_who_may_not_make_a_provider_makes_none_by_a_stack(sandbox: Sandbox, unique: str) -> None:
    allowed = [{"Effect": "Allow", "Action": ["cloudformation:*", "cognito-idp:Create*"], "Resource": "*"}]
    denied = [{"Effect": "Deny", "Action": "cognito-idp:CreateIdentityProvider", "Resource": "*"}]
    role = sandbox.role("camden", "localgov-no-providers", [*allowed, *denied])
    cloudformation = sandbox.client("cloudformation", role)
    cloudformation.create_stack(StackName=unique, TemplateBody=template())
    with pytest.raises(WaiterError):
        wait(cloudformation, "create", unique)
    events = cloudformation.describe_stack_events(StackName=unique)["StackEvents"]
    assert "not authorized to perform: cognito-idp:CreateIdentityProvider" in json.dumps(events, default=str)


def test_the_deployer_makes_no_people(sandbox: Sandbox) -> None:
    cognito = sandbox.client("cognito-idp", sandbox.deployer("camden"))
    with pytest.raises(cognito.exceptions.ClientError, match="not authorized"):
        cognito.admin_create_user(UserPoolId="eu-west-2_abc", Username="x@camden.example")


def test_people_are_thought_of_at_the_first_start(sandbox: Sandbox) -> None:
    path = sandbox.folder / "people.json"
    assert path.stat().st_mode & 0o777 == 0o600
    people = json.loads(path.read_text(encoding="utf-8"))
    assert {(one["account"], one["part"]) for one in people} == {
        (account, part)
        for account in ("hub", "camden", "croydon", "sutton")
        for part in ("uploader", "viewer", "manager")
    }
    passwords = {one["password"] for one in people}
    assert len(passwords) == len(people)
    assert all(len(password) >= 20 for password in passwords)
    assert not [password for password in passwords if password in sandbox.log()]


@pytest.mark.parametrize(
    ("host", "is_right"), [("{network}.1.2", True), ("{network}.1.2.example", False), ("127.0.0.1", False)]
)
def test_people_are_sent_back_to_tasks_and_nowhere_else(sandbox: Sandbox, host: str, is_right: bool) -> None:
    cognito = sandbox.client("cognito-idp", sandbox.root("camden"))
    pool = cognito.create_user_pool(PoolName="returns")["UserPool"]["Id"]
    client = cognito.create_user_pool_client(
        UserPoolId=pool,
        ClientName="frontend",
        AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid"],
        CallbackURLs=["http://0.0.0.0:8080/back"],
    )["UserPoolClient"]["ClientId"]
    network = sandbox.description["task_network"].removesuffix(".0.0/16")
    query = {
        "client_id": client,
        "redirect_uri": f"http://{host.format(network=network)}:8080/back",
        "response_type": "code",
        "scope": "openid",
    }
    page = requests.get(f"{sandbox.description['browser_endpoint_url']}/oauth2/authorize", params=query, timeout=30)
    assert (page.status_code == 200) is is_right


def test_a_temporary_password_is_one_that_the_pool_takes(sandbox: Sandbox) -> None:
    cognito = sandbox.client("cognito-idp", sandbox.root("camden"))
    pool = cognito.create_user_pool(
        PoolName="long", UsernameAttributes=["email"], Policies={"PasswordPolicy": {"MinimumLength": 20}}
    )["UserPool"]["Id"]
    made = cognito.admin_create_user(UserPoolId=pool, Username="ada@camden.example", DesiredDeliveryMediums=["EMAIL"])
    assert made["User"]["UserStatus"] == "FORCE_CHANGE_PASSWORD"
