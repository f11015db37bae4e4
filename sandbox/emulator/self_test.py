# SPDX-License-Identifier: GPL-3.0-or-later
"""At every start: do the policies that keep accounts apart hold, for real requests of accounts made up for this?

A policy engine that has silently changed would let a wrong deployment pass, or refuse a right one; every other part
that breaks says so itself.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.emulator import calls
from sandbox.emulator.internals import EmulatorError, find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.responses.AccountRegionScopedDict",
    "ministack.core.responses.AccountScopedDict",
    "ministack.services.organizations._accounts",
)

# Accounts that exist only during the test; real account ids do not begin with eight zeros.
_OWNER, _MEMBER = "000000000101", "000000000102"
_BUCKET, _REPOSITORY = "sandbox-self-test", "sandbox/self-test"


async def run(settings: Settings, organisation: str, unit_path: str) -> None:
    """Raise ``EmulatorError`` naming the first promise that does not hold."""
    with _scratch_accounts():
        await _share(settings.region, organisation, unit_path)
        allowed = await _session(settings.region, "allowed")
        other = await _session(settings.region, "other")
        _expect("refuses an account outside the organisation", await _reads(allowed), (False, False))
        _join(settings, unit_path.split("/")[2])
        _expect("lets in the role of a member", await _reads(allowed), (True, True))
        _expect("refuses another role of a member", await _reads(other), (False, False))
        _join(settings, unit_path.split("/")[1])
        _expect("refuses a member outside the unit", await _reads(allowed), (False, False))
        _succeeded(await calls.root(_OWNER, settings.region).send("s3", "DELETE", f"/{_BUCKET}"))
        (settings.objects / _OWNER).rmdir()


def _expect(promise: str, reads: tuple[bool, bool], wanted: tuple[bool, bool]) -> None:
    wrong = [name for name, got, want in zip(("bucket", "repository"), reads, wanted, strict=True) if got is not want]
    if wrong:
        raise EmulatorError(f"The emulator's self-test failed: the policy of a {wrong[0]} no longer {promise}.")


async def _share(region: str, organisation: str, unit_path: str) -> None:
    """A bucket and a repository of the owner, for the role ``allowed`` of accounts in the unit."""
    owner = calls.root(_OWNER, region)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Condition": {
            "StringEquals": {"aws:PrincipalOrgID": organisation},
            "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": unit_path},
            "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/allowed"},
        },
    }
    bucket = {**statement, "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{_BUCKET}"}
    repository = {**statement, "Action": "ecr:BatchGetImage"}
    location = (
        f"<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
    )
    for answer in (
        await owner.send("s3", "PUT", f"/{_BUCKET}", location),
        await owner.send("s3", "PUT", f"/{_BUCKET}?policy=", _policy(bucket)),
        await owner.json("ecr", f"{_ECR}.CreateRepository", repositoryName=_REPOSITORY),
        await owner.json(
            "ecr", f"{_ECR}.SetRepositoryPolicy", repositoryName=_REPOSITORY, policyText=_policy(repository)
        ),
    ):
        _succeeded(answer)


async def _session(region: str, role: str) -> calls.Caller:
    """A session of a new role of the member, whose own policies allow everything that the test tries."""
    root = calls.root(_MEMBER, region)
    trust = {"Effect": "Allow", "Principal": {"AWS": _MEMBER}, "Action": "sts:AssumeRole"}
    permissions = {"Effect": "Allow", "Action": ["s3:*", "ecr:*"], "Resource": "*"}
    _succeeded(await root.query("iam", "CreateRole", RoleName=role, AssumeRolePolicyDocument=_policy(trust)))
    _succeeded(
        await root.query("iam", "PutRolePolicy", RoleName=role, PolicyName="all", PolicyDocument=_policy(permissions))
    )
    answer = _succeeded(
        await root.query(
            "sts", "AssumeRole", RoleArn=f"arn:aws:iam::{_MEMBER}:role/{role}", RoleSessionName="self-test"
        )
    )
    found = [re.search(rf"<{name}>(.*?)</{name}>", answer.text) for name in _CREDENTIALS]
    access_key, secret_key, token = (match[1] if match else "" for match in found)
    return calls.Caller(region, access_key, secret_key, token)


_CREDENTIALS = ("AccessKeyId", "SecretAccessKey", "SessionToken")
_ECR = "AmazonEC2ContainerRegistry_V20150921"


async def _reads(caller: calls.Caller) -> tuple[bool, bool]:
    """Whether the caller may read the bucket, and the repository."""
    bucket = await caller.send("s3", "GET", f"/{_BUCKET}?list-type=2")
    repository = await caller.json(
        "ecr",
        f"{_ECR}.BatchGetImage",
        registryId=_OWNER,
        repositoryName=_REPOSITORY,
        imageIds=[{"imageTag": "none"}],
    )
    return bucket.status == 200, repository.status == 200


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _succeeded(answer: calls.Answer) -> calls.Answer:
    if answer.status not in (200, 204):
        raise EmulatorError(f"The emulator's self-test failed: it answered {answer.status}: {answer.text[:300]}")
    return answer


def _join(settings: Settings, parent: str) -> None:
    """Put the scratch member under *parent*, a unit or the root, of the sandbox's organisation."""
    accounts = find("ministack.services.organizations._accounts")
    record = accounts.get_scoped(settings.management.id, None, settings.management.id)
    accounts._data[(settings.management.id, _MEMBER)] = {**record, "Id": _MEMBER, "_ParentId": parent}


@contextmanager
def _scratch_accounts() -> Iterator[None]:
    try:
        yield
    finally:
        scoped = tuple(
            find(f"ministack.core.responses.{name}") for name in ("AccountScopedDict", "AccountRegionScopedDict")
        )
        for name, module in list(sys.modules.items()):
            if name.startswith("ministack."):
                for store in [value for value in vars(module).values() if isinstance(value, scoped)]:
                    _forget(store._data)


def _forget(store: dict[tuple[str, ...], Any]) -> None:
    for key in [key for key in store if key[0] in (_OWNER, _MEMBER) or key[-1] == _MEMBER]:
        del store[key]
