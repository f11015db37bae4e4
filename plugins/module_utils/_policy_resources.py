# SPDX-License-Identifier: GPL-3.0-or-later
"""The resources that carry a policy of their own: how they are named, and what AWS lets their policies hold. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


class RefusedError(ValueError):
    """Something that was asked for and is not done: says what, why, and what to do instead."""


@dataclass(frozen=True)
class Limits:
    """What a policy may hold: bytes of UTF-8, or for IAM characters that are not white space."""

    size: int
    white_space_counts: bool = True
    statements: int | None = None
    actions: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of resource: an ARN ends in `prefix` and a name that `names` matches; `service` is boto3's."""

    noun: str
    service: str
    prefix: str
    names: str
    limits: Limits


# Limits are the quotas that the services document, or their API models state. A trust policy may have 2,048 characters
# unless the account's quota was raised, and never more than what stands here; in between AWS itself says no.
KINDS = {
    "s3_bucket": Kind("S3 bucket", "s3", "", r"[a-z0-9][a-z0-9.-]{2,62}", Limits(20 * 1024)),
    "ecr_repository": Kind("ECR repository", "ecr", "repository/", r"[a-z0-9][a-z0-9._/-]*", Limits(10_240)),
    "kms_key": Kind("KMS key", "kms", "key/", r"alias/[\w/-]+|[\w-]+", Limits(32 * 1024)),
    "secretsmanager_secret": Kind(
        "Secrets Manager secret", "secretsmanager", "secret:", r"[\w/+=.@-]+", Limits(20_480)
    ),
    "sns_topic": Kind("SNS topic", "sns", "", r"[\w-]+(\.fifo)?", Limits(30 * 1024, statements=100)),
    "sqs_queue": Kind("SQS queue", "sqs", "", r"[\w-]+(\.fifo)?", Limits(8192, statements=20, actions=7)),
    "iam_role": Kind("IAM role", "iam", "role/", r"([\w+=,.@-]+/)*[\w+=,.@-]+", Limits(4096, white_space_counts=False)),
}
_WITHOUT_REGION = ("s3", "iam")
_WITHOUT_ACCOUNT = ("s3",)


@dataclass(frozen=True)
class Resource:
    """One resource of one account. `name` is what the service's API takes for it."""

    type: str
    name: str
    arn: str
    account: str

    @property
    def kind(self) -> Kind:
        return KINDS[self.type]

    @property
    def label(self) -> str:
        """How messages speak of it."""
        return f"{self.kind.noun} {self.name} of account {self.account}"

    @property
    def partition(self) -> str:
        return self.arn.split(":")[1]

    @property
    def region(self) -> str:
        """Empty for a bucket and a role."""
        return self.arn.split(":")[3]


def resource_of(reference: str, resource_type: str | None, account: str, region: str, partition: str) -> Resource:
    """The resource that an ARN, or a name with its type, stands for to a session of *account* in *region*."""
    if reference.startswith("arn:"):
        return _by_arn(reference, resource_type, account)
    if resource_type is None:
        raise RefusedError(
            f"'{reference}' is a name, which does not say what it names: give resource_type as well "
            f"({', '.join(KINDS)}), or give the ARN."
        )
    kind = KINDS[resource_type]
    if re.fullmatch(kind.names, reference) is None:
        raise RefusedError(f"'{reference}' cannot be the name of a resource of type {resource_type} ({kind.noun}).")
    if kind.service in _WITHOUT_REGION:
        region = ""
    elif not region:
        raise RefusedError(f"The {kind.noun} '{reference}' is in a region: set the region of the task or the host.")
    owner = "" if kind.service in _WITHOUT_ACCOUNT else account
    prefix = "" if reference.startswith("alias/") else kind.prefix
    arn = f"arn:{partition}:{kind.service}:{region}:{owner}:{prefix}{reference}"
    return Resource(resource_type, _name_for_api(resource_type, reference), arn, account)


def _by_arn(arn: str, resource_type: str | None, account: str) -> Resource:
    parts = arn.split(":", 5)
    found = next((each for each in KINDS if len(parts) == 6 and _is_arn_of(KINDS[each], parts)), None)
    if found is None:
        raise RefusedError(
            f"'{arn}' is not the ARN of a resource whose policy is kept here: {', '.join(KINDS)} are. "
            "An S3 bucket is named without objects, and a role by its own ARN, not by that of a session."
        )
    if resource_type not in (None, found):
        raise RefusedError(f"'{arn}' is of type {found}, but resource_type says {resource_type}.")
    if parts[4] not in ("", account):
        raise RefusedError(
            f"'{arn}' belongs to account {parts[4]}, but this task runs as account {account}. A policy is kept by its "
            f"resource's own account: run the task on the host of account {parts[4]}."
        )
    # The end of a secret's ARN is not its name, but the API takes the ARN as well.
    name = arn if found == "secretsmanager_secret" else parts[5].removeprefix(KINDS[found].prefix)
    return Resource(found, _name_for_api(found, name), arn, account)


def _is_arn_of(kind: Kind, parts: list[str]) -> bool:
    service, region, account, rest = parts[2:]
    prefix = "" if rest.startswith("alias/") else kind.prefix
    return (
        service == kind.service
        and bool(region) is (service not in _WITHOUT_REGION)
        and bool(account) is (service not in _WITHOUT_ACCOUNT)
        and rest.startswith(prefix)
        and re.fullmatch(kind.names, rest.removeprefix(prefix)) is not None
    )


def _name_for_api(resource_type: str, name: str) -> str:
    """IAM takes a role's name without its path."""
    return name.rpartition("/")[2] if resource_type == "iam_role" else name
