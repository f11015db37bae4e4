#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module `cross_account_trust`."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cross_account_trust
version_added: 0.1.0
author: localgov.platform contributors (!UNKNOWN)
short_description: Let roles of an organisational unit reach a resource, or no longer
description:
  - Keeps statements of its own in the policy of an S3 bucket, ECR repository, KMS key, Secrets Manager secret, SNS
    topic or SQS queue, or in the trust policy of an IAM role. All other statements stay as they are.
  - Each statement has two locks. The caller's account must be in the organisational unit, and the caller must be one of
    the roles. A task that lacks a lock, or has one that would not hold, is refused and nothing is written.
  - The roles need not exist. Trust works from the moment at which a role is made, and survives its deletion.
  - With O(state=absent) it takes out what it has put in. That needs no more than an identity of the resource's own
    account.
  - Buckets, keys, secrets, queues, and topics that others publish to ask their policy at each request, so sessions that
    exist already are refused too, as soon as AWS has spread the change, which takes seconds. Three things go on -
    sessions of an IAM role that were issued before, until they end, unless O(revoke_sessions=true); subscriptions to a
    topic that were made before, which the result lists, also where they are confirmed only afterwards; and downloads of
    image layers by links that a repository has handed out, for up to an hour.
options:
  resource:
    description: The ARN of the resource, or its name together with O(resource_type).
    type: str
    required: true
  resource_type:
    description: What O(resource) is. Needed when that is a name.
    type: str
    choices:
      - s3_bucket
      - ecr_repository
      - kms_key
      - secretsmanager_secret
      - sns_topic
      - sqs_queue
      - iam_role
  state:
    description:
      - With V(present), the statements are as the other options say.
      - With V(absent), there are none with this O(sid); only O(resource), O(resource_type), O(sid),
        O(include_encryption_key) and O(revoke_sessions) are looked at. A resource that is not there is no error then.
    type: str
    choices: [present, absent]
    default: present
  sid:
    description:
      - What the Sids of the statements begin with, in letters and digits. They end in what each is for, such as
        C(LocalgovRead).
      - It tells these statements from all others. Two tasks with the same O(sid) on one resource replace each other's
        statements; give each recipient one.
    type: str
    default: Localgov
  access:
    description:
      - What is let in, by name.
      - V(list) lists a bucket; V(read) lists and reads a bucket, or reads a secret.
      - V(pull) pulls images of a repository.
      - V(decrypt) decrypts with a key.
      - V(publish) and V(subscribe) are for a topic, V(send) and V(receive) for a queue.
      - V(assume) assumes a role.
      - Needed unless there are O(actions).
    type: str
    choices: [assume, decrypt, list, publish, pull, read, receive, send, subscribe]
  actions:
    description:
      - What is let in, action by action, such as C(s3:GetObjectTagging).
      - Without wildcards, and none but those that read or write contents. By others, such as C(s3:PutBucketPolicy) or
        C(kms:CreateGrant), the roles could let themselves in again after they were shut out. A refusal lists what
        there is.
    type: list
    elements: str
  organisation_id:
    description: The AWS organisation, such as V(o-a1b2c3d4e5). Needed unless O(state=absent).
    type: str
  organisational_unit_paths:
    description:
      - The organisational units, from the organisation over its root down to the unit. Needed unless O(state=absent).
      - A path that ends in C(/*), such as V(o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*), includes the units below. One that
        ends in C(/) means accounts right in the unit.
    type: list
    elements: str
  role_patterns:
    description:
      - Names of roles, with wildcards, such as V(localgov-*-execution). Roles of such a name are let in from every
        account of the unit, the resource's own included.
      - A pattern with wildcards begins or ends with at least six characters without any; else it would fit roles that
        nobody thought of. Paths and names that AWS gives to roles in every account do not count, such as
        C(service-role/) and C(aws-reserved/).
      - With an account, as in V(arn:aws:iam::111122223333:role/localgov-*), only those of that account.
      - This or O(role_arns) is needed unless O(state=absent).
    type: list
    elements: str
  role_arns:
    description: ARNs of roles, without wildcards.
    type: list
    elements: str
  expires:
    description:
      - When the trust ends by itself, as a time with its zone or as a date, which means its beginning in UTC.
      - The statements stay after that time, and let nobody in.
    type: str
  prefixes:
    description:
      - Folders of a bucket, such as V(ssda903) or V(ssda903/2026), to which the trust is limited. Without it the whole
        bucket is meant.
      - Whoever lists the bucket then has to ask for one of the folders, with its slash.
    type: list
    elements: str
  include_encryption_key:
    description:
      - For a bucket that encrypts with a KMS key by default, let the roles have S3 decrypt what they may read, by
        statements in the key's policy. Their Sids begin with O(sid) and a mark of the bucket, as several buckets may
        encrypt by one key. They hold for this bucket only.
      - A bucket that changes its key keeps objects that only the former key opens. So every key of the account that was
        opened for this bucket is kept in step, and with O(state=absent) closed, after the bucket. When a key is opened,
        it gets a tag, whose name is what the Sids begin with and whose value is the name of the bucket. The tag stays
        when the key is closed, and by it V(present) finds and opens the key again.
      - Trouble with the bucket's policy does not keep the keys open, nor does trouble with a key keep in the bucket's
        policy whom, or until when, the task no longer lets in. The task fails all the same.
      - It needs permission to see the bucket's encryption and the policies and tags of the account's keys in the
        region, and to change the policy and tags of a key that the bucket uses.
    type: bool
    default: true
  revoke_sessions:
    description:
      - With O(state=absent), also end the sessions of the IAM role that were issued before this moment or within a
        minute after it, by an inline policy of the role that denies them everything, as the console's I(Revoke active
        sessions) does. Without the minute, a session issued just before AWS has spread the change would go on.
      - It meets everybody's sessions of that role, those of the role's own account included; they have to assume it
        anew, a minute later. The policy stays, and denies nothing to sessions that are issued later.
      - Done when trust is taken out, or when there is none and the role does not have that policy, named after O(sid)
        and C(RevokedSessions). If the policy is there from an earlier revocation, and trust that was given since was
        taken out without this option, remove it, for else this does nothing.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Predicts the policy.
  diff_mode:
    support: full
    description: Shows this module's own statements before and after.
requirements:
  - python >= 3.11
notes:
  - AWS writes a policy as a whole, without any condition on what it was. This module therefore reads it right before it
    writes, puts its statements into what it finds, and reads again until both its own and all other statements are
    seen. What remains is the time of a single call, in which another writer's change may be lost.
  - A bucket, repository or key with C(Principal) V(*) is reported as public by scanners that do not weigh conditions.
    S3's own Block Public Access weighs them, and lets the statements pass.
  - The role of another account needs a policy of its own that allows the same actions.
  - Permissions that the task's identity needs, each for its kind of resource only - C(s3:GetBucketPolicy),
    C(s3:PutBucketPolicy), C(s3:DeleteBucketPolicy), C(s3:GetBucketLocation), C(s3:GetEncryptionConfiguration);
    C(ecr:GetRepositoryPolicy), C(ecr:SetRepositoryPolicy), C(ecr:DeleteRepositoryPolicy); for keys and buckets
    C(kms:GetKeyPolicy), C(kms:PutKeyPolicy), for these and for secrets C(kms:DescribeKey), for buckets C(kms:ListKeys),
    C(kms:ListResourceTags), C(kms:TagResource); C(secretsmanager:GetResourcePolicy),
    C(secretsmanager:PutResourcePolicy), C(secretsmanager:DeleteResourcePolicy), C(secretsmanager:DescribeSecret);
    C(sns:GetTopicAttributes), C(sns:SetTopicAttributes), C(sns:ListSubscriptionsByTopic); C(sqs:GetQueueUrl),
    C(sqs:GetQueueAttributes), C(sqs:SetQueueAttributes); C(iam:GetRole), C(iam:UpdateAssumeRolePolicy), and for
    O(revoke_sessions) C(iam:GetRolePolicy), C(iam:PutRolePolicy).
  - A key is opened when the bucket encrypts by it while this module grants, or did at an earlier grant. Objects whose
    key was named one by one when they were written, or that are encrypted by a key from before the first grant, need a
    task for that key, with O(access=decrypt).
  - A secret is read from other accounts only if it is encrypted with a KMS key of its account's own, since the key that
    AWS keeps lets no other account in; such a secret is refused. The key needs a task of its own, with
    O(access=decrypt).
  - When an IAM role has no other statement, O(state=absent) leaves one that denies everybody, since a role cannot be
    without a trust policy. An SNS topic gets back the policy of a new topic.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Let the organisation's pipeline read what this authority shares
  localgov.platform.cross_account_trust:
    resource: localgov-012345670123-shared
    resource_type: s3_bucket
    access: read
    organisation_id: o-a1b2c3d4e5
    organisational_unit_paths: [o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*]
    role_arns: [arn:aws:iam::200000000001:role/localgov-run-task]

- name: Share one dataset, until a date
  localgov.platform.cross_account_trust:
    resource: localgov-012345670123-shared
    resource_type: s3_bucket
    sid: Research
    access: read
    prefixes: [ssda903]
    expires: "2027-03-31"
    organisation_id: o-a1b2c3d4e5
    organisational_unit_paths: [o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*]
    role_arns: [arn:aws:iam::200000000001:role/research]

- name: Revoke it
  localgov.platform.cross_account_trust:
    resource: localgov-012345670123-shared
    resource_type: s3_bucket
    sid: Research
    state: absent

- name: Let the services of all members pull an image
  localgov.platform.cross_account_trust:
    resource: arn:aws:ecr:eu-west-2:200000000001:repository/localgov/frontend
    access: pull
    organisation_id: o-a1b2c3d4e5
    organisational_unit_paths: [o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*]
    role_patterns: [localgov-*-execution]
"""

RETURN = r"""
resource:
  description: ARN of the resource.
  returned: always
  type: str
  sample: arn:aws:s3:::localgov-012345670123-shared
policy:
  description: The whole policy, as it is now or in check mode would be. Empty when there is none.
  returned: always
  type: dict
statements:
  description: The statements of this O(sid) in it.
  returned: always
  type: list
  elements: dict
foreign_subscriptions:
  description:
    - Subscriptions of other accounts to the topic, which go on after O(state=absent). To end one, use
      C(sns:Unsubscribe) with its ARN.
    - Each with C(subscription_arn), C(owner), C(protocol) and C(endpoint). In place of an ARN stands
      C(PendingConfirmation) where it is not confirmed yet, which it may still be until its token expires.
  returned: when the resource is an SNS topic that is there, and O(state=absent)
  type: list
  elements: dict
unseen_keys:
  description:
    - ARNs of keys of the account that could not be looked at, so that it is not known whether they are open for the
      bucket. One that ends in C(/*) means all keys of the bucket's region, where the task is of another one.
  returned: always
  type: list
  elements: str
encryption_keys:
  description:
    - The same of the key by which the bucket encrypts, and of former keys that are or were open for it.
    - Empty unless the resource is a bucket with a key of its own, and O(include_encryption_key) is true.
  returned: always
  type: list
  elements: dict
  contains:
    resource:
      description: ARN of the key.
      type: str
    policy:
      description: The whole policy of the key.
      type: dict
    statements:
      description: The statements in it that are of this O(sid) and for this bucket.
      type: list
      elements: dict
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.localgov.platform.plugins.module_utils import _policy_stores as stores
from ansible_collections.localgov.platform.plugins.module_utils import _policy_trust as trusts
from ansible_collections.localgov.platform.plugins.module_utils._policy_documents import (
    Change,
    Policy,
    closed,
    owned,
    with_statements,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_exchange import Outcome, Task, carry_out
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import (
    KINDS,
    RefusedError,
    Resource,
    resource_of,
)

_TRY_AGAIN = [
    "DependencyTimeoutException",
    "InternalServiceError",
    "KMSInternalException",
    "ServerException",
    "SlowDown",
]


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec=_argument_spec(), mutually_exclusive=[("access", "actions")], supports_check_mode=True
    )
    try:
        result = _present(module) if module.params["state"] == "present" else _absent(module)
    except RefusedError as refused:
        module.fail_json(msg=str(refused))
    except AnsibleAWSError as error:
        module.fail_json_aws_error(error)
    module.exit_json(**result)


def _argument_spec() -> dict[str, dict[str, Any]]:
    accesses = {access for presets in trusts.PRESETS.values() for access in presets}
    return {
        "resource": {"type": "str", "required": True},
        "resource_type": {"type": "str", "choices": list(KINDS)},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "sid": {"type": "str", "default": "Localgov"},
        "access": {"type": "str", "choices": sorted(accesses)},
        "actions": {"type": "list", "elements": "str"},
        "organisation_id": {"type": "str"},
        "organisational_unit_paths": {"type": "list", "elements": "str"},
        "role_patterns": {"type": "list", "elements": "str"},
        "role_arns": {"type": "list", "elements": "str"},
        "expires": {"type": "str"},
        "prefixes": {"type": "list", "elements": "str"},
        "include_encryption_key": {"type": "bool", "default": True},
        "revoke_sessions": {"type": "bool", "default": False},
    }


# --- What is done ---


def _present(module: AnsibleAWSModule) -> dict[str, Any]:
    """All changes are found possible before the first is made. The key opens first, so that who can list can read."""
    trust = _trust(module)
    trusts.check(trust)
    if trusts.has_expired(trust, datetime.now(UTC)):
        module.warn(f"expires {trust.expires} is past: the statements of sid '{trust.sid}' let nobody in.")
    resource = _resource(module)
    _refuse_unreadable_secret(module, resource, trust)
    wanted = trusts.wanted_statements(trust, resource)
    try:
        keys = _key_openings(module, resource, trust)
        tasks = [*keys.openings, _opening(module, resource, trust.sid, wanted)]
        planned = [(task, task.plan()) for task in tasks]
        _note(module, resource, trust.sid, keys.unnoted)
        outcomes = [_made(module, task, change) for task, change in planned]
    except (RefusedError, AnsibleAWSError):
        _narrow(module, resource, trust.sid, wanted)
        raise
    result = _result(resource, outcomes, keys.unseen)
    return {**result, "changed": result["changed"] or bool(keys.unnoted)}


def _narrow(module: AnsibleAWSModule, bucket: Resource, sid: str, wanted: list[trusts.Statement]) -> None:
    """Whatever is the matter with a key, nobody stays in the bucket who is no longer wanted there."""
    if not _has_keys(module, bucket):
        return

    def decide(policy: Policy | None) -> Policy | None:
        left = trusts.narrowed(owned(policy, sid), wanted)
        return with_statements(policy, left, sid) if left else closed(policy, bucket, sid)

    with suppress(RefusedError, AnsibleAWSError):
        task = Task(stores.store_of(_client(module, bucket), bucket), decide, sid)
        _made(module, task, task.plan())


def _absent(module: AnsibleAWSModule) -> dict[str, Any]:
    """The resource is closed before its keys are looked for: no trouble with either keeps the other open."""
    sid = module.params["sid"]
    trusts.check_sid(sid)
    resource = _named(module)
    try:
        resource = stores.located(_client(module, resource), resource)
        task = _closing(module, resource, sid)
        outcome = _made(module, task, task.plan())
    except stores.ResourceMissingError:
        # Keys may still be open for a bucket that is gone.
        return _result(resource, *_keys_closed(module, resource, sid))
    except (RefusedError, AnsibleAWSError):
        # A bucket that cannot be closed leaves its keys to shut out whoever should be.
        with suppress(RefusedError, AnsibleAWSError):
            _keys_closed(module, resource, sid)
        raise
    are_revoked = _are_sessions_revoked(module, resource, outcome.change)
    closed_keys, unseen = _keys_closed(module, resource, sid)
    result = _result(resource, [outcome, *closed_keys], unseen)
    result["changed"] = result["changed"] or are_revoked
    return {**result, **_foreign_subscriptions(module, resource)}


def _are_sessions_revoked(module: AnsibleAWSModule, role: Resource, closing: Change) -> bool:
    """After the role was closed, so that no session is issued in between; also where an earlier run did only that."""
    if role.type != "iam_role" or not module.params["revoke_sessions"]:
        return False
    client = _client(module, role)
    try:
        if not closing.is_needed and stores.has_revoked_sessions(client, role, closing.sid):
            return False
        if not module.check_mode:
            stores.revoke_sessions(client, role, closing.sid, datetime.now(UTC))
    except (RefusedError, AnsibleAWSError) as error:
        raise RefusedError(
            f"The {role.label} is closed to sid '{closing.sid}', but its sessions were not revoked and go on until "
            f"they end: {error}. Run this again; if the role has a policy of an earlier revocation, "
            f"{closing.sid}RevokedSessions, remove that first, or revoke them in IAM's console (the role's tab Revoke "
            "sessions)."
        ) from error
    return True


def _foreign_subscriptions(module: AnsibleAWSModule, topic: Resource) -> dict[str, Any]:
    """What a topic goes on delivering to other accounts."""
    if topic.type != "sns_topic":
        return {}
    try:
        found = stores.foreign_subscriptions(_client(module, topic), topic)
    except AnsibleAWSError as error:
        module.warn(f"It was not seen whether other accounts stay subscribed to the {topic.label}: {error}.")
        return {"foreign_subscriptions": []}
    confirmed = [each for each in found if each["subscription_arn"] != stores.PENDING]
    pending = [each for each in found if each["subscription_arn"] == stores.PENDING]
    if confirmed:
        module.warn(
            f"Revoking ends no subscription: the {topic.label} still delivers to {_subscribers(confirmed)}. End those "
            "that should not be with sns:Unsubscribe."
        )
    if pending:
        module.warn(
            f"Subscriptions to the {topic.label} await their confirmation: {_subscribers(pending)}. Whoever holds the "
            "token that SNS has sent may confirm them still, until it expires after some days. Look again then, by "
            "running this once more."
        )
    return {"foreign_subscriptions": found}


@dataclass(frozen=True)
class _KeyOpenings:
    """What is done to keys, those that do not carry a note of it yet, and the ARNs of those not to be looked at."""

    openings: list[Task] = field(default_factory=list)
    unnoted: list[Resource] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def _subscribers(subscriptions: list[dict[str, str]]) -> str:
    return ", ".join(f"{each['endpoint']} of account {each['owner']}" for each in subscriptions)


def _key_openings(module: AnsibleAWSModule, bucket: Resource, trust: trusts.Trust) -> _KeyOpenings:
    """Also of former keys that were opened: what is encrypted by them is shared no more and no less than the rest."""
    if not _has_keys(module, bucket):
        return _KeyOpenings()
    current = _encryption_key(module, bucket)
    if current is not None and current.obstacle and trusts.key_statements(trust, bucket, current.resource):
        raise RefusedError(f"The {bucket.label} encrypts with the {current.resource.label}, {current.obstacle}")
    sid = trusts.sid_at_key(trust.sid, bucket)
    found = _opened_keys(module, bucket, sid, look_for_notes=True)
    keys = {key.arn: key for key in [*_own(current), *found.open, *found.noted]}
    wanted = {key.arn: trusts.key_statements(trust, bucket, key) for key in keys.values()}
    # Where the tags are not to be seen, which is told, another tag each time would be a change each time.
    settled = {*(key.arn for key in found.noted), *found.unseen}
    openings = [_opening(module, key, sid, wanted[key.arn]) for key in keys.values()]
    unnoted = [key for key in keys.values() if wanted[key.arn] and key.arn not in settled]
    return _KeyOpenings(openings, unnoted, found.unseen)


def _note(module: AnsibleAWSModule, bucket: Resource, sid: str, keys: list[Resource]) -> None:
    """Before they are opened: a policy forgets its key's past when it is closed, and the objects stay."""
    for key in [] if module.check_mode else keys:
        stores.note(_client(module, key), key, trusts.sid_at_key(sid, bucket), bucket)


def _keys_closed(module: AnsibleAWSModule, bucket: Resource, sid: str) -> tuple[list[Outcome], list[str]]:
    """The bucket's key and all former ones that were opened; trouble with one does not keep another open.

    Second, the ARNs of keys that could not be looked at.
    """
    if not _has_keys(module, bucket):
        return [], []
    sid_at_key = trusts.sid_at_key(sid, bucket)
    keys: dict[str, Resource] = {}
    outcomes: list[Outcome] = []
    troubles: list[str] = []
    unseen: list[str] = []
    with _noted(troubles):
        keys |= {key.arn: key for key in _own(_encryption_key(module, bucket))}
    with _noted(troubles):
        found = _opened_keys(module, bucket, sid_at_key)
        keys |= {key.arn: key for key in found.open}
        unseen += found.unseen
    for key in keys.values():
        with _noted(troubles):
            task = _closing(module, key, sid_at_key)
            outcomes.append(_made(module, task, task.plan()))
    if troubles:
        raise RefusedError(
            f"The {bucket.label} is closed to sid '{sid}', so nobody reads it by that. But not every key by which it "
            f"encrypts, or did, was looked through: {' '.join(troubles)}"
        )
    return outcomes, unseen


@contextmanager
def _noted(troubles: list[str]) -> Iterator[None]:
    try:
        yield
    except stores.ResourceMissingError:
        pass  # what is gone lets nobody in
    except (RefusedError, AnsibleAWSError) as error:
        troubles.append(f"{str(error).rstrip('.')}.")


def _opening(module: AnsibleAWSModule, resource: Resource, sid: str, wanted: list[trusts.Statement]) -> Task:
    store = stores.store_of(_client(module, resource), resource)
    return Task(store, lambda policy: with_statements(policy, wanted, sid), sid)


def _closing(module: AnsibleAWSModule, resource: Resource, sid: str) -> Task:
    store = stores.store_of(_client(module, resource), resource)
    return Task(store, lambda policy: closed(policy, resource, sid), sid)


def _made(module: AnsibleAWSModule, task: Task, planned: Change) -> Outcome:
    """What came of a task, or in check mode what would."""
    if module.check_mode or not planned.is_needed:
        return Outcome(task.store.resource, planned)
    outcome = carry_out(task, planned)
    for warning in outcome.warnings:
        module.warn(warning)
    return outcome


def _result(resource: Resource, outcomes: list[Outcome], unseen_keys: list[str]) -> dict[str, Any]:
    """The module's return value; without an outcome there is no such resource."""
    result: dict[str, Any] = {
        "changed": any(outcome.change.is_needed for outcome in outcomes),
        "resource": resource.arn,
        "policy": {},
        "statements": [],
        "encryption_keys": [],
        "unseen_keys": unseen_keys,
        "diff": [_difference(outcome) for outcome in outcomes],
    }
    for outcome in outcomes:
        found = {
            "resource": outcome.resource.arn,
            "policy": outcome.change.after or {},
            "statements": owned(outcome.change.after, outcome.change.sid),
        }
        if outcome.resource == resource:
            result.update(found)
        else:
            result["encryption_keys"].append(found)
    return result


def _difference(outcome: Outcome) -> dict[str, Any]:
    header = f"{outcome.resource.arn} (sid {outcome.change.sid})"
    return {"before_header": header, "after_header": header, **outcome.change.difference}


def _refuse_unreadable_secret(module: AnsibleAWSModule, resource: Resource, trust: trusts.Trust) -> None:
    if resource.type == "secretsmanager_secret" and trusts.reads_secret(trust, resource):
        obstacle = stores.obstacle_of_secret(_client(module, resource), partial(_client, module), resource)
        if obstacle:
            raise RefusedError(f"The {resource.label} is encrypted with {obstacle}")


# --- What it is done to ---


def _trust(module: AnsibleAWSModule) -> trusts.Trust:
    def listed(name: str) -> tuple[str, ...]:
        return tuple(module.params[name] or ())

    return trusts.Trust(
        sid=module.params["sid"],
        access=module.params["access"],
        actions=listed("actions"),
        organisation_id=module.params["organisation_id"],
        organisational_unit_paths=listed("organisational_unit_paths"),
        role_patterns=listed("role_patterns"),
        role_arns=listed("role_arns"),
        expires=module.params["expires"],
        prefixes=listed("prefixes"),
    )


def _resource(module: AnsibleAWSModule) -> Resource:
    resource = _named(module)
    return stores.located(_client(module, resource), resource)


def _named(module: AnsibleAWSModule) -> Resource:
    """The resource by its name in the account of the task's identity."""
    client = _service_client(module, "sts")
    identity = stores.guarded("find the account of this task", lambda: client.get_caller_identity(aws_retry=True))
    return resource_of(
        module.params["resource"],
        module.params["resource_type"],
        account=identity["Account"],
        region=module.region or "",
        partition=identity["Arn"].split(":")[1],
    )


def _has_keys(module: AnsibleAWSModule, resource: Resource) -> bool:
    return resource.type == "s3_bucket" and bool(module.params["include_encryption_key"])


def _encryption_key(module: AnsibleAWSModule, bucket: Resource) -> stores.EncryptionKey | None:
    return stores.encryption_key(_client(module, bucket), partial(_client, module), bucket)


def _own(key: stores.EncryptionKey | None) -> list[Resource]:
    """The key, if there is one and its policy can be kept from here."""
    return [] if key is None or key.obstacle else [key.resource]


def _opened_keys(
    module: AnsibleAWSModule, bucket: Resource, sid: str, *, look_for_notes: bool = False
) -> stores.KeysOfBucket:
    """The account's keys that were opened for the bucket, whether it still encrypts by them or not."""
    client = _service_client(module, "kms")
    found = stores.keys_with(client, bucket, sid, look_for_notes=look_for_notes)
    if found.unseen:
        module.warn(
            f"It was not seen whether keys of account {bucket.account} are open for the {bucket.label}: "
            f"{', '.join(found.unseen)}. If the bucket ever encrypted by one of them, give this task's identity "
            "kms:GetKeyPolicy and kms:ListResourceTags on it, with its policy not denying it, and run this again."
        )
    found.unseen += _keys_elsewhere(module, bucket, str(client.meta.region_name))
    return found


def _keys_elsewhere(module: AnsibleAWSModule, bucket: Resource, region: str) -> list[str]:
    """The keys of the bucket's region, where that is not the task's. A key encrypts in its own region only."""
    try:
        its_own = stores.region_of(_client(module, bucket), bucket)
    except stores.ResourceMissingError:
        return []
    except AnsibleAWSError as error:
        module.warn(f"It was not seen that the {bucket.label} is in {region}, where its keys were looked for: {error}.")
        return []
    if its_own == region:
        return []
    module.warn(
        f"The {bucket.label} is in {its_own}, and so are the keys that it encrypts by, but this task looked for them "
        f"in {region}. Run it with region: {its_own}."
    )
    return [f"arn:{bucket.partition}:kms:{its_own}:{bucket.account}:key/*"]


def _client(module: AnsibleAWSModule, resource: Resource) -> stores.Client:
    """A client of the resource's service, in the resource's region."""
    return _service_client(module, resource.kind.service, resource.region)


@cache
def _service_client(module: AnsibleAWSModule, service: str, region: str = "") -> stores.Client:
    """One for each service and region, as each brings a session along that takes longer to make than a call."""
    return module.client(service, retry_decorator=_retry(), **({"region": region} if region else {}))


def _retry() -> Any:  # noqa: ANN401 - amazon.aws has no types
    return AWSRetry.jittered_backoff(retries=6, delay=1, max_delay=10, catch_extra_error_codes=_TRY_AGAIN)


if __name__ == "__main__":
    main()
