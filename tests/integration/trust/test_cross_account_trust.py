# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  arguments of modules, and what they return, are of any type
"""The module in playbooks: four beats for each kind of resource, and what it leaves of other statements."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import resource_of
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import sid_at_key

from tests.integration.trust.conftest import Playbook, new_name
from tests.integration.trust.resources import MAKERS, Made, make_bucket, make_role
from tests.sandbox.conftest import Sandbox, policy

KINDS = list(MAKERS)
CAMDEN = "012345670123"


def beats(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Check, do, check again, do again."""
    return [{**arguments, "_check": check} for check in (True, False, True, False)]


def present(made: Made, locks: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {"resource": made.reference, "resource_type": made.resource_type}
    return {**named, "access": made.access, **locks, **more}


def absent(made: Made, **more: Any) -> dict[str, Any]:
    return {"resource": made.reference, "resource_type": made.resource_type, "state": "absent", **more}


def sids(document: dict[str, Any] | None) -> list[str]:
    return [statement.get("Sid", "") for statement in (document or {}).get("Statement", [])]


@dataclass(frozen=True)
class Tried:
    """A resource's policy before and after, and what the module said each time."""

    made: Made
    before: dict[str, Any] | None
    said: list[dict[str, Any]]
    after: dict[str, Any] | None


def tried(
    made: dict[str, Made], tasks: Callable[[Made], list[dict[str, Any]]], sandbox: Sandbox, folder: Path
) -> dict[str, Tried]:
    """The tasks for each kind of resource, all in one playbook."""
    before = {kind: one.read() for kind, one in made.items()}
    asked = {kind: tasks(one) for kind, one in made.items()}
    said = iter(Playbook(sandbox, folder).run(*chain.from_iterable(asked.values())))
    return {
        kind: Tried(one, before[kind], list(islice(said, len(asked[kind]))), one.read()) for kind, one in made.items()
    }


@pytest.fixture(scope="module")
def shared_with_others(
    sandbox: Sandbox, locks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Tried]:
    """Resources in whose policies somebody else is let in too, opened and closed in four beats each."""
    made = {kind: make(sandbox, new_name()) for kind, make in MAKERS.items()}
    for one in made.values():
        one.write(policy(one.others))
    return tried(
        made,
        lambda one: [*beats(present(one, locks)), *beats(absent(one))],
        sandbox,
        tmp_path_factory.mktemp("beats"),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_it_changes_once_and_check_mode_says_so_before(shared_with_others: dict[str, Tried], kind: str) -> None:
    of_it = shared_with_others[kind]
    assert [result["changed"] for result in of_it.said] == [True, True, False, False] * 2

    check, do, check_again, do_again = of_it.said[:4]
    assert check["policy"] == do["policy"] == check_again["policy"] == do_again["policy"]
    assert do["resource"] == of_it.made.arn
    assert do["policy"]["Statement"][0] == of_it.made.others, "the other's statement was rewritten"
    assert do["diff"][0]["before"] == []
    assert do["diff"][0]["after"] == do["statements"]
    assert do["statements"] == do["policy"]["Statement"][1:]
    assert do["statements"]
    assert do_again["diff"][0]["before"] == do_again["diff"][0]["after"]

    check, do, check_again, do_again = of_it.said[4:]
    policies = [result["policy"] for result in (check, do, check_again, do_again)]
    assert [*policies, of_it.after] == [of_it.before] * 5


WITHOUT_POLICY = ["s3_bucket", "ecr_repository", "secretsmanager_secret", "sns_topic", "sqs_queue"]


@pytest.fixture(scope="module")
def without_policy(
    sandbox: Sandbox, locks: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Tried]:
    """Resources that have no policy of their own, opened and closed."""
    made = {kind: MAKERS[kind](sandbox, new_name()) for kind in WITHOUT_POLICY}
    return tried(
        made, lambda one: [present(one, locks), absent(one)], sandbox, tmp_path_factory.mktemp("without-policy")
    )


@pytest.mark.parametrize("kind", WITHOUT_POLICY)
def test_a_resource_without_a_policy_has_none_again_afterwards(without_policy: dict[str, Tried], kind: str) -> None:
    of_it = without_policy[kind]
    opened, closed = of_it.said
    assert opened["changed"] is closed["changed"] is True
    assert sids(opened["policy"])[-1].startswith("Localgov")
    assert of_it.after == of_it.before


def test_a_topic_that_has_only_ours_gets_the_policy_of_a_new_topic(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = MAKERS["sns_topic"](sandbox, unique)
    new = made.read()
    (opened,) = playbook.run(present(made, locks))
    made.write(policy(*opened["statements"]))
    playbook.run(absent(made))
    assert new is not None
    assert made.read() == {**new, "Statement": made.read()["Statement"]}  # type: ignore[index]
    assert sids(made.read()) == sids(new) == ["__default_statement_ID"]


def test_a_role_that_trusts_nobody_else_is_closed_and_can_be_opened_again(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = make_role(sandbox, unique)
    (opened,) = playbook.run(present(made, locks))
    made.write(policy(*opened["statements"]))
    *_, again, reopened = playbook.run(absent(made), absent(made), present(made, locks))
    assert again["changed"] is False
    assert again["statements"][0]["Effect"] == "Deny"
    assert reopened["statements"] == opened["statements"]
    assert sids(made.read()) == ["LocalgovAssume"]


def test_two_recipients_of_a_bucket_are_told_apart_by_their_sids(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = make_bucket(sandbox, unique)
    pipeline = present(made, locks)
    research = present(made, locks, sid="LocalgovResearch", prefixes=["ssda903"], expires="2999-01-01")
    _, both, one = playbook.run(pipeline, research, absent(made))
    assert sids(both["policy"]) == ["LocalgovList", "LocalgovRead", "LocalgovResearchList", "LocalgovResearchRead"]
    assert sids(one["policy"]) == ["LocalgovResearchList", "LocalgovResearchRead"]
    assert one["policy"]["Statement"] == both["policy"]["Statement"][2:]


def test_what_somebody_changed_in_our_statement_is_put_right_and_shown(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = make_bucket(sandbox, unique)
    (opened,) = playbook.run(present(made, locks))
    widened = json.loads(json.dumps(opened["policy"]))
    del widened["Statement"][1]["Condition"]["ArnLike"]
    made.write(json.dumps(widened))
    (mended,) = playbook.run(present(made, locks))
    assert mended["changed"] is True
    assert made.read() == opened["policy"]
    assert mended["diff"][0]["before"] == widened["Statement"]
    assert mended["diff"][0]["after"] == opened["statements"]


def test_a_bucket_that_encrypts_with_a_key_is_opened_and_closed_with_its_key(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    bucket = make_bucket(sandbox, unique)
    key = MAKERS["kms_key"](sandbox, unique)
    untouched = key.read()
    encrypt(sandbox, unique, KMSMasterKeyID=key.arn)

    results = playbook.run(*beats(present(bucket, locks)))
    assert [result["changed"] for result in results] == [True, True, False, False]
    do = results[1]
    (opened,) = do["encryption_keys"]
    assert opened["resource"] == key.arn
    assert opened["policy"] == key.read() != untouched
    (statement,) = opened["statements"]
    assert statement["Sid"] == f"{sid_at_key('Localgov', resource_of(bucket.arn, None, CAMDEN, '', 'aws'))}Decrypt"
    assert statement["Condition"]["StringEquals"]["kms:ViaService"] == "s3.eu-west-2.amazonaws.com"
    assert statement["Condition"]["StringLike"] == {
        "kms:EncryptionContext:aws:s3:arn": [bucket.arn, f"{bucket.arn}/*"],
    }
    assert [difference["after_header"].split()[0] for difference in do["diff"]] == [key.arn, bucket.arn]

    results = playbook.run(*beats(absent(bucket)))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert bucket.read() is None
    assert key.read() == untouched


def test_two_buckets_with_one_key_are_opened_and_closed_each_for_itself(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    one, other = make_bucket(sandbox, unique), make_bucket(sandbox, f"{unique}-other")
    key = MAKERS["kms_key"](sandbox, unique)
    untouched = key.read()
    for bucket in (one, other):
        encrypt(sandbox, bucket.reference, KMSMasterKeyID=key.arn)
    first, *_ = playbook.run(present(one, locks))
    alone = key.read()
    playbook.run(present(other, locks), absent(other))
    assert key.read() == alone
    assert first["encryption_keys"][0]["statements"] == alone["Statement"][-1:]  # type: ignore[index]
    playbook.run(absent(one))
    assert key.read() == untouched


def test_a_key_that_the_bucket_no_longer_encrypts_by_is_kept_in_step_and_closed_with_it(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    """Objects that were written under it are opened by it still."""
    bucket, former = make_bucket(sandbox, unique), MAKERS["kms_key"](sandbox, unique)
    untouched = former.read()
    encrypt(sandbox, unique, KMSMasterKeyID=former.arn)
    playbook.run(present(bucket, locks))
    sandbox.client("s3", sandbox.root("camden")).delete_bucket_encryption(Bucket=unique)
    (narrowed,) = playbook.run(present(bucket, locks, expires="2999-01-01"))
    (opened,) = narrowed["encryption_keys"]
    assert opened["statements"][0]["Condition"]["DateLessThan"] == {"aws:CurrentTime": "2999-01-01T00:00:00Z"}

    results = playbook.run(*beats(absent(bucket)))
    assert [result["changed"] for result in results] == [True, True, False, False]
    assert former.read() == untouched


def test_a_key_stays_open_for_no_bucket_that_is_gone(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    bucket, key = make_bucket(sandbox, unique), MAKERS["kms_key"](sandbox, unique)
    untouched = key.read()
    encrypt(sandbox, unique, KMSMasterKeyID=key.arn)
    playbook.run(present(bucket, locks))
    sandbox.client("s3", sandbox.root("camden")).delete_bucket(Bucket=unique)
    (closed,) = playbook.run(absent(bucket))
    assert closed["changed"] is True
    assert key.read() == untouched


def encrypt(sandbox: Sandbox, bucket: str, **by_key: str) -> None:
    sandbox.client("s3", sandbox.root("camden")).put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", **by_key}}]
        },
    )


def test_no_trouble_with_the_key_opens_a_bucket_or_keeps_it_open(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    bucket, key = make_bucket(sandbox, unique), MAKERS["kms_key"](sandbox, unique)
    encrypt(sandbox, unique, KMSMasterKeyID=key.arn)
    untouched = sids(key.read())
    deny = {"Effect": "Deny", "Action": "kms:GetKeyPolicy", "Resource": key.arn}
    iam = sandbox.client("iam", sandbox.root("camden"))

    def deny_key() -> None:
        iam.put_role_policy(RoleName="localgov-deploy", PolicyName=unique, PolicyDocument=policy(deny))

    deny_key()
    try:
        (opened,) = playbook.run({**present(bucket, locks), "_fails": True})
        assert "needs kms:GetKeyPolicy" in opened["msg"]
        assert bucket.read() is None
        iam.delete_role_policy(RoleName="localgov-deploy", PolicyName=unique)
        playbook.run(present(bucket, locks))
        assert sids(bucket.read()) == ["LocalgovList", "LocalgovRead"]
        deny_key()
        (closed,) = playbook.run({**absent(bucket), "_fails": True})
    finally:
        iam.delete_role_policy(RoleName="localgov-deploy", PolicyName=unique)
    assert "is closed to sid 'Localgov'" in closed["msg"]
    assert "needs kms:GetKeyPolicy" in closed["msg"]
    assert bucket.read() is None
    (again,) = playbook.run(absent(bucket))
    assert again["changed"] is True
    assert sids(key.read()) == untouched


def test_a_bucket_that_encrypts_with_the_key_of_aws_is_not_opened_to_readers_who_could_not_read(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    bucket = make_bucket(sandbox, unique)
    encrypt(sandbox, unique)
    reading, listing, closing = playbook.run(
        {**present(bucket, locks), "_fails": True}, present(bucket, locks, access="list"), absent(bucket)
    )
    assert "which AWS keeps for this account alone" in reading["msg"]
    assert listing["changed"] is closing["changed"] is True
    assert bucket.read() is None


def test_a_secret_under_the_key_of_aws_is_not_opened_to_readers_who_could_not_read(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    secrets = sandbox.client("secretsmanager", sandbox.root("camden"))
    arn = secrets.create_secret(Name=unique, SecretString="made up")["ARN"]
    task = {"resource": arn, **locks}
    reading, describing, _ = playbook.run(
        {**task, "access": "read", "_fails": True},
        {**task, "actions": ["secretsmanager:DescribeSecret"]},
        {"resource": arn, "state": "absent"},
    )
    assert "is encrypted with the key that AWS keeps for this account alone" in reading["msg"]
    assert describing["changed"] is True


def test_sessions_of_a_role_are_revoked_when_trust_is_taken_out_and_only_then(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = make_role(sandbox, unique)
    made.write(policy(made.others))
    iam = sandbox.client("iam", sandbox.root("camden"))
    revoking = absent(made, revoke_sessions=True)
    playbook.run(present(made, locks), {**revoking, "_check": True})
    assert iam.list_role_policies(RoleName=unique)["PolicyNames"] == []
    playbook.run(revoking)
    (name,) = iam.list_role_policies(RoleName=unique)["PolicyNames"]
    first = iam.get_role_policy(RoleName=unique, PolicyName=name)["PolicyDocument"]
    assert first["Statement"][0]["Effect"] == "Deny"
    assert set(first["Statement"][0]["Condition"]["DateLessThan"]) == {"aws:TokenIssueTime"}
    (again,) = playbook.run(revoking)
    assert again["changed"] is False
    assert iam.get_role_policy(RoleName=unique, PolicyName=name)["PolicyDocument"] == first


def test_what_is_refused_writes_nothing_and_says_why(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = make_bucket(sandbox, unique)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"organisation_id": None}, "lacks the organisation's (organisation_id)"),
        ({"organisational_unit_paths": []}, "lacks the organisation's (organisational_unit_paths)"),
        ({"role_patterns": []}, "lacks the role's (role_patterns or role_arns)"),
        ({"role_patterns": ["*"]}, "it is no lock"),
        ({"access": "pull"}, "it takes list or read"),
        ({"resource": "arn:aws:s3:::x/y"}, "is not the ARN of a resource"),
        ({"resource": unique, "resource_type": None}, "give resource_type as well"),
        ({"resource": f"{unique}-nowhere"}, f"There is no S3 bucket {unique}-nowhere of account 012345670123"),
    ]
    results = playbook.run(*({**present(made, locks), **change, "_fails": True} for change, _ in cases))
    for (change, message), result in zip(cases, results, strict=True):
        assert result["failed"], change
        assert message in result["msg"], change
    assert made.read() is None


def test_a_resource_that_is_gone_needs_no_revoking(playbook: Playbook, unique: str) -> None:
    (result,) = playbook.run({"resource": unique, "resource_type": "s3_bucket", "state": "absent"})
    assert result["changed"] is False
    assert result["policy"] == {}


def test_a_refusal_of_aws_names_account_resource_and_permission(
    sandbox: Sandbox, playbook: Playbook, unique: str, locks: dict[str, Any]
) -> None:
    made = MAKERS["sqs_queue"](sandbox, unique)
    deny = {"Effect": "Deny", "Action": "sqs:SetQueueAttributes", "Resource": made.arn}
    iam = sandbox.client("iam", sandbox.root("camden"))
    iam.put_role_policy(RoleName="localgov-deploy", PolicyName=unique, PolicyDocument=policy(deny))
    try:
        (result,) = playbook.run({**present(made, locks), "_fails": True})
    finally:
        iam.delete_role_policy(RoleName="localgov-deploy", PolicyName=unique)
    assert f"SQS queue {unique} of account 012345670123" in result["msg"]
    assert f"needs sqs:SetQueueAttributes on {made.arn}" in result["msg"]
    assert "Traceback" not in result["msg"]
    assert made.read() is None


def test_a_policy_of_another_account_is_not_looked_for_there(playbook: Playbook, locks: dict[str, Any]) -> None:
    arn = "arn:aws:ecr:eu-west-2:200000000001:repository/localgov/frontend"
    (result,) = playbook.run({"resource": arn, "access": "pull", **locks, "_fails": True})
    assert "belongs to account 200000000001, but this task runs as account 012345670123" in result["msg"]
