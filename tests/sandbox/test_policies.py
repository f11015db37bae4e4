# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  boto3's clients, and fixtures of a conftest, have no static types
"""Two locks between accounts: membership of the unit, and the role."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.conftest import Sandbox
from tests.sandbox.runtime import registry

REGION = {"LocationConstraint": "eu-west-2"}
EVERYTHING = [{"Effect": "Allow", "Action": ["s3:*", "ecr:*"], "Resource": "*"}]
READER = "localgov-reader"
LAYER = b"a layer"


def code(call: Callable[..., Any], **arguments: Any) -> str:
    """The error code of a call; ``OK`` when it succeeds."""
    try:
        call(**arguments)
    except ClientError as refusal:
        return str(refusal.response["Error"]["Code"])
    return "OK"


def shared_with(sandbox: Sandbox, role: str) -> dict[str, Any]:
    """The conditions under which an account of the unit gets in with one role."""
    return {
        "StringEquals": {"aws:PrincipalOrgID": sandbox.description["organisation_id"]},
        "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": sandbox.description["organisational_unit_path"]},
        "ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::*:role/{role}"},
    }


@pytest.fixture(scope="module")
def shared_bucket(sandbox: Sandbox) -> str:
    """A bucket of camden which the role READER of any account of the unit may read."""
    name = "localgov-012345670123-shared-test"
    s3 = sandbox.client("s3", sandbox.root("camden"))
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=REGION)
    s3.put_public_access_block(
        Bucket=name,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        },
    )
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        "Condition": shared_with(sandbox, READER),
    }
    s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket=name, Key="table.csv", Body=b"a,b\n")
    return name


@pytest.fixture(scope="module")
def repository(sandbox: Sandbox) -> str:
    """A repository of the organisation account whose images the role READER of any account of the unit may pull."""
    ecr = sandbox.client("ecr", sandbox.deployer("hub"))
    ecr.create_repository(repositoryName="localgov/shared-test")
    registry.push(ecr, "localgov/shared-test", registry.image([LAYER]), "1")
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"],
        "Condition": shared_with(sandbox, READER),
    }
    ecr.set_repository_policy(
        repositoryName="localgov/shared-test",
        policyText=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    return "localgov/shared-test"


@pytest.fixture(scope="module")
def read(sandbox: Sandbox, shared_bucket: str) -> Callable[..., str]:
    """How reading camden's shared file ends for a role of an account."""

    def reading(account: str, role: str = READER, allowed: Any = EVERYTHING) -> str:
        s3 = sandbox.client("s3", sandbox.role(account, role, allowed))
        return code(s3.get_object, Bucket=shared_bucket, Key="table.csv")

    return reading


@pytest.fixture(scope="module")
def pull(sandbox: Sandbox, repository: str) -> Callable[..., list[str]]:
    """How the calls of an image pull from the organisation account end for a role of an account."""

    def pulling(account: str, role: str = READER, allowed: Any = EVERYTHING) -> list[str]:
        ecr = sandbox.client("ecr", sandbox.role(account, role, allowed))
        where = {"registryId": sandbox.account("hub"), "repositoryName": repository}
        digest = registry.digest_of(LAYER)
        return [
            code(ecr.batch_check_layer_availability, layerDigests=[digest], **where),
            code(ecr.batch_get_image, imageIds=[{"imageTag": "1"}], **where),
            code(ecr.get_download_url_for_layer, layerDigest=digest, **where),
        ]

    return pulling


REFUSED = ["AccessDeniedException"] * 3
GRANTED = ["OK"] * 3


# --- Buckets ---


@pytest.mark.parametrize("account", ["hub", "croydon"])
def test_the_role_of_a_member_reads_a_shared_bucket(read: Callable[..., str], account: str) -> None:
    assert read(account) == "OK"


@pytest.mark.parametrize("account", ["outsider", "stranger"])
def test_the_same_role_outside_the_unit_does_not(read: Callable[..., str], account: str) -> None:
    assert read(account) == "AccessDenied"


def test_another_role_of_a_member_does_not(read: Callable[..., str]) -> None:
    assert read("hub", "localgov-other") == "AccessDenied"


def test_a_role_with_a_path_is_known_by_its_whole_arn(sandbox: Sandbox, read: Callable[..., str]) -> None:
    iam = sandbox.client("iam", sandbox.root("hub"))
    trust = {"Effect": "Allow", "Principal": {"AWS": sandbox.account("hub")}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="localgov-reader-in-path",
        Path="/teams/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    assert read("hub", "localgov-reader-in-path") == "AccessDenied"


def test_the_callers_own_policies_must_allow_it_too(read: Callable[..., str]) -> None:
    elsewhere = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::elsewhere/*"}]
    assert read("sutton", READER, elsewhere) == "AccessDenied"
    assert read("sutton", READER, EVERYTHING) == "OK"


def test_a_right_on_keys_with_a_slash_at_their_end_is_none_on_other_keys(sandbox: Sandbox, unique: str) -> None:
    sandbox.client("s3", sandbox.root("sutton")).create_bucket(Bucket=unique, CreateBucketConfiguration=REGION)
    markers = [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{unique}/*/"}]
    s3 = sandbox.client("s3", sandbox.role("sutton", READER, markers))
    assert code(s3.put_object, Bucket=unique, Key="folder/", Body=b"") == "OK"
    assert code(s3.put_object, Bucket=unique, Key="folder/data", Body=b"") == "AccessDenied"
    assert code(s3.put_object, Bucket=unique, Key="folder", Body=b"") == "AccessDenied"


def test_what_is_not_shared_stays_closed_to_members(sandbox: Sandbox, shared_bucket: str) -> None:
    s3 = sandbox.client("s3", sandbox.role("hub", READER, EVERYTHING))
    assert code(s3.put_object, Bucket=shared_bucket, Key="new", Body=b"") == "AccessDenied"
    assert code(s3.delete_object, Bucket=shared_bucket, Key="table.csv") == "AccessDenied"


def test_the_owner_revokes_without_the_organisation(sandbox: Sandbox, unique: str) -> None:
    owner = sandbox.client("s3", sandbox.root("sutton"))
    owner.create_bucket(Bucket=unique, CreateBucketConfiguration=REGION)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{unique}",
        "Condition": shared_with(sandbox, READER),
    }
    owner.put_bucket_policy(Bucket=unique, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    hub = sandbox.client("s3", sandbox.role("hub", READER, EVERYTHING))
    assert code(hub.list_objects_v2, Bucket=unique) == "OK"
    owner.delete_bucket_policy(Bucket=unique)
    assert code(hub.list_objects_v2, Bucket=unique) == "AccessDenied"


# --- Repositories ---


@pytest.mark.parametrize("account", ["camden", "croydon"])
def test_the_role_of_a_member_pulls_an_image(pull: Callable[..., list[str]], account: str) -> None:
    assert pull(account) == GRANTED


@pytest.mark.parametrize("account", ["outsider", "stranger"])
def test_the_same_role_outside_the_unit_pulls_nothing(pull: Callable[..., list[str]], account: str) -> None:
    assert pull(account) == REFUSED


def test_another_role_of_a_member_pulls_nothing(pull: Callable[..., list[str]]) -> None:
    assert pull("camden", "localgov-other") == REFUSED


def test_pulling_needs_the_callers_own_policies_for_that_repository(
    sandbox: Sandbox, pull: Callable[..., list[str]], repository: str
) -> None:
    def on(account: str) -> list[dict[str, Any]]:
        arn = f"arn:aws:ecr:eu-west-2:{sandbox.account(account)}:repository/{repository}"
        return [{"Effect": "Allow", "Action": "ecr:*", "Resource": arn}]

    assert pull("sutton", READER, on("hub")) == GRANTED
    assert pull("sutton", READER, on("sutton")) == REFUSED


def test_not_even_the_root_of_another_account_gets_in(sandbox: Sandbox, repository: str) -> None:
    for account in ("outsider", "camden"):
        ecr = sandbox.client("ecr", sandbox.root(account))
        hub = {"registryId": sandbox.account("hub")}
        assert code(ecr.batch_get_image, repositoryName=repository, imageIds=[{"imageTag": "1"}], **hub) != "OK"
        assert code(ecr.delete_repository, repositoryName=repository, force=True, **hub) != "OK"
        assert code(ecr.describe_repositories, **hub) != "OK"


def test_a_repository_that_is_not_there_is_refused_like_one_that_is_not_shared(sandbox: Sandbox) -> None:
    ecr = sandbox.client("ecr", sandbox.role("camden", READER, EVERYTHING))
    where = {"registryId": sandbox.account("hub"), "repositoryName": "localgov/nowhere"}
    assert code(ecr.batch_get_image, imageIds=[{"imageTag": "1"}], **where) == "AccessDeniedException"


def test_every_account_gets_a_registry_token_of_its_own(sandbox: Sandbox) -> None:
    ecr = sandbox.client("ecr", sandbox.role("camden", READER, EVERYTHING))
    (data,) = ecr.get_authorization_token()["authorizationData"]
    assert sandbox.account("camden") in data["proxyEndpoint"]


# --- The organisation ---


def test_the_organisation_holds_the_unit_and_its_members(sandbox: Sandbox) -> None:
    described = sandbox.description
    organizations = sandbox.client(
        "organizations", {"aws_access_key_id": "100000000001", "aws_secret_access_key": "test"}
    )
    assert organizations.describe_organization()["Organization"]["Id"] == described["organisation_id"]
    unit = described["organisational_unit_path"].split("/")[2]
    members = organizations.list_accounts_for_parent(ParentId=unit)["Accounts"]
    assert {account["Name"] for account in members} == {"hub", "camden", "croydon", "sutton"}
    everybody = {account["Id"] for account in organizations.list_accounts()["Accounts"]}
    assert sandbox.account("outsider") in everybody
    assert sandbox.account("stranger") not in everybody


def test_a_member_sees_its_organisation_and_does_not_change_it(sandbox: Sandbox) -> None:
    member = sandbox.client("organizations", sandbox.root("camden"))
    assert member.describe_organization()["Organization"]["Id"] == sandbox.description["organisation_id"]
    assert code(member.list_accounts) == "AccessDeniedException"


def test_an_account_that_leaves_the_unit_loses_access(sandbox: Sandbox, read: Callable[..., str]) -> None:
    organizations = sandbox.client(
        "organizations", {"aws_access_key_id": "100000000001", "aws_secret_access_key": "test"}
    )
    _, root, unit, _ = sandbox.description["organisational_unit_path"].split("/")
    account = sandbox.account("croydon")
    assert read("croydon") == "OK"
    organizations.move_account(AccountId=account, SourceParentId=unit, DestinationParentId=root)
    try:
        assert read("croydon") == "AccessDenied"
    finally:
        organizations.move_account(AccountId=account, SourceParentId=root, DestinationParentId=unit)
    assert read("croydon") == "OK"
