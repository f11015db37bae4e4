# SPDX-License-Identifier: GPL-3.0-or-later
"""What trials of access need in an account, and its removal: probes, borrowed policies, roles made for the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.policy import compare_policies
from ansible_collections.localgov.platform.plugins.module_utils._access_calls import (
    Identity,
    NotThereError,
    attempt,
    code_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._access_probe import FOLDER
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import ClientError

# A client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs.
Client = Any
Document = dict[str, Any]

POLICY = "access-probe"
PROBE = b"access probe\n"
_TAG = {"Key": "purpose", "Value": "access-probe"}
# By this the prober sees that the policy counts; no service's own policy allows it.
_IS_KNOWN = {"Sid": "AccessProbeIsKnown", "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
_VERSIONS_AT_ONCE = 1000  # as S3 limits DeleteObjects
_RUN_LASTS = timedelta(hours=1)  # as long as what is lent counts
_TAKEN = ("ConditionalRequestConflict", "PreconditionFailed")


class RunningError(RefusedError):
    """Another run of trials is at work in this account."""


@dataclass(frozen=True)
class Item:
    """One thing as it is and as it shall be, None where it is not there; `make` makes the difference."""

    name: str
    before: Any
    after: Any
    make: Callable[[], object]

    @property
    def is_needed(self) -> bool:
        return bool(self.before != self.after)


@dataclass(frozen=True)
class Folder:
    """The folder of probes at one prefix of a bucket of this account."""

    s3: Client
    identity: Identity
    bucket: str
    prefix: str

    @property
    def key(self) -> str:
        prefix = self.prefix.strip("/")
        return f"{prefix}/{FOLDER}/" if prefix else f"{FOLDER}/"

    @property
    def where(self) -> dict[str, str]:
        """A bucket of another account that has taken over the name is refused."""
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.identity.account}


@dataclass(frozen=True)
class Role:
    """A role of this account, by its name, and what it borrows."""

    iam: Client
    identity: Identity
    name: str
    statements: list[Document]
    make: bool = False

    @property
    def policy(self) -> Document:
        return {"Version": "2012-10-17", "Statement": [*self.statements, {**_IS_KNOWN, **self._end}]}

    @property
    def _end(self) -> Document:
        """The condition by which what is lent ends, for the statement that only shows that it counts."""
        ends = [one.get("Condition", {}).get("DateLessThan") for one in self.statements]
        return next(({"Condition": {"DateLessThan": end}} for end in ends if end), {})


# --- Probes ---


def probe_present(folder: Folder) -> Item:
    """The probe, known by its name and size: nobody needs to read it for that."""
    key = f"{folder.key}probe"
    found = _latest(folder, key)
    after = {"size": len(PROBE), "tags": {_TAG["Key"]: _TAG["Value"]}}
    is_there = found is not None and found["Size"] == len(PROBE)
    return Item(f"s3://{folder.bucket}/{key}", after if is_there else None, after, partial(_put, folder, key))


def version_of_probe(folder: Folder) -> str:
    """The version that is there now, for trials that ask for it by name."""
    found = _latest(folder, f"{folder.key}probe")
    return str(found["VersionId"]) if found else ""


def run_present(folder: Folder, alone: bool) -> Item:
    """The sign that a run has begun in this account. RunningError for one that is to be *alone* and is not."""
    key = f"{folder.key}run"
    found = _latest(folder, key)
    name = f"s3://{folder.bucket}/{key}"
    if found is not None and alone and _is_of_a_run(found["LastModified"]):
        raise _running(folder.identity, name, found["LastModified"])
    after = {"size": len(PROBE)}
    before = after if found is not None and not alone else None
    # Of two that begin at the same moment, S3 lets one write what is not there yet.
    make = partial(_put_first, folder, key, name) if alone and found is None else partial(_put, folder, key)
    return Item(name, before, after, make)


def probes_absent(folder: Folder) -> list[Item]:
    """All versions and delete markers of whatever trials have left in the folder."""
    try:
        with _on_bucket(folder, "look for what trials left", "s3:ListBucketVersions on"):
            versions = list(_versions(folder))
    except NotThereError:
        versions = []
    before = [f"{one['Key']} ({one['VersionId']})" for one in versions] or None
    return [Item(f"s3://{folder.bucket}/{folder.key}", before, None, partial(_delete, folder, versions))]


def _latest(folder: Folder, key: str) -> dict[str, Any] | None:
    with _on_bucket(folder, f"look for {key}", "s3:ListBucketVersions on"):
        found = folder.s3.list_object_versions(aws_retry=True, **folder.where, Prefix=key).get("Versions") or []
    return next((one for one in found if one["Key"] == key and one["IsLatest"]), None)


def _put(folder: Folder, key: str, **conditions: str) -> None:
    tagging = f"{_TAG['Key']}={_TAG['Value']}"
    with _on_bucket(folder, f"write {key}", f"s3:PutObject and s3:PutObjectTagging on {key} in"):
        folder.s3.put_object(
            aws_retry=True, **folder.where, Key=key, Body=PROBE, ContentType="text/plain", Tagging=tagging, **conditions
        )


def _put_first(folder: Folder, key: str, name: str) -> None:
    try:
        _put(folder, key, IfNoneMatch="*")
    except RefusedError as refused:
        cause = refused.__cause__
        if isinstance(cause, ClientError) and code_of(cause) in _TAKEN:
            raise _running(folder.identity, name, datetime.now(UTC)) from refused
        raise


def _is_of_a_run(since: datetime) -> bool:
    return datetime.now(UTC) - since < _RUN_LASTS


def _running(identity: Identity, what: str, since: datetime) -> RunningError:
    return RunningError(
        f"Another run tries access in account {identity.account} since {since:%Y-%m-%d %H:%M} UTC ({what}). Two at "
        "once would take each other's ground away. Wait until it has ended. If it was killed, go on with alone: false; "
        "an hour after it began there is no need for that."
    )


def _versions(folder: Folder) -> Iterator[dict[str, str]]:
    page: dict[str, Any] = {"IsTruncated": True}
    while page["IsTruncated"]:
        onward = {
            marker: page[f"Next{marker}"] for marker in ("KeyMarker", "VersionIdMarker") if f"Next{marker}" in page
        }
        page = folder.s3.list_object_versions(aws_retry=True, **folder.where, Prefix=folder.key, **onward)
        for one in [*(page.get("Versions") or []), *(page.get("DeleteMarkers") or [])]:
            yield {"Key": one["Key"], "VersionId": one["VersionId"]}


def _delete(folder: Folder, versions: list[dict[str, str]]) -> None:
    needed = f"s3:DeleteObject and s3:DeleteObjectVersion on {folder.key}* in"
    for first in range(0, len(versions), _VERSIONS_AT_ONCE):
        batch = {"Objects": versions[first : first + _VERSIONS_AT_ONCE], "Quiet": True}
        with _on_bucket(folder, f"remove the versions below {folder.key}", needed):
            errors = folder.s3.delete_objects(aws_retry=True, **folder.where, Delete=batch).get("Errors") or []
        if errors:
            raise RefusedError(
                f"Cannot remove {len(errors)} versions below {folder.key} of the bucket {folder.bucket} in account "
                f"{folder.identity.account}, such as {errors[0]['Key']}: {errors[0].get('Code')}: "
                f"{errors[0].get('Message')}. This task's identity needs {needed} the bucket."
            )


def _on_bucket(folder: Folder, doing: str, permission: str) -> Any:  # noqa: ANN401 - a context manager
    bucket = f"the bucket {folder.bucket}"
    return attempt(f"{doing} in {bucket}", folder.identity.account, f"{permission} {bucket}")


# --- Roles ---


def role_present(role: Role, alone: bool = False) -> list[Item]:
    """The role, if it is to be made, and its borrowed policy. RunningError when *alone* and another run has made it."""
    found = _found(role)
    items = []
    if role.make:
        _check_is_made_here(role, found)
        if found and alone:
            _check_is_left(role, found)
        items.append(_made(role, found, alone))
    elif found is None:
        raise RefusedError(
            f"There is no role {role.name} in account {role.identity.account} that could borrow rights. Deploy what "
            "has it first, correct its name, or let it be made for the run by make: true."
        )
    is_kept = found is not None and not (role.make and alone)
    borrowed = _borrowed(role) if is_kept else None
    before = role.policy if borrowed and not compare_policies(borrowed, role.policy) else borrowed
    return [*items, Item(f"{_arn(role)} policy {POLICY}", before, role.policy, partial(_put_policy, role))]


def role_absent(role: Role) -> list[Item]:
    """The borrowed policy goes; the role too, if it was made for the run."""
    found = _found(role)
    if found is None:
        return []
    if role.make:
        _check_is_made_here(role, found)
    items = [Item(f"{_arn(role)} policy {POLICY}", _borrowed(role), None, partial(_delete_policy, role))]
    if role.make:
        items.append(Item(_arn(role), found["AssumeRolePolicyDocument"], None, partial(_delete_role, role)))
    return items


def caller(iam: Client, identity: Identity) -> str:
    """The ARN by which a trust policy names whose session this is; a session's own does not show a role's path."""
    kind, _separator, rest = identity.arn.split(":", 5)[5].partition("/")
    if kind != "assumed-role":
        return identity.arn
    name = rest.partition("/")[0]
    with attempt(f"find this task's own role {name}", identity.account, "iam:GetRole on itself"):
        return str(iam.get_role(aws_retry=True, RoleName=name)["Role"]["Arn"])


def _found(role: Role) -> Document | None:
    try:
        with _on_role(role, "look at", "iam:GetRole"):
            found: Document = role.iam.get_role(aws_retry=True, RoleName=role.name)["Role"]
    except NotThereError:
        return None
    return found


def _check_is_made_here(role: Role, found: Document | None) -> None:
    if found is not None and _TAG not in (found.get("Tags") or []):
        raise RefusedError(
            f"The role {role.name} in account {role.identity.account} was not made for trials: it lacks the tag "
            f"{_TAG['Key']}={_TAG['Value']}. It is left as it is. Give make: false to lend rights to a role that "
            "somebody else keeps."
        )


def _check_is_left(role: Role, found: Document) -> None:
    if _is_of_a_run(found["CreateDate"]):
        raise _running(role.identity, _arn(role), found["CreateDate"])


def _made(role: Role, found: Document | None, alone: bool) -> Item:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OnlyWhoTries",
                "Effect": "Allow",
                "Principal": {"AWS": caller(role.iam, role.identity)},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    if found is None or alone:
        make = partial(_make_anew if found else _create_role, role, trust, alone)
        return Item(_arn(role), None, trust, make)
    before = found["AssumeRolePolicyDocument"]
    differs = compare_policies(before, trust)
    return Item(_arn(role), before if differs else trust, trust, partial(_update_trust, role, trust))


def _borrowed(role: Role) -> Document | None:
    try:
        with _on_role(role, "read the borrowed policy of", "iam:GetRolePolicy"):
            answer = role.iam.get_role_policy(aws_retry=True, RoleName=role.name, PolicyName=POLICY)
    except NotThereError:
        return None
    document: Document = answer["PolicyDocument"]
    return document


def _create_role(role: Role, trust: Document, alone: bool) -> None:
    try:
        with _on_role(role, "make", "iam:CreateRole and iam:TagRole"):
            role.iam.create_role(
                aws_retry=True,
                RoleName=role.name,
                AssumeRolePolicyDocument=json.dumps(trust),
                Description="Made for trials of access, and removed after them",
                Tags=[_TAG],
            )
    except RefusedError as refused:
        # Of two that begin at the same moment, IAM lets one make what is not there yet.
        cause = refused.__cause__
        if alone and isinstance(cause, ClientError) and code_of(cause) == "EntityAlreadyExists":
            raise _running(role.identity, _arn(role), datetime.now(UTC)) from refused
        raise


def _make_anew(role: Role, trust: Document, alone: bool) -> None:
    """A role that a killed run left would not show that a run is at work: since when, its day of making says."""
    found = _found(role)
    if found is not None:
        _check_is_left(role, found)
        with suppress(NotThereError):
            _delete_policy(role)
        with suppress(NotThereError):
            _delete_role(role)
    _create_role(role, trust, alone)


def _update_trust(role: Role, trust: Document) -> None:
    with _on_role(role, "change whom it trusts of", "iam:UpdateAssumeRolePolicy"):
        role.iam.update_assume_role_policy(aws_retry=True, RoleName=role.name, PolicyDocument=json.dumps(trust))


def _put_policy(role: Role) -> None:
    with _on_role(role, "lend rights to", "iam:PutRolePolicy"):
        role.iam.put_role_policy(
            aws_retry=True, RoleName=role.name, PolicyName=POLICY, PolicyDocument=json.dumps(role.policy)
        )


def _delete_policy(role: Role) -> None:
    with _on_role(role, "take the borrowed rights from", "iam:DeleteRolePolicy"):
        role.iam.delete_role_policy(aws_retry=True, RoleName=role.name, PolicyName=POLICY)


def _delete_role(role: Role) -> None:
    with _on_role(role, "remove", "iam:DeleteRole"):
        role.iam.delete_role(aws_retry=True, RoleName=role.name)


def _arn(role: Role) -> str:
    return role.identity.role_arn(role.name)


def _on_role(role: Role, doing: str, permission: str) -> Any:  # noqa: ANN401 - a context manager
    return attempt(f"{doing} the role {role.name}", role.identity.account, f"{permission} on {_arn(role)}")
