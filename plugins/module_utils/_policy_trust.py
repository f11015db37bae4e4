# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that let roles of an organisational unit reach a resource of another account. Pure.

Every statement has two locks: the caller's account is in the unit, and the caller is one of the roles. Both are
conditions on the caller and not its name as principal, so that a statement may be older than the role that it lets in,
and outlives its deletion. AWS would turn the principal of a deleted role into a dead identifier.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError, Resource

Statement = dict[str, Any]

# What a statement is for ends its Sid, and finds it again. None of these words ends in another, so that statements of
# the prefixes `Data` and `DataPartner` are never taken for each other's.
PURPOSES = (
    "List",
    "Read",
    "Pull",
    "Decrypt",
    "Assume",
    "Publish",
    "Subscribe",
    "Send",
    "Receive",
    "OnBucket",
    "OnObjects",
    "Actions",
    "Closed",
)

PRESETS: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "s3_bucket": {
        "list": {"List": ("s3:ListBucket",)},
        "read": {"List": ("s3:ListBucket",), "Read": ("s3:GetObject",)},
    },
    "ecr_repository": {
        "pull": {"Pull": ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")},
    },
    "kms_key": {"decrypt": {"Decrypt": ("kms:Decrypt", "kms:DescribeKey")}},
    "secretsmanager_secret": {
        "read": {"Read": ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue")},
    },
    "sns_topic": {"publish": {"Publish": ("sns:Publish",)}, "subscribe": {"Subscribe": ("sns:Subscribe",)}},
    "sqs_queue": {
        "send": {"Send": ("sqs:GetQueueUrl", "sqs:SendMessage")},
        "receive": {
            "Receive": (
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:GetQueueUrl",
                "sqs:ReceiveMessage",
            )
        },
    },
    "iam_role": {"assume": {"Assume": ("sts:AssumeRole",)}},
}

# What may be shared action by action: reading and writing contents. Whatever is not listed changes how the resource is
# kept, and with that whoever is let in could let themselves in again, keep a way in that no statement shows, or destroy
# what outlasts a revocation.
SHAREABLE: dict[str, tuple[str, ...]] = {
    "s3_bucket": (
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:GetBucketLocation",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetBucketTagging",
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:GetObject",
        "s3:GetObjectAttributes",
        "s3:GetObjectLegalHold",
        "s3:GetObjectRetention",
        "s3:GetObjectTagging",
        "s3:GetObjectVersion",
        "s3:GetObjectVersionAttributes",
        "s3:GetObjectVersionTagging",
        "s3:ListBucket",
        "s3:ListBucketMultipartUploads",
        "s3:ListBucketVersions",
        "s3:ListMultipartUploadParts",
        "s3:PutObject",
    ),
    "ecr_repository": (
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:CompleteLayerUpload",
        "ecr:DescribeImageScanFindings",
        "ecr:DescribeImages",
        "ecr:DescribeRepositories",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:ListImages",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
    ),
    "kms_key": (
        "kms:Decrypt",
        "kms:DescribeKey",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyPair",
        "kms:GenerateDataKeyPairWithoutPlaintext",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:GenerateMac",
        "kms:GetPublicKey",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
        "kms:Sign",
        "kms:Verify",
        "kms:VerifyMac",
    ),
    "secretsmanager_secret": (
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:ListSecretVersionIds",
        "secretsmanager:PutSecretValue",
    ),
    "sns_topic": ("sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic", "sns:Publish", "sns:Subscribe"),
    "sqs_queue": (
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:GetQueueUrl",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
    ),
    "iam_role": ("sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"),
}
# Reading a topic is subscribing to it.
_OUTLASTING = {
    "sns_topic": " Of these sns:Subscribe does keep one, the subscription. It is listed when you revoke, and you end "
    "it with sns:Unsubscribe."
}
_TAKES_PREFIX = frozenset({"s3:listbucket", "s3:listbucketversions"})
_READS_OBJECTS = frozenset({"s3:getobject", "s3:getobjectversion"})
_WRITES_OBJECTS = frozenset({"s3:putobject"})
_OBJECT_ACTIONS_OF_OTHER_NAMES = frozenset({"s3:abortmultipartupload", "s3:listmultipartuploadparts"})
# IAM takes seconds to follow a change everywhere, and a session's time of issue is told by the second.
REVOCATION_LEEWAY = timedelta(seconds=60)
# Roles of services and of IAM Identity Center, which every account has.
_PATHS_OF_AWS = ("aws-reserved/", "aws-service-role/", "service-role/")
_NAMES_OF_AWS = ("AWSReservedSSO_", "AWSServiceRoleFor")
# A name is a lock by what it begins or ends with.
_LITERAL_LENGTH = 6


@dataclass(frozen=True)
class Trust:
    """What a task asks for. `access` is a preset's name; without it `actions` are meant."""

    sid: str
    access: str | None = None
    actions: tuple[str, ...] = ()
    organisation_id: str | None = None
    organisational_unit_paths: tuple[str, ...] = ()
    role_patterns: tuple[str, ...] = ()
    role_arns: tuple[str, ...] = ()
    expires: str | None = None
    prefixes: tuple[str, ...] = ()


def check_sid(sid: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9]{1,64}", sid) is None:
        raise RefusedError(f"sid '{sid}' must be 1 to 64 letters and digits; IAM takes nothing else in a Sid.")


def check(trust: Trust) -> None:
    """Raise RefusedError for a trust that lacks a lock, or has one that would not hold."""
    check_sid(trust.sid)
    _check_locks(trust)
    _check_organisation(trust)
    for pattern in trust.role_patterns:
        _check_role_pattern(pattern)
    for arn in trust.role_arns:
        _check_role_arn(arn)
    for prefix in trust.prefixes:
        _check_prefix(prefix)
    expiry(trust.expires)


def _check_locks(trust: Trust) -> None:
    missing = []
    if not trust.organisation_id or not trust.organisational_unit_paths:
        absent = [name for name in ("organisation_id", "organisational_unit_paths") if not getattr(trust, name)]
        missing.append(f"the organisation's ({' and '.join(absent)})")
    if not trust.role_patterns and not trust.role_arns:
        missing.append("the role's (role_patterns or role_arns)")
    if missing:
        raise RefusedError(
            f"Nothing is shared without both locks, and this lacks {' and '.join(missing)}. A statement without it "
            "would let in more than members of the organisational unit who hold the required role."
        )


def _check_organisation(trust: Trust) -> None:
    organisation = str(trust.organisation_id)
    if re.fullmatch(r"o-[a-z0-9]{10,32}", organisation) is None:
        raise RefusedError(f"organisation_id '{organisation}' is not the id of an organisation, such as o-a1b2c3d4e5.")
    unit = rf"{organisation}/r-[a-z0-9]{{4,32}}(/ou-[a-z0-9]{{4,32}}-[a-z0-9]{{8,32}})+/\*?"
    for path in trust.organisational_unit_paths:
        if re.fullmatch(unit, path) is None:
            raise RefusedError(
                f"organisational_unit_paths: '{path}' is not the path of a unit of {organisation}. It goes from the "
                f"organisation over its root to the unit, such as {organisation}/r-ab12/ou-ab12-11111111/*. It ends in "
                "/* for the unit with all units below it, or in / for the accounts right in the unit. Ended otherwise "
                "it would match nothing, or another unit as well."
            )


def _check_role_pattern(pattern: str) -> None:
    name = r"[\w+=,.@*?/-]+"
    if re.fullmatch(rf"{name}|arn:[a-z-]+:iam::(\d{{12}}|\*):role/{name}", pattern, re.ASCII) is None:
        raise RefusedError(
            f"role_patterns: '{pattern}' is not a pattern of role names, such as localgov-*-execution, nor of role "
            "ARNs, such as arn:aws:iam::111122223333:role/localgov-*."
        )
    role = pattern.partition(":role/")[2] or pattern
    parts = re.split(r"[*?]", role)
    beginning = _without_names_of_aws(parts[0].lstrip("/"))
    if len(parts) > 1 and max(len(beginning), len(parts[-1].rstrip("/"))) < _LITERAL_LENGTH:
        raise RefusedError(
            f"role_patterns: '{pattern}' fits roles of almost any name, so it is no lock. Begin or end it with "
            f"at least {_LITERAL_LENGTH} characters that the roles have in common, as localgov-*-execution does, or "
            "name the roles without wildcards. Paths and names that AWS gives to roles in every account, such as "
            "service-role/, do not count."
        )


def _without_names_of_aws(beginning: str) -> str:
    """What is left of a pattern's *beginning* that not every account has roles by."""
    for path in _PATHS_OF_AWS:
        if path.startswith(beginning):
            return ""
        if beginning.startswith(path):
            # Further down there are names of services and regions.
            beginning = beginning.rpartition("/")[2]
            break
    for name in _NAMES_OF_AWS:
        if name.startswith(beginning):
            return ""
        beginning = beginning.removeprefix(name)
    return beginning


def _check_role_arn(arn: str) -> None:
    if re.fullmatch(r"arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+", arn, re.ASCII) is None:
        raise RefusedError(
            f"role_arns: '{arn}' is not the ARN of one role, such as arn:aws:iam::111122223333:role/localgov-run-task. "
            "A session is let in by its role's ARN; wildcards belong into role_patterns."
        )


def _check_prefix(prefix: str) -> None:
    if not prefix.strip("/") or prefix.startswith("/") or re.search(r"[*?$]", prefix):
        raise RefusedError(
            f"prefixes: '{prefix}' is not a folder of keys, such as ssda903 or ssda903/2026. It has no wildcards and "
            "does not begin with a slash; leave prefixes out to share the whole bucket."
        )


def expiry(text: str | None) -> str | None:
    """A date, or a time with its zone, as policies write it; a date is its beginning in UTC."""
    if text is None:
        return None
    moment = _moment(text)
    if moment is None or moment.tzinfo is None:
        raise RefusedError(
            f"expires '{text}' is neither a date, such as 2027-03-31, nor a time with its zone, such as "
            "2027-03-31T18:00:00Z."
        )
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime | None:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def has_expired(trust: Trust, now: datetime) -> bool:
    end = expiry(trust.expires)
    return end is not None and datetime.fromisoformat(end) <= now


# --- Statements ---


def wanted_statements(trust: Trust, resource: Resource) -> list[Statement]:
    """The statements that *resource*'s policy needs for *trust*, which has been checked."""
    if trust.prefixes and resource.type != "s3_bucket":
        raise RefusedError(
            f"prefixes narrow what is shared of an S3 bucket; they mean nothing for the {resource.label}."
        )
    conditions = _locks(trust, resource.partition)
    return [
        {
            "Sid": trust.sid + purpose,
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": _one_or_all(actions),
            **_resource_element(purpose, resource, trust.prefixes),
            "Condition": {**conditions, **_listing_condition(purpose, trust.prefixes)},
        }
        for purpose, actions in _purposes(trust, resource).items()
    ]


def narrowed(now: list[Statement], wanted: list[Statement]) -> list[Statement]:
    """What is let in by one's own statements both as they are *now* and as *wanted*: never more than by either."""
    there = {statement["Sid"]: statement for statement in now}
    found = (_in_both(there[each["Sid"]], each) for each in wanted if each["Sid"] in there)
    return [statement for statement in found if statement is not None]


def _in_both(now: Statement, wanted: Statement) -> Statement | None:
    """None where nobody is let in by both, or where *now* has a form that this module does not write."""
    if set(now) != set(wanted) or now["Effect"] != "Allow" or now["Principal"] not in ("*", {"AWS": "*"}):
        return None
    shared = {name: _values_in_both(now[name], wanted[name]) for name in ("Action", "Resource")}
    conditions = _conditions_in_both(now["Condition"], wanted["Condition"])
    if conditions is None or not all(shared.values()):
        return None
    return {**wanted, **{name: _one_or_all(values) for name, values in shared.items()}, "Condition": conditions}


def _conditions_in_both(now: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Each test of either; None if one of them is met by nothing."""
    result = {operator: dict(tests) for operator, tests in now.items()}
    for operator, tests in wanted.items():
        for key, value in tests.items():
            mine = result.setdefault(operator, {})
            in_both = _ends_in_both if operator == "DateLessThan" else _values_in_both
            both = in_both(mine[key], value) if key in mine else [value]
            if not both:
                return None
            mine[key] = _one_or_all(both)
    return result


def _ends_in_both(now: Any, wanted: str) -> list[str]:  # noqa: ANN401 - what somebody may have written
    moment = _moment(now) if isinstance(now, str) else None
    if moment is None or moment.tzinfo is None:
        return []
    return [now if moment < datetime.fromisoformat(wanted) else wanted]


def _values_in_both(now: Any, wanted: Any) -> list[str]:  # noqa: ANN401 - one value or a list
    ours, others = (each if isinstance(each, list) else [each] for each in (wanted, now))
    return [each for each in ours if _any_covers(others, each)] + [each for each in others if _any_covers(ours, each)]


def _any_covers(patterns: list[Any], value: Any) -> bool:  # noqa: ANN401 - a pattern itself, or what somebody wrote
    return any(pattern == value or _covers(pattern, value) for pattern in patterns)


def _covers(pattern: Any, value: Any) -> bool:  # noqa: ANN401
    """Of patterns with `?` it is not told: a star in *value* may stand for more than one character."""
    if not isinstance(pattern, str) or not isinstance(value, str) or "?" in pattern:
        return False
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), value, re.DOTALL) is not None


def reads_secret(trust: Trust, secret: Resource) -> bool:
    purposes = _purposes(trust, secret).values()
    return any(action.lower() == "secretsmanager:getsecretvalue" for actions in purposes for action in actions)


def older_sessions_denied(now: datetime) -> dict[str, Any]:
    """A role's own policy that ends its sessions issued before *now*, or while AWS spreads the closing."""
    end = now.astimezone(UTC) + REVOCATION_LEEWAY
    statement = {
        "Sid": "DenySessionsOlderThanTheRevocation",
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": end.strftime("%Y-%m-%dT%H:%M:%SZ")}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def sid_at_key(sid: str, bucket: Resource) -> str:
    """What Sids begin with in a key's policy: one key may encrypt several buckets, each with a trust of its own."""
    return f"{sid}For{hashlib.sha256(bucket.arn.encode()).hexdigest()[:12]}"


def key_statements(trust: Trust, bucket: Resource, key: Resource) -> list[Statement]:
    """What the policy of the key that encrypts *bucket* needs, for S3 to decrypt on behalf of those whom it lets in."""
    allowed = {action.lower() for actions in _purposes(trust, bucket).values() for action in actions}
    actions = ["kms:Decrypt"] if allowed & (_READS_OBJECTS | _WRITES_OBJECTS) else []
    actions += ["kms:GenerateDataKey"] if allowed & _WRITES_OBJECTS else []
    if not actions:
        return []
    suffix = "amazonaws.com.cn" if key.partition == "aws-cn" else "amazonaws.com"
    conditions = _locks(trust, key.partition)
    conditions["StringEquals"]["kms:ViaService"] = f"s3.{key.region}.{suffix}"
    # With an S3 Bucket Key the context names the bucket, without one the object.
    conditions["StringLike"] = {"kms:EncryptionContext:aws:s3:arn": [bucket.arn, f"{bucket.arn}/*"]}
    return [
        {
            "Sid": f"{sid_at_key(trust.sid, bucket)}Decrypt",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": _one_or_all(actions),
            "Resource": "*",
            "Condition": conditions,
        }
    ]


def _locks(trust: Trust, partition: str) -> dict[str, dict[str, Any]]:
    roles = [*trust.role_arns, *(_role_arn_pattern(pattern, partition) for pattern in trust.role_patterns)]
    conditions: dict[str, dict[str, Any]] = {
        "StringEquals": {"aws:PrincipalOrgID": trust.organisation_id},
        "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": _one_or_all(trust.organisational_unit_paths)},
        "ArnLike": {"aws:PrincipalArn": _one_or_all(roles)},
    }
    end = expiry(trust.expires)
    if end is not None:
        conditions["DateLessThan"] = {"aws:CurrentTime": end}
    return conditions


def _role_arn_pattern(pattern: str, partition: str) -> str:
    return pattern if pattern.startswith("arn:") else f"arn:{partition}:iam::*:role/{pattern}"


def _purposes(trust: Trust, resource: Resource) -> dict[str, tuple[str, ...]]:
    presets = PRESETS[resource.type]
    if trust.access is not None:
        if trust.access not in presets:
            raise RefusedError(
                f"access '{trust.access}' means nothing for the {resource.label}; it takes {' or '.join(presets)}, "
                "or give actions instead."
            )
        return presets[trust.access]
    if not trust.actions:
        raise RefusedError(f"Say what is let in to the {resource.label}: access ({' or '.join(presets)}), or actions.")
    for action in trust.actions:
        _check_action(action, resource)
    actions = tuple(dict.fromkeys(trust.actions))
    return _by_level(actions, trust) if resource.type == "s3_bucket" else {"Actions": actions}


def _check_action(action: str, resource: Resource) -> None:
    service = "sts" if resource.type == "iam_role" else resource.kind.service
    if re.fullmatch(rf"{service}:[A-Za-z]+", action, re.IGNORECASE) is None:
        preset = next(iter(PRESETS[resource.type].values()))
        example = next(iter(preset.values()))[0]
        raise RefusedError(
            f"actions: '{action}' does not name one action on the {resource.label}, such as {example}. Wildcards are "
            "refused, because they grant what AWS adds later."
        )
    shareable = SHAREABLE[resource.type]
    if action.lower() not in {each.lower() for each in shareable}:
        raise RefusedError(
            f"actions: '{action}' is not shared. By others than those that read or write contents, the trusted roles "
            f"could let themselves in again after you revoke, or keep a way in that no policy shows. For the "
            f"{resource.label} there are {', '.join(shareable)}.{_OUTLASTING.get(resource.type, '')}"
        )


def _by_level(actions: tuple[str, ...], trust: Trust) -> dict[str, tuple[str, ...]]:
    """Actions on the bucket and on its objects need statements of their own: their resources differ."""
    on_objects = tuple(action for action in actions if _is_on_objects(action))
    on_bucket = tuple(action for action in actions if action not in on_objects)
    for action in on_bucket if trust.prefixes else ():
        if action.lower() not in _TAKES_PREFIX:
            raise RefusedError(
                f"actions: '{action}' concerns the whole bucket, so prefixes cannot narrow it. Leave it out, or grant "
                "it in a task of its own, with another sid and without prefixes."
            )
    return {purpose: those for purpose, those in (("OnBucket", on_bucket), ("OnObjects", on_objects)) if those}


def _is_on_objects(action: str) -> bool:
    name = action.lower()
    return name in _OBJECT_ACTIONS_OF_OTHER_NAMES or ("object" in name and "bucket" not in name)


def _resource_element(purpose: str, resource: Resource, prefixes: tuple[str, ...]) -> dict[str, Any]:
    """ECR and IAM take no Resource: their policies are about what carries them."""
    if resource.type in ("ecr_repository", "iam_role"):
        return {}
    if resource.type in ("kms_key", "secretsmanager_secret"):
        return {"Resource": "*"}
    if purpose in ("Read", "OnObjects") and resource.type == "s3_bucket":
        return {"Resource": _one_or_all([f"{resource.arn}/{folder}*" for folder in _folders(prefixes) or [""]])}
    return {"Resource": resource.arn}


def _listing_condition(purpose: str, prefixes: tuple[str, ...]) -> dict[str, Any]:
    if purpose not in ("List", "OnBucket") or not prefixes:
        return {}
    return {"StringLike": {"s3:prefix": _one_or_all([f"{folder}*" for folder in _folders(prefixes)])}}


def _folders(prefixes: tuple[str, ...]) -> list[str]:
    """With the slash at their end, without which `ssda903` would open `ssda903-drafts` too."""
    return list(dict.fromkeys(prefix.rstrip("/") + "/" for prefix in prefixes))


def _one_or_all(values: Any) -> Any:  # noqa: ANN401 - policies write one value without a list, as AWS returns it
    values = list(dict.fromkeys(values))
    return values[0] if len(values) == 1 else values
