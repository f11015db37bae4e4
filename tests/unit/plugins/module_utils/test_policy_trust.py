# SPDX-License-Identifier: GPL-3.0-or-later
"""Which trust is refused, and which statements the rest becomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._policy_documents import (
    means_the_same,
    with_statements,
    without_statements,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import (
    KINDS,
    RefusedError,
    Resource,
    resource_of,
)
from ansible_collections.localgov.platform.plugins.module_utils._policy_trust import (
    PRESETS,
    PURPOSES,
    SHAREABLE,
    Statement,
    Trust,
    check,
    check_sid,
    expiry,
    has_expired,
    key_statements,
    narrowed,
    sid_at_key,
    wanted_statements,
)

ACCOUNT = "012345670123"
ORGANISATION = "o-a1b2c3d4e5"
UNIT = f"{ORGANISATION}/r-ab12/ou-ab12-11111111/*"
ROLE = "arn:aws:iam::200000000001:role/localgov-run-task"
TRUST = Trust(
    sid="Localgov",
    access="read",
    organisation_id=ORGANISATION,
    organisational_unit_paths=(UNIT,),
    role_patterns=("localgov-*-execution",),
)
LOCKS = {
    "StringEquals": {"aws:PrincipalOrgID": ORGANISATION},
    "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": UNIT},
    "ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/localgov-*-execution"},
}
NAMES = {"kms_key": "alias/one", "s3_bucket": "shared"}


def resource(kind: str, partition: str = "aws") -> Resource:
    return resource_of(NAMES.get(kind, "one"), kind, ACCOUNT, "eu-west-2", partition)


BUCKET = resource("s3_bucket")
KEY = resource_of("arn:aws:kms:eu-west-2:012345670123:key/1234", None, ACCOUNT, "eu-west-2", "aws")


def by_sid(trust: Trust, of: Resource = BUCKET) -> dict[str, Statement]:
    return {statement["Sid"]: statement for statement in wanted_statements(trust, of)}


# --- Locks ---


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"organisation_id": None}, "this lacks the organisation's (organisation_id). "),
        ({"organisation_id": ""}, "this lacks the organisation's (organisation_id). "),
        ({"organisational_unit_paths": ()}, "this lacks the organisation's (organisational_unit_paths). "),
        (
            {"organisation_id": None, "organisational_unit_paths": ()},
            "this lacks the organisation's (organisation_id and organisational_unit_paths). ",
        ),
        ({"role_patterns": ()}, "this lacks the role's (role_patterns or role_arns). "),
        (
            {"organisation_id": None, "role_patterns": ()},
            "this lacks the organisation's (organisation_id) and the role's (role_patterns or role_arns). ",
        ),
    ],
)
def test_a_lock_that_is_missing_is_named(change: dict[str, Any], lacking: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check(replace(TRUST, **change))
    assert lacking in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        UNIT,
        UNIT.removesuffix("*"),
        f"{ORGANISATION}/r-ab12/ou-ab12-11111111/ou-ab12-22222222/*",
        f"{ORGANISATION}/r-5d7607/ou-5d76-924514a82e/*",
    ],
)
def test_a_path_to_a_unit_is_taken(path: str) -> None:
    check(replace(TRUST, organisational_unit_paths=(path,)))


@pytest.mark.parametrize(
    "path",
    [
        "*",
        "",
        ORGANISATION,
        f"{ORGANISATION}/*",
        f"{ORGANISATION}/r-ab12/*",
        f"{ORGANISATION}/r-ab12/",
        f"{ORGANISATION}/*/ou-ab12-11111111/*",
        f"{ORGANISATION}/r-ab12/ou-ab12-11111111",
        f"{ORGANISATION}/r-ab12/ou-ab12-11111111*",
        f"{ORGANISATION}/r-ab12/ou-ab12-*/*",
        f"{ORGANISATION}/r-ab12/ou-ab12-11111111/**",
        f"{ORGANISATION}/r-ab12/ou-ab12-11111111/*/ou-ab12-22222222/*",
        "o-zzzzzzzzzz/r-ab12/ou-ab12-11111111/*",
        f"x{UNIT}",
        f"{UNIT}\n",
    ],
)
def test_a_path_that_is_wider_or_matches_nothing_is_refused(path: str) -> None:
    with pytest.raises(RefusedError, match="is not the path of a unit of"):
        check(replace(TRUST, organisational_unit_paths=(UNIT, path)))


@pytest.mark.parametrize("organisation", ["*", "o-*", "012345670123", "o-A1B2C3D4E5", "o-a1b2", "o-a1b2c3d4e5 "])
def test_only_one_organisation_is_taken(organisation: str) -> None:
    with pytest.raises(RefusedError, match="is not the id of an organisation"):
        check(replace(TRUST, organisation_id=organisation))


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "**",
        "?*",
        "*/*",
        "a*",
        "*-*",
        "*role*",
        "a?b?c",
        "*-t*k",
        "*-role",
        "data-*",
        "*execution*",
        "/////////*",
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::111122223333:role/**",
        "service-role/*",
        "service-*",
        "/aws-service-role/*",
        "aws-service-role/ecs.amazonaws.com/*",
        "aws-service-role/*/AWSServiceRoleFor*",
        "aws-service-role/ecs.amazonaws.com/AWSServiceRoleFor*",
        "aws-reserved/*",
        "aws-reser*",
        "aws-reserved/sso.amazonaws.com/*",
        "aws-reserved/sso.amazonaws.com/eu-west-2/AWSReservedSSO_*",
        "aws-reserved/sso.amazonaws.com/eu-west-2/AWSReservedSSO_Ad*",
        "AWSReserved*",
        "arn:aws:iam::111122223333:role/service-role/*",
    ],
)
def test_a_pattern_of_almost_every_role_is_no_lock(pattern: str) -> None:
    with pytest.raises(RefusedError, match="so it is no lock"):
        check(replace(TRUST, role_patterns=("localgov-*", pattern)))


@pytest.mark.parametrize(
    "pattern",
    [
        "localgov-*",
        "*-execution",
        "run",
        "lg-*-execution",
        "arn:aws:iam::111122223333:role/teams/*",
        "service-role/localgov-*",
        "service-role/*-localgov",
        "services-*",
        "aws-reserved/sso.amazonaws.com/eu-west-2/AWSReservedSSO_Pipeline_*",
    ],
)
def test_a_pattern_that_begins_or_ends_with_a_name_is_a_lock(pattern: str) -> None:
    check(replace(TRUST, role_patterns=(pattern,)))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "role one",
        "arn:aws:iam::111122223333:user/localgov-*",
        "arn:aws:iam::1111*:role/localgov-*",
        "arn:aws:sts::111122223333:assumed-role/localgov-run/session",
        "arn:*:iam::111122223333:role/localgov-*",
        "localgov-${aws:username}",
        "localgov-é",
    ],
)
def test_what_is_no_pattern_of_roles_is_refused(pattern: str) -> None:
    with pytest.raises(RefusedError, match="is not a pattern of role names"):
        check(replace(TRUST, role_patterns=(pattern,)))


@pytest.mark.parametrize(
    "arn",
    [
        "localgov-run-task",
        "arn:aws:iam::200000000001:role/localgov-*",
        "arn:aws:iam::*:role/localgov-run-task",
        "arn:aws:iam::200000000001:root",
        "arn:aws:iam::200000000001:user/one",
        "arn:aws:sts::200000000001:assumed-role/localgov-run-task/session",
        "arn:aws:iam::20000000001:role/localgov-run-task",
        "*",
    ],
)
def test_what_is_not_one_role_is_refused(arn: str) -> None:
    with pytest.raises(RefusedError, match="is not the ARN of one role"):
        check(replace(TRUST, role_arns=(ROLE, arn)))


@pytest.mark.parametrize("sid", ["", "Local gov", "local-gov", "Läden", "a" * 65, "One\n"])
def test_a_sid_that_iam_would_not_take_is_refused(sid: str) -> None:
    with pytest.raises(RefusedError, match="must be 1 to 64 letters and digits"):
        check(replace(TRUST, sid=sid))


@pytest.mark.parametrize("prefix", ["", "/", "//", "/ssda903", "ssda903/*", "*", "a?c", "${aws:PrincipalAccount}"])
def test_a_prefix_that_is_no_folder_is_refused(prefix: str) -> None:
    with pytest.raises(RefusedError, match="is not a folder of keys"):
        check(replace(TRUST, prefixes=("other", prefix)))


def test_both_kinds_of_roles_may_be_given_together() -> None:
    trust = replace(TRUST, role_arns=(ROLE,), role_patterns=("localgov-*", "arn:aws:iam::111122223333:role/teams/*"))
    check(trust)
    assert by_sid(trust)["LocalgovRead"]["Condition"]["ArnLike"] == {
        "aws:PrincipalArn": [ROLE, "arn:aws:iam::*:role/localgov-*", "arn:aws:iam::111122223333:role/teams/*"]
    }


# --- Statements ---


@pytest.mark.parametrize("kind", KINDS)
def test_every_statement_of_every_preset_has_both_locks(kind: str) -> None:
    for access in PRESETS[kind]:
        for statement in wanted_statements(replace(TRUST, access=access), resource(kind)):
            assert statement["Effect"] == "Allow"
            assert statement["Principal"] == {"AWS": "*"}
            assert statement["Condition"] == LOCKS
            assert statement["Sid"].removeprefix("Localgov") in PURPOSES
            assert "*" not in str(statement["Action"])


@pytest.mark.parametrize(
    ("kind", "access", "expected"),
    [
        ("s3_bucket", "list", {"LocalgovList": ("s3:ListBucket", "arn:aws:s3:::shared")}),
        (
            "s3_bucket",
            "read",
            {
                "LocalgovList": ("s3:ListBucket", "arn:aws:s3:::shared"),
                "LocalgovRead": ("s3:GetObject", "arn:aws:s3:::shared/*"),
            },
        ),
        (
            "ecr_repository",
            "pull",
            {
                "LocalgovPull": (
                    ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                    None,
                )
            },
        ),
        ("kms_key", "decrypt", {"LocalgovDecrypt": (["kms:Decrypt", "kms:DescribeKey"], "*")}),
        (
            "secretsmanager_secret",
            "read",
            {"LocalgovRead": (["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"], "*")},
        ),
        ("iam_role", "assume", {"LocalgovAssume": ("sts:AssumeRole", None)}),
        ("sns_topic", "publish", {"LocalgovPublish": ("sns:Publish", f"arn:aws:sns:eu-west-2:{ACCOUNT}:one")}),
        ("sns_topic", "subscribe", {"LocalgovSubscribe": ("sns:Subscribe", f"arn:aws:sns:eu-west-2:{ACCOUNT}:one")}),
        (
            "sqs_queue",
            "send",
            {"LocalgovSend": (["sqs:GetQueueUrl", "sqs:SendMessage"], f"arn:aws:sqs:eu-west-2:{ACCOUNT}:one")},
        ),
    ],
)
def test_a_preset_lets_in_what_its_name_says(kind: str, access: str, expected: dict[str, Any]) -> None:
    found = by_sid(replace(TRUST, access=access), resource(kind))
    assert {sid: (each["Action"], each.get("Resource")) for sid, each in found.items()} == expected


def test_prefixes_narrow_what_is_read_and_what_is_listed() -> None:
    found = by_sid(replace(TRUST, prefixes=("ssda903", "other/2026/")))
    assert found["LocalgovRead"]["Resource"] == ["arn:aws:s3:::shared/ssda903/*", "arn:aws:s3:::shared/other/2026/*"]
    assert found["LocalgovRead"]["Condition"] == LOCKS
    assert found["LocalgovList"]["Resource"] == "arn:aws:s3:::shared"
    assert found["LocalgovList"]["Condition"] == {**LOCKS, "StringLike": {"s3:prefix": ["ssda903/*", "other/2026/*"]}}


def test_prefixes_mean_nothing_but_for_a_bucket() -> None:
    with pytest.raises(RefusedError, match="prefixes narrow what is shared of an S3 bucket"):
        wanted_statements(replace(TRUST, access="pull", prefixes=("a",)), resource("ecr_repository"))


def test_an_end_is_a_condition_of_every_statement() -> None:
    for statement in wanted_statements(replace(TRUST, expires="2027-03-31"), BUCKET):
        assert statement["Condition"]["DateLessThan"] == {"aws:CurrentTime": "2027-03-31T00:00:00Z"}


def test_arns_are_of_the_resource_s_partition() -> None:
    bucket = resource("s3_bucket", "aws-cn")
    statement = by_sid(TRUST, bucket)["LocalgovRead"]
    assert statement["Resource"] == "arn:aws-cn:s3:::shared/*"
    assert statement["Condition"]["ArnLike"] == {"aws:PrincipalArn": "arn:aws-cn:iam::*:role/localgov-*-execution"}


# --- Actions ---


def with_actions(*actions: str, **more: Any) -> Trust:  # noqa: ANN401
    return replace(TRUST, access=None, actions=actions, **more)


def test_actions_on_a_bucket_and_on_objects_get_statements_of_their_own() -> None:
    trust = with_actions(
        "s3:GetObjectTagging", "s3:ListBucket", "s3:GetBucketObjectLockConfiguration", "s3:AbortMultipartUpload"
    )
    found = by_sid(trust)
    assert found["LocalgovOnBucket"]["Action"] == ["s3:ListBucket", "s3:GetBucketObjectLockConfiguration"]
    assert found["LocalgovOnBucket"]["Resource"] == "arn:aws:s3:::shared"
    assert found["LocalgovOnObjects"]["Action"] == ["s3:GetObjectTagging", "s3:AbortMultipartUpload"]
    assert found["LocalgovOnObjects"]["Resource"] == "arn:aws:s3:::shared/*"


def test_actions_take_prefixes_where_aws_does() -> None:
    found = by_sid(with_actions("s3:ListBucket", "s3:GetObject", prefixes=("a",)))
    assert found["LocalgovOnBucket"]["Condition"]["StringLike"] == {"s3:prefix": "a/*"}
    assert found["LocalgovOnObjects"]["Resource"] == "arn:aws:s3:::shared/a/*"
    with pytest.raises(RefusedError, match="concerns the whole bucket"):
        by_sid(with_actions("s3:GetBucketLocation", prefixes=("a",)))


def test_an_action_twice_is_written_once() -> None:
    found = by_sid(with_actions("ecr:BatchGetImage", "ecr:BatchGetImage"), resource("ecr_repository"))
    assert found["LocalgovActions"]["Action"] == "ecr:BatchGetImage"


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("s3_bucket", "*"),
        ("s3_bucket", "s3:*"),
        ("s3_bucket", "s3:Get*"),
        ("s3_bucket", "GetObject"),
        ("s3_bucket", "ecr:BatchGetImage"),
        ("ecr_repository", "ecr:?atchGetImage"),
        ("iam_role", "iam:PassRole"),
        ("kms_key", "kms: Decrypt"),
    ],
)
def test_an_action_that_is_not_one_of_the_resource_is_refused(kind: str, action: str) -> None:
    with pytest.raises(RefusedError, match="does not name one action on the"):
        wanted_statements(with_actions(action), resource(kind))


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("s3_bucket", "s3:PutBucketPolicy"),
        ("s3_bucket", "S3:putbucketpolicy"),
        ("s3_bucket", "s3:PutObjectAcl"),
        ("ecr_repository", "ecr:SetRepositoryPolicy"),
        ("kms_key", "kms:CreateGrant"),
        ("kms_key", "kms:PutKeyPolicy"),
        ("secretsmanager_secret", "secretsmanager:PutResourcePolicy"),
        ("sns_topic", "sns:AddPermission"),
        ("sqs_queue", "sqs:SetQueueAttributes"),
        ("s3_bucket", "s3:PutInventoryConfiguration"),
        ("s3_bucket", "s3:PutBucketNotification"),
        ("s3_bucket", "s3:PutReplicationConfiguration"),
        ("s3_bucket", "s3:PutEncryptionConfiguration"),
        ("s3_bucket", "s3:PutBucketLogging"),
        ("s3_bucket", "s3:DeleteObjectVersion"),
        ("kms_key", "kms:ScheduleKeyDeletion"),
        ("kms_key", "kms:ReplicateKey"),
        ("ecr_repository", "ecr:ActionThatAwsAddsLater"),
        ("iam_role", "sts:AssumeRoleWithWebIdentity"),
    ],
)
def test_what_would_outlive_revoking_is_refused(kind: str, action: str) -> None:
    with pytest.raises(RefusedError, match="could let themselves in again after you revoke"):
        wanted_statements(with_actions(action), resource(kind))


def test_what_is_refused_of_a_topic_is_not_refused_on_the_ground_that_nothing_shared_outlives_revoking() -> None:
    with pytest.raises(RefusedError, match="sns:Subscribe does keep one"):
        wanted_statements(with_actions("sns:SetTopicAttributes"), resource("sns_topic"))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_preset_lets_in_may_be_let_in_action_by_action(kind: str) -> None:
    preset = {action for purposes in PRESETS[kind].values() for actions in purposes.values() for action in actions}
    assert preset <= set(SHAREABLE[kind])
    assert wanted_statements(with_actions(*SHAREABLE[kind]), resource(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_access_of_another_kind_is_refused_with_those_there_are(kind: str) -> None:
    other = next(access for presets in PRESETS.values() for access in presets if access not in PRESETS[kind])
    with pytest.raises(RefusedError) as refused:
        wanted_statements(replace(TRUST, access=other), resource(kind))
    assert all(access in str(refused.value) for access in PRESETS[kind])


def test_no_access_and_no_actions_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"Say what is let in to the S3 bucket shared .*access \(list or read\)"):
        wanted_statements(with_actions(), BUCKET)


# --- The key of a bucket ---


def test_the_key_of_a_bucket_decrypts_for_that_bucket_through_s3_alone() -> None:
    (statement,) = key_statements(replace(TRUST, expires="2027-03-31"), BUCKET, KEY)
    assert (statement["Action"], statement["Resource"]) == ("kms:Decrypt", "*")
    assert statement["Condition"] == {
        **LOCKS,
        "StringEquals": {"aws:PrincipalOrgID": ORGANISATION, "kms:ViaService": "s3.eu-west-2.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:aws:s3:arn": ["arn:aws:s3:::shared", "arn:aws:s3:::shared/*"]},
        "DateLessThan": {"aws:CurrentTime": "2027-03-31T00:00:00Z"},
    }


@pytest.mark.parametrize(
    ("trust", "actions"),
    [
        (replace(TRUST, access="list"), None),
        (with_actions("s3:GetObjectTagging"), None),
        (with_actions("s3:GetObjectVersion"), "kms:Decrypt"),
        (with_actions("s3:PutObject"), ["kms:Decrypt", "kms:GenerateDataKey"]),
    ],
)
def test_a_key_opens_no_further_than_the_bucket(trust: Trust, actions: object) -> None:
    assert [each["Action"] for each in key_statements(trust, BUCKET, KEY)] == ([] if actions is None else [actions])


def test_statements_of_two_buckets_in_one_key_are_told_apart() -> None:
    other = resource_of("shared-too", "s3_bucket", ACCOUNT, "eu-west-2", "aws")
    mine, theirs = (key_statements(TRUST, bucket, KEY) for bucket in (BUCKET, other))
    both = with_statements(
        with_statements(None, mine, sid_at_key("Localgov", BUCKET)), theirs, sid_at_key("Localgov", other)
    )
    assert both["Statement"] == [*mine, *theirs]
    assert without_statements(both, sid_at_key("Localgov", other)) == {**both, "Statement": mine}
    assert without_statements(both, "Localgov") == both
    check_sid(mine[0]["Sid"])


# --- Ends ---


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2027-03-31", "2027-03-31T00:00:00Z"),
        ("2027-03-31T18:00:00Z", "2027-03-31T18:00:00Z"),
        ("2027-03-31T18:00:00+01:00", "2027-03-31T17:00:00Z"),
        ("2027-03-31 18:00:00+00:00", "2027-03-31T18:00:00Z"),  # as YAML leaves a time without quotes
        ("2028-02-29", "2028-02-29T00:00:00Z"),
    ],
)
def test_a_date_or_a_time_with_its_zone_is_an_end(text: str, end: str) -> None:
    assert expiry(text) == end


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "31.03.2027", "2027-02-29", "2027-03-31T18:00:00", "2027-13-01", "20270331", "1806451200"]
)
def test_what_is_no_end_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="is neither a date"):
        check(replace(TRUST, expires=text))


def test_trust_has_expired_from_its_end_on() -> None:
    trust = replace(TRUST, expires="2027-03-31")
    assert not has_expired(trust, datetime(2027, 3, 30, 23, 59, 59, tzinfo=UTC))
    assert has_expired(trust, datetime(2027, 3, 31, tzinfo=UTC))
    assert not has_expired(TRUST, datetime(2999, 1, 1, tzinfo=UTC))


# --- What stays while a change cannot be made ---


def both(before: Trust, after: Trust) -> list[Statement]:
    return narrowed(wanted_statements(before, BUCKET), wanted_statements(after, BUCKET))


OTHER_ROLE = "arn:aws:iam::111122223333:role/localgov-other"
NARROW = replace(TRUST, role_patterns=("localgov-run",), prefixes=("ssda903",), expires="2027-03-31")


@pytest.mark.parametrize(
    "wide",
    [
        replace(NARROW, role_patterns=("localgov-*",)),
        replace(NARROW, role_patterns=("localgov-run", "localgov-other")),
        replace(NARROW, prefixes=()),
        replace(NARROW, prefixes=("ssda903", "cin")),
        replace(NARROW, expires=None),
        replace(NARROW, expires="2027-04-01"),
    ],
)
def test_of_a_wider_and_a_narrower_trust_the_narrower_stays_whichever_was_there(wide: Trust) -> None:
    narrow = wanted_statements(NARROW, BUCKET)
    for found in (both(wide, NARROW), both(NARROW, wide)):
        assert len(found) == len(narrow)
        assert all(means_the_same(one, other) for one, other in zip(found, narrow, strict=True))


def test_what_was_there_for_others_goes_and_what_was_not_there_does_not_come() -> None:
    assert both(replace(NARROW, role_patterns=("localgov-other",)), NARROW) == []
    assert both(replace(NARROW, prefixes=("ssda903",)), replace(NARROW, prefixes=("ssda90",))) == []
    assert [each["Sid"] for each in both(replace(NARROW, access="list"), NARROW)] == ["LocalgovList"]


@pytest.mark.parametrize(
    "change",
    [{"Effect": "Deny"}, {"Principal": {"AWS": "111122223333"}}, {"NotAction": "s3:GetObject"}, {"Action": "s3:Get?"}],
)
def test_a_statement_in_a_form_that_is_not_ours_does_not_stay(change: dict[str, Any]) -> None:
    first, *rest = wanted_statements(NARROW, BUCKET)
    assert narrowed([{**first, **change}, *rest], [first, *rest]) == rest


def test_a_lock_that_somebody_took_off_is_put_back() -> None:
    wanted = wanted_statements(NARROW, BUCKET)
    broken = [{**each, "Condition": {"DateLessThan": each["Condition"]["DateLessThan"]}} for each in wanted]
    found = narrowed(broken, wanted)
    assert all(means_the_same(one, other) for one, other in zip(found, wanted, strict=True))
