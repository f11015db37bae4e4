# SPDX-License-Identifier: GPL-3.0-or-later
"""Where AWS keeps the policy of each kind of resource: read it, write it, remove it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.errors import AWSErrorHandler
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError, is_ansible_aws_error_code
from ansible_collections.localgov.platform.plugins.module_utils._policy_exchange import ContestedError, Store
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import (
    RefusedError,
    Resource,
    resource_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import older_sessions_denied

# A client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs.
Client = Any

_DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException")
_NO_RESOURCE = (
    "AWS.SimpleQueueService.NonExistentQueue",
    "NoSuchBucket",
    "NoSuchEntity",
    "NotFound",
    "NotFoundException",
    "QueueDoesNotExist",
    "RepositoryNotFoundException",
    "ResourceNotFoundException",
)
_NO_POLICY = ("NoSuchBucketPolicy", "RepositoryPolicyNotFoundException")
_CONTESTED = ("ConcurrentModification", "ConcurrentModificationException", "OperationAborted")


class AnsiblePolicyError(AnsibleAWSError):  # type: ignore[misc]  # amazon.aws has no type stubs
    """A call of AWS that failed: says for which resource of which account."""


class ResourceMissingError(RefusedError):
    """There is no such resource."""


class PolicyErrorHandler(AWSErrorHandler):  # type: ignore[misc]  # amazon.aws has no type stubs
    _CUSTOM_EXCEPTION = AnsiblePolicyError


@dataclass(frozen=True)
class _Calls:
    """The calls of one service, and the permission that each needs. A policy that cannot be absent has no `remove`."""

    read: Callable[[], str | None]
    write: Callable[[str], object]
    permissions: tuple[str, str, str]
    remove: Callable[[], object] | None = None


def store_of(client: Client, resource: Resource) -> Store:
    """The store of *resource*'s policy; *client* is one of its service, in its region."""
    calls: _Calls = _CALLS[resource.type](client, resource)
    return Store(resource, partial(_read, calls, resource), partial(_write, calls, resource))


def _read(calls: _Calls, resource: Resource) -> str | None:
    try:
        policy: str | None = attempt("read the policy of", resource, calls.permissions[0], calls.read)
        return policy
    except is_ansible_aws_error_code(_NO_POLICY):
        return None


def _write(calls: _Calls, resource: Resource, text: str | None) -> None:
    try:
        if text is not None:
            attempt("write the policy of", resource, calls.permissions[1], partial(calls.write, text))
        elif calls.remove is not None:
            attempt("remove the policy of", resource, calls.permissions[2], calls.remove)
    except is_ansible_aws_error_code(_NO_POLICY):
        return  # removed by somebody else, or by a call whose answer was lost
    except is_ansible_aws_error_code(_CONTESTED) as error:  # pylint: disable=duplicate-except
        raise ContestedError from error


def guarded(description: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - boto3's
    """Make *call*; an error says what could not be done."""
    return PolicyErrorHandler.common_error_handler(description)(call)()


def attempt(verb: str, resource: Resource, permission: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - boto3's
    """Make *call*; an error says on what, and a refusal also what the session needs."""
    try:
        return guarded(f"{verb} the {resource.label}", call)
    except is_ansible_aws_error_code(_NO_RESOURCE):
        raise ResourceMissingError(f"There is no {resource.label}. Make it first, or correct its name.") from None
    except is_ansible_aws_error_code(_DENIED) as error:  # pylint: disable=duplicate-except
        raise AnsiblePolicyError(
            f"{error.message}. This task's identity needs {permission} on {resource.arn}, with nothing denying it",
            exception=error.exception,
        ) from error


# --- Finding ---


def located(client: Client, resource: Resource) -> Resource:
    """*resource* with its real ARN, where that does not follow from its name."""
    if resource.type == "kms_key":
        return replace(resource, arn=str(_key_metadata(client, resource)["Arn"]))
    if resource.type == "iam_role":
        role = attempt("find", resource, "iam:GetRole", lambda: client.get_role(aws_retry=True, RoleName=resource.name))
        return replace(resource, arn=str(role["Role"]["Arn"]))
    if resource.type == "secretsmanager_secret":
        found = attempt("find", resource, "secretsmanager:GetResourcePolicy", lambda: _secret(client, resource))
        return replace(resource, arn=str(found["ARN"]))
    return resource


@dataclass(frozen=True)
class EncryptionKey:
    """The key by which a bucket encrypts, and why its policy cannot be kept from here, if so."""

    resource: Resource
    obstacle: str = ""


def encryption_key(client: Client, key_client: Callable[[Resource], Client], bucket: Resource) -> EncryptionKey | None:
    """The key of *bucket*; None where S3 encrypts by itself."""
    name = _key_of_bucket(client, bucket)
    if name is None:
        return None
    region = str(client.meta.region_name)
    owner = name.split(":")[4] if name.startswith("arn:") else bucket.account
    # Where none is named, S3 takes the key that AWS keeps for it in each account.
    key = resource_of(name or "alias/aws/s3", "kms_key", owner, region, bucket.partition)
    if owner != bucket.account:
        return EncryptionKey(key, _KEY_OF_ANOTHER_ACCOUNT)
    if key.name.startswith("alias/aws/"):
        return EncryptionKey(key, _KEY_OF_AWS)
    metadata = _key_metadata(key_client(key), key)
    return EncryptionKey(replace(key, arn=str(metadata["Arn"])), _KEY_OF_AWS if metadata["KeyManager"] == "AWS" else "")


_KEY_OF_ANOTHER_ACCOUNT = (
    "which is another account's to open. Trust the roles with it there, by access: decrypt, and set "
    "include_encryption_key: false here."
)
_KEY_OF_AWS = (
    "which AWS keeps for this account alone. Encrypt the bucket with a key of its own, or with AES256, so that others "
    "can be let in."
)


@dataclass
class KeysOfBucket:
    """The keys that are `open` for a bucket, those `noted` as once opened, and ARNs of those not to be looked at."""

    open: list[Resource] = field(default_factory=list)
    noted: list[Resource] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def keys_with(client: Client, bucket: Resource, sid: str, *, look_for_notes: bool = False) -> KeysOfBucket:
    """The keys of *bucket*'s account and region whose policies hold *sid*, or whose tags do."""
    found = KeysOfBucket()
    for key in _keys_of_account(client, bucket):
        try:
            if f'"{sid}' in (store_of(client, key).read() or ""):
                found.open.append(key)
            if look_for_notes and is_noted(client, key, sid):
                found.noted.append(key)
        except ResourceMissingError:
            continue
        except is_ansible_aws_error_code(_DENIED):
            found.unseen.append(key.arn)
    return found


def region_of(client: Client, bucket: Resource) -> str:
    where = _bucket_and_owner(bucket)
    call = partial(client.get_bucket_location, aws_retry=True, **where)
    name = attempt("find the region of", bucket, "s3:GetBucketLocation", call).get("LocationConstraint")
    # As S3 has named its oldest two regions.
    return {"": "us-east-1", "EU": "eu-west-1"}.get(str(name or ""), str(name))


def is_noted(client: Client, key: Resource, sid: str) -> bool:
    """Whether *key* says itself that it was opened under *sid*, which its policy no longer says once it is closed."""
    marker: dict[str, str] = {}
    while True:
        call = partial(client.list_resource_tags, aws_retry=True, KeyId=key.arn, **marker)
        page = attempt("list the tags of", key, "kms:ListResourceTags", call)
        if any(tag["TagKey"] == sid for tag in page["Tags"]):
            return True
        if not page.get("Truncated"):
            return False
        marker = {"Marker": str(page["NextMarker"])}


def note(client: Client, key: Resource, sid: str, bucket: Resource) -> None:
    """Leave on *key* that it is opened under *sid*."""
    tags = [{"TagKey": sid, "TagValue": bucket.name}]
    call = partial(client.tag_resource, aws_retry=True, KeyId=key.arn, Tags=tags)
    try:
        attempt("tag", key, "kms:TagResource", call)
    except is_ansible_aws_error_code("KMSInvalidStateException"):
        return  # about to be deleted, and then nothing is left to be opened by it


def _keys_of_account(client: Client, bucket: Resource) -> Iterator[Resource]:
    region = str(client.meta.region_name)
    every = Resource("kms_key", "*", f"arn:{bucket.partition}:kms:{region}:{bucket.account}:key/*", bucket.account)
    marker: dict[str, str] = {}
    while True:
        page = attempt("list", every, "kms:ListKeys", partial(client.list_keys, aws_retry=True, **marker))
        for key in page["Keys"]:
            yield resource_of(str(key["KeyArn"]), "kms_key", bucket.account, region, bucket.partition)
        if not page.get("Truncated"):
            return
        marker = {"Marker": str(page["NextMarker"])}


def _key_metadata(client: Client, key: Resource) -> dict[str, Any]:
    name = key.name if key.name.startswith("alias/") else key.arn
    described = attempt("find", key, "kms:DescribeKey", lambda: client.describe_key(aws_retry=True, KeyId=name))
    metadata: dict[str, Any] = described["KeyMetadata"]
    return metadata


def _key_of_bucket(client: Client, bucket: Resource) -> str | None:
    """ARN, id or alias of the key; empty for the one that AWS keeps for S3; None for S3's own encryption."""
    try:
        found = attempt(
            "read the encryption of",
            bucket,
            "s3:GetEncryptionConfiguration",
            lambda: client.get_bucket_encryption(aws_retry=True, **_bucket_and_owner(bucket)),
        )
    except is_ansible_aws_error_code("ServerSideEncryptionConfigurationNotFoundError"):
        return None
    for rule in found["ServerSideEncryptionConfiguration"]["Rules"]:
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        if str(default.get("SSEAlgorithm", "")).startswith("aws:kms"):
            return str(default.get("KMSMasterKeyID", ""))
    return None


_LOCKED_BY_AWS = (
    "the key that AWS keeps for this account alone, so no other account can read it. Encrypt the secret with a KMS key "
    "of its own (secretsmanager:UpdateSecret with KmsKeyId), and trust the roles with that key by access: decrypt."
)


def obstacle_of_secret(client: Client, key_client: Callable[[Resource], Client], secret: Resource) -> str:
    """Why no other account can read *secret*, whatever its policy says; empty if nothing stands against it."""
    described = attempt(
        "describe",
        secret,
        "secretsmanager:DescribeSecret",
        lambda: client.describe_secret(aws_retry=True, SecretId=secret.name),
    )
    name = str(described.get("KmsKeyId") or "alias/aws/secretsmanager").rpartition(":")[2].removeprefix("key/")
    if name.startswith("alias/aws/"):
        return _LOCKED_BY_AWS
    owner = str(described["KmsKeyId"]).split(":")[4] if described["KmsKeyId"].startswith("arn:") else secret.account
    if owner != secret.account:
        return ""  # AWS's own keys encrypt in their own account only
    key = resource_of(name, "kms_key", owner, secret.region, secret.partition)
    return _LOCKED_BY_AWS if _key_metadata(key_client(key), key)["KeyManager"] == "AWS" else ""


# --- What outlasts a revocation ---

PENDING = "PendingConfirmation"


def has_revoked_sessions(client: Client, role: Resource, sid: str) -> bool:
    """Whether the sessions of *role* were revoked for *sid* at any time."""
    named = {"RoleName": role.name, "PolicyName": _revocation(sid)}
    try:
        attempt("read a policy of", role, "iam:GetRolePolicy", lambda: client.get_role_policy(aws_retry=True, **named))
    except ResourceMissingError:
        return False
    return True


def _revocation(sid: str) -> str:
    return f"{sid}RevokedSessions"


def revoke_sessions(client: Client, role: Resource, sid: str, now: datetime) -> None:
    """End the sessions of *role* that were issued before *now*, or in the minute after."""
    attempt(
        "revoke the sessions of",
        role,
        "iam:PutRolePolicy",
        lambda: client.put_role_policy(
            aws_retry=True,
            RoleName=role.name,
            PolicyName=_revocation(sid),
            PolicyDocument=json.dumps(older_sessions_denied(now)),
        ),
    )


def foreign_subscriptions(client: Client, topic: Resource) -> list[dict[str, str]]:
    """Subscriptions of other accounts to *topic*. One that is not confirmed yet has `PENDING` in place of an ARN."""
    found: list[dict[str, str]] = []
    token: dict[str, str] = {}
    while True:
        call = partial(client.list_subscriptions_by_topic, aws_retry=True, TopicArn=topic.arn, **token)
        page = attempt("list the subscriptions of", topic, "sns:ListSubscriptionsByTopic", call)
        found += [
            {
                "subscription_arn": str(each["SubscriptionArn"]),
                "owner": str(each["Owner"]),
                "protocol": str(each["Protocol"]),
                "endpoint": str(each["Endpoint"]),
            }
            for each in page["Subscriptions"]
            if each["Owner"] != topic.account and each["SubscriptionArn"] != "Deleted"
        ]
        if not page.get("NextToken"):
            return found
        token = {"NextToken": str(page["NextToken"])}


# --- Calls of each service ---


def _bucket_and_owner(bucket: Resource) -> dict[str, str]:
    """The owner is checked by S3: a name alone might have become somebody else's bucket."""
    return {"Bucket": bucket.name, "ExpectedBucketOwner": bucket.account}


def _of_bucket(client: Client, resource: Resource) -> _Calls:
    where = _bucket_and_owner(resource)
    return _Calls(
        read=lambda: str(client.get_bucket_policy(aws_retry=True, **where)["Policy"]),
        write=lambda text: client.put_bucket_policy(aws_retry=True, Policy=text, **where),
        remove=lambda: client.delete_bucket_policy(aws_retry=True, **where),
        permissions=("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"),
    )


def _of_repository(client: Client, resource: Resource) -> _Calls:
    where = {"registryId": resource.account, "repositoryName": resource.name}
    return _Calls(
        read=lambda: str(client.get_repository_policy(aws_retry=True, **where)["policyText"]),
        write=lambda text: client.set_repository_policy(aws_retry=True, policyText=text, **where),
        remove=lambda: client.delete_repository_policy(aws_retry=True, **where),
        permissions=("ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy", "ecr:DeleteRepositoryPolicy"),
    )


def _of_key(client: Client, resource: Resource) -> _Calls:
    where = {"KeyId": resource.arn, "PolicyName": "default"}
    return _Calls(
        read=lambda: str(client.get_key_policy(aws_retry=True, **where)["Policy"]),
        write=lambda text: client.put_key_policy(aws_retry=True, Policy=text, **where),
        permissions=("kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:PutKeyPolicy"),
    )


def _secret(client: Client, resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = client.get_resource_policy(aws_retry=True, SecretId=resource.name)
    return found


def _of_secret(client: Client, resource: Resource) -> _Calls:
    where = {"SecretId": resource.name}
    return _Calls(
        read=lambda: _secret(client, resource).get("ResourcePolicy"),
        write=lambda text: client.put_resource_policy(aws_retry=True, ResourcePolicy=text, **where),
        remove=lambda: client.delete_resource_policy(aws_retry=True, **where),
        permissions=(
            "secretsmanager:GetResourcePolicy",
            "secretsmanager:PutResourcePolicy",
            "secretsmanager:DeleteResourcePolicy",
        ),
    )


def _of_topic(client: Client, resource: Resource) -> _Calls:
    where = {"TopicArn": resource.arn}
    return _Calls(
        read=lambda: client.get_topic_attributes(aws_retry=True, **where)["Attributes"].get("Policy"),
        write=lambda text: client.set_topic_attributes(
            aws_retry=True, AttributeName="Policy", AttributeValue=text, **where
        ),
        permissions=("sns:GetTopicAttributes", "sns:SetTopicAttributes", "sns:SetTopicAttributes"),
    )


def _of_queue(client: Client, resource: Resource) -> _Calls:
    def url() -> str:
        owner = {"QueueName": resource.name, "QueueOwnerAWSAccountId": resource.account}
        return str(client.get_queue_url(aws_retry=True, **owner)["QueueUrl"])

    def read() -> str | None:
        found = client.get_queue_attributes(aws_retry=True, QueueUrl=url(), AttributeNames=["Policy"])
        policy: str | None = found.get("Attributes", {}).get("Policy")
        return policy

    def write(text: str) -> object:
        return client.set_queue_attributes(aws_retry=True, QueueUrl=url(), Attributes={"Policy": text})

    return _Calls(
        read=read,
        write=write,
        remove=partial(write, ""),
        permissions=("sqs:GetQueueUrl and sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:SetQueueAttributes"),
    )


def _of_role(client: Client, resource: Resource) -> _Calls:
    def read() -> str:
        # botocore has parsed it already.
        document = client.get_role(aws_retry=True, RoleName=resource.name)["Role"]["AssumeRolePolicyDocument"]
        return document if isinstance(document, str) else json.dumps(document)

    return _Calls(
        read=read,
        write=lambda text: client.update_assume_role_policy(
            aws_retry=True, RoleName=resource.name, PolicyDocument=text
        ),
        permissions=("iam:GetRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateAssumeRolePolicy"),
    )


_CALLS = {
    "s3_bucket": _of_bucket,
    "ecr_repository": _of_repository,
    "kms_key": _of_key,
    "secretsmanager_secret": _of_secret,
    "sns_topic": _of_topic,
    "sqs_queue": _of_queue,
    "iam_role": _of_role,
}
