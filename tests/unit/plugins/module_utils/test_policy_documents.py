# SPDX-License-Identifier: GPL-3.0-or-later
"""Our statements among those of others, for any policy that others may have written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._policy_documents import (
    Change,
    Policy,
    check_limits,
    closed,
    lost,
    means_the_same,
    owned,
    policy_of,
    statements,
    text_of,
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
    PURPOSES,
    Statement,
    Trust,
    wanted_statements,
)
from hypothesis import given
from hypothesis import strategies as st
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

from tests.unit.plugins.module_utils.policies import policies_of_others, statements_of_others

ACCOUNT = "012345670123"
PATHS = "aws:PrincipalOrgPaths"
ROLES = "aws:PrincipalArn"
UNIT = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"
BUCKET = resource_of("arn:aws:s3:::shared", None, ACCOUNT, "eu-west-2", "aws")
NAMES = {"kms_key": "alias/one", "iam_role": "one", "s3_bucket": "shared"}
RESOURCES = [resource_of(NAMES.get(kind, "one"), kind, ACCOUNT, "eu-west-2", "aws") for kind in KINDS]
TRUST = Trust(
    sid="Localgov",
    access="read",
    organisation_id="o-a1b2c3d4e5",
    organisational_unit_paths=(f"{UNIT}*",),
    role_arns=("arn:aws:iam::200000000001:role/localgov-run-task",),
    expires="2030-01-01",
    prefixes=("ssda903",),
)
LIST, READ = wanted_statements(TRUST, BUCKET)
OTHERS: Statement = {"Sid": "Others", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}

trusts = st.builds(
    lambda access, prefixes, paths, expires: replace(
        TRUST, access=access, prefixes=prefixes, organisational_unit_paths=paths, expires=expires
    ),
    st.sampled_from(["list", "read"]),
    st.sampled_from([(), ("ssda903",), ("ssda903", "other/2026")]),
    st.sampled_from([(f"{UNIT}*",), (f"{UNIT}*", UNIT)]),
    st.sampled_from([None, "2030-01-01"]),
)
# Those that begin alike, and those that end in what a statement is for.
sids = st.sampled_from(["Localgov", "LocalgovResearch", "LocalgovRead", "LocalgovList", "Other", "X"])


def ours(trust: Trust, sid: str = "Localgov") -> list[Statement]:
    return wanted_statements(replace(trust, sid=sid), BUCKET)


def of_others(policy: Policy | None, *own: str) -> list[Statement]:
    return [each for each in statements(policy) if not any(each in owned(policy, sid) for sid in own)]


def content(policy: Policy | None) -> tuple[list[str], dict[str, Any]]:
    """The statements without their order, and everything else."""
    rest = {key: value for key, value in (policy or {}).items() if key != "Statement"}
    return sorted(json.dumps(each, sort_keys=True) for each in statements(policy)), rest


# --- For any policy ---


@given(policies_of_others, trusts)
def test_putting_in_twice_is_putting_in_once(policy: Policy | None, trust: Trust) -> None:
    once = with_statements(policy, ours(trust), "Localgov")
    assert with_statements(once, ours(trust), "Localgov") == once
    assert not Change(once, with_statements(once, ours(trust), "Localgov"), "Localgov").is_needed


@given(policies_of_others, trusts, trusts, sids, sids)
def test_the_order_of_two_recipients_does_not_matter(
    policy: Policy | None, one: Trust, other: Trust, sid: str, other_sid: str
) -> None:
    if sid == other_sid:
        return
    first = with_statements(with_statements(policy, ours(one, sid), sid), ours(other, other_sid), other_sid)
    second = with_statements(with_statements(policy, ours(other, other_sid), other_sid), ours(one, sid), sid)
    assert content(first) == content(second)
    assert owned(first, sid) == ours(one, sid)
    assert owned(first, other_sid) == ours(other, other_sid)


@given(policies_of_others, trusts, trusts)
def test_statements_of_others_are_the_same_at_every_step(policy: Policy | None, one: Trust, other: Trust) -> None:
    before = copy.deepcopy(policy)
    first = with_statements(policy, ours(one), "Localgov")
    second = with_statements(first, ours(other), "Localgov")
    third = without_statements(second, "Localgov")
    assert policy == before, "what was read was changed in place"
    for step in (first, second, third):
        assert of_others(step, "Localgov") == statements(before)


@given(policies_of_others, trusts)
def test_a_policy_keeps_its_version_and_id(policy: Policy | None, trust: Trust) -> None:
    after = with_statements(policy, ours(trust), "Localgov")
    assert content(after)[1] == ({"Version": "2012-10-17"} if policy is None else content(policy)[1])


@given(policies_of_others, trusts)
def test_taking_out_is_the_inverse_of_putting_in(policy: Policy | None, trust: Trust) -> None:
    back = without_statements(with_statements(policy, ours(trust), "Localgov"), "Localgov")
    assert (back is None) is (policy is None)
    assert content(back) == content(policy)
    assert statements(back) == statements(policy), "and in the same order"


@given(policies_of_others, st.sampled_from(RESOURCES))
def test_nothing_is_taken_out_where_nothing_was_put_in(policy: Policy | None, resource: Resource) -> None:
    assert closed(policy, resource, "Localgov") is policy


@given(policies_of_others, trusts, st.sampled_from([each for each in RESOURCES if each.type != "kms_key"]))
def test_closing_leaves_no_statement_of_ours_that_allows(
    policy: Policy | None, trust: Trust, resource: Resource
) -> None:
    after = closed(with_statements(policy, ours(trust), "Localgov"), resource, "Localgov")
    assert not [each for each in owned(after, "Localgov") if each["Effect"] == "Allow"]
    assert closed(after, resource, "Localgov") == after
    assert closed(after, resource, "Localgov") is after or not Change(after, after, "Localgov").is_needed


@given(policies_of_others)
def test_a_policy_is_written_as_it_was_read(policy: Policy | None) -> None:
    if policy is not None:
        assert policy_of(text_of(policy), "S3 bucket") == policy


@given(policies_of_others, trusts)
def test_what_puts_ours_in_loses_nothing(policy: Policy | None, trust: Trust) -> None:
    assert lost(policy, with_statements(policy, ours(trust), "Localgov"), "Localgov") == []


@given(statements_of_others, st.randoms())
def test_order_and_single_values_do_not_change_what_a_statement_means(statement: Statement, random: Any) -> None:  # noqa: ANN401
    def other_form(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            items = [(key, other_form(inner)) for key, inner in value.items()]
            random.shuffle(items)
            return dict(items)
        if isinstance(value, list):
            return value[0] if len(value) == 1 else random.sample(value, len(value))
        return value

    assert means_the_same(statement, other_form(statement))


@given(
    policies_of_others,
    trusts,
    st.sampled_from(["200000000001", "300000000002"]),
    st.sampled_from(["localgov-run-task", "localgov-other"]),
    st.sampled_from(
        [UNIT, f"{UNIT}ou-ab12-22222222/", "o-a1b2c3d4e5/r-ab12/", "o-zzzzzzzzzz/r-zz99/ou-zz99-11111111/"]
    ),
    st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]),
    st.sampled_from(["ssda903/a", "drafts/a"]),
)
def test_whoever_lacks_a_lock_may_what_they_might_before(
    policy: Policy | None, trust: Trust, account: str, role: str, unit: str, action: str, key: str
) -> None:
    """Judged by the emulator's evaluation of policies, which is not ours."""
    context = EvalContext(
        principal_arn=f"arn:aws:iam::{account}:role/{role}",
        principal_type="AssumedRole",
        principal_account=account,
        action=action,
        resource_arn=f"arn:aws:s3:::shared/{key}",
        region="eu-west-2",
        principal_keys={"aws:principalorgid": unit.split("/")[0], "aws:principalorgpaths": [unit]},
    )
    after = with_statements(policy, ours(trust), "Localgov")
    in_unit = unit.startswith(UNIT)
    has_role = (account, role) == ("200000000001", "localgov-run-task")
    shared = trust.access == "read" and action == "s3:GetObject" and (not trust.prefixes or key.startswith("ssda903/"))
    decided_before = evaluate_resource_policy(policy, context).decision
    decided_after = evaluate_resource_policy(after, context).decision
    if not (in_unit and has_role and shared):
        assert decided_after == decided_before
    elif decided_before != "Deny":
        assert decided_after == "Allow"


def test_no_purpose_ends_in_another_so_that_prefixes_stay_apart() -> None:
    ends = [(one, other) for one in PURPOSES for other in PURPOSES if one != other and one.endswith(other)]
    assert ends == []


# --- What means the same, and what does not ---


def changed(statement: Statement, change: Callable[[Any], object]) -> Statement:
    result = copy.deepcopy(statement)
    change(result)
    return result


SAME: dict[str, Callable[[Any], object]] = {
    "principal as a star": lambda s: s.update(Principal="*"),
    "action in a list": lambda s: s.update(Action=[s["Action"]]),
    "action in other case": lambda s: s.update(Action=s["Action"].upper()),
    "resource in a list": lambda s: s.update(Resource=[s["Resource"]]),
    "path in a list": lambda s: s["Condition"].update({"ForAnyValue:StringLike": {PATHS: [UNIT + "*"]}}),
    "key in other case": lambda s: s["Condition"].update(StringEquals={"AWS:principalorgid": "o-a1b2c3d4e5"}),
}
DIFFERENT: dict[str, Callable[[Any], object]] = {
    "role condition removed": lambda s: s["Condition"].pop("ArnLike"),
    "role pattern widened": lambda s: s["Condition"]["ArnLike"].update({ROLES: "arn:aws:iam::*:role/*"}),
    "role added": lambda s: s["Condition"]["ArnLike"].update({ROLES: [*TRUST.role_arns, "arn:aws:iam::1:x"]}),
    "organisation id removed": lambda s: s["Condition"].pop("StringEquals"),
    "other organisation": lambda s: s["Condition"]["StringEquals"].update({"aws:PrincipalOrgID": "o-zzzzzzzzzz"}),
    "unit removed": lambda s: s["Condition"].pop("ForAnyValue:StringLike"),
    "unit without units below": lambda s: s["Condition"]["ForAnyValue:StringLike"].update({PATHS: UNIT}),
    "ForAllValues for ForAnyValue": lambda s: s["Condition"].update(
        {"ForAllValues:StringLike": s["Condition"].pop("ForAnyValue:StringLike")}
    ),
    "IfExists": lambda s: s["Condition"].update({"ArnLikeIfExists": s["Condition"].pop("ArnLike")}),
    "expiry removed": lambda s: s["Condition"].pop("DateLessThan"),
    "expiry later": lambda s: s["Condition"]["DateLessThan"].update({"aws:CurrentTime": "2031-01-01T00:00:00Z"}),
    "all conditions removed": lambda s: s.pop("Condition"),
    "action widened": lambda s: s.update(Action="s3:*"),
    "action added": lambda s: s.update(Action=[s["Action"], "s3:PutObject"]),
    "NotAction": lambda s: s.update(NotAction=s.pop("Action")),
    "resource widened": lambda s: s.update(Resource="arn:aws:s3:::shared/*"),
    "resource of another bucket": lambda s: s.update(Resource="arn:aws:s3:::other/ssda903/*"),
    "principal narrowed to an account": lambda s: s.update(Principal={"AWS": "200000000001"}),
    "principal of a service": lambda s: s.update(Principal={"Service": "*"}),
    "denied": lambda s: s.update(Effect="Deny"),
    "value in other case": lambda s: s["Condition"]["StringEquals"].update({"aws:PrincipalOrgID": "O-A1B2C3D4E5"}),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_ours_in_another_form_is_left_as_it_is_written(change: Callable[[Any], object]) -> None:
    written = {"Version": "2012-10-17", "Statement": [changed(READ, change), OTHERS]}
    after = with_statements(written, [READ], "Localgov")
    assert after is written
    assert not Change(written, after, "Localgov").is_needed


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
def test_ours_with_another_meaning_is_put_right_at_its_place(change: Callable[[Any], object]) -> None:
    written = {"Version": "2012-10-17", "Statement": [changed(READ, change), OTHERS]}
    after = with_statements(written, [READ], "Localgov")
    assert after["Statement"] == [READ, OTHERS]
    assert Change(written, after, "Localgov").difference == {"before": [written["Statement"][0]], "after": [READ]}


def test_ours_that_are_no_longer_wanted_go() -> None:
    before = with_statements(None, [LIST, READ], "Localgov")
    assert with_statements(before, [LIST], "Localgov")["Statement"] == [LIST]


def test_a_statement_of_ours_that_stands_twice_is_left_once() -> None:
    assert with_statements({"Statement": [READ, OTHERS, READ]}, [READ], "Localgov")["Statement"] == [READ, OTHERS]


def test_a_single_statement_that_is_no_list_is_kept() -> None:
    assert with_statements({"Statement": OTHERS}, [READ], "Localgov")["Statement"] == [OTHERS, READ]
    assert without_statements({"Statement": OTHERS}, "Localgov") == {"Statement": OTHERS}


def test_what_others_lost_is_found_whatever_its_form() -> None:
    before = {"Statement": [OTHERS, {**OTHERS, "Sid": "More"}, READ]}
    after = {"Statement": [{**OTHERS, "Principal": {"AWS": ["*"]}, "Action": ["s3:*"]}]}
    assert lost(before, after, "Localgov") == [{**OTHERS, "Sid": "More"}]


# --- Closing, by kind ---


@pytest.mark.parametrize("resource", RESOURCES, ids=KINDS)
def test_a_policy_of_ours_alone_is_closed_as_far_as_the_kind_allows(resource: Resource) -> None:
    alone = with_statements(None, [READ], "Localgov")
    if resource.type == "kms_key":
        with pytest.raises(RefusedError, match="nobody could manage it"):
            closed(alone, resource, "Localgov")
        return
    sids_left = {"iam_role": ["LocalgovClosed"], "sns_topic": ["__default_statement_ID"]}.get(resource.type)
    after = closed(alone, resource, "Localgov")
    assert [each["Sid"] for each in statements(after)] == (sids_left or [])
    assert (after is None) is (sids_left is None)


def test_a_role_that_was_closed_is_opened_again_without_the_denial() -> None:
    role = RESOURCES[list(KINDS).index("iam_role")]
    shut = closed(with_statements(None, [READ], "Localgov"), role, "Localgov")
    assert with_statements(shut, [READ], "Localgov")["Statement"] == [READ]


# --- Policies that cannot be understood ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is not an object"),
        ('"text"', "it is not an object"),
        ("null", "it is not an object"),
        ("{}", "its Statement is neither"),
        ('{"Statement": "x"}', "its Statement is neither"),
        ('{"Statement": null}', "its Statement is neither"),
        ('{"Statement": [1]}', "statement 1 is not an object"),
        ('{"Statement": [{}, []]}', "statement 2 is not an object"),
        ('{"Statement": [{"Sid": 1}]}', "the Sid of statement 1 is not a string"),
        ('{"Statement": [{"Effect": "Deny", "Effect": "Allow"}]}', "'Effect' stands twice"),
        ('{"Statement": [], "Statement": []}', "'Statement' stands twice"),
    ],
)
def test_a_policy_that_cannot_be_understood_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RefusedError) as refused:
        policy_of(text, BUCKET.label)
    assert reason in str(refused.value)
    assert f"the S3 bucket shared of account {ACCOUNT}" in str(refused.value)
    assert "Nothing was written." in str(refused.value)


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_no_text_is_no_policy(text: str | None) -> None:
    assert policy_of(text, BUCKET.label) is None


# --- Limits ---


def filled(size: int, white_space: bool = False) -> Policy:
    """A policy of *size* bytes."""
    empty: Policy = {"Statement": [{**OTHERS, "Sid": ""}]}
    padding = size - len(text_of(empty))
    return {"Statement": [{**OTHERS, "Sid": (" " if white_space else "x") * padding}]}


@pytest.mark.parametrize("resource", RESOURCES, ids=KINDS)
def test_a_policy_may_be_as_large_as_aws_allows_and_no_larger(resource: Resource) -> None:
    most = {
        "s3_bucket": 20480,
        "ecr_repository": 10240,
        "kms_key": 32768,
        "secretsmanager_secret": 20480,
        "sns_topic": 30720,
        "sqs_queue": 8192,
        "iam_role": 4096,
    }[resource.type]
    check_limits(filled(most), resource)
    with pytest.raises(RefusedError, match=f"of {most:,} that AWS allows") as refused:
        check_limits(filled(most + 1), resource)
    assert resource.label in str(refused.value)


def test_white_space_counts_but_for_a_role() -> None:
    by_type = {resource.type: resource for resource in RESOURCES}
    check_limits(filled(5000, white_space=True), by_type["iam_role"])
    with pytest.raises(RefusedError):
        check_limits(filled(9000, white_space=True), by_type["sqs_queue"])


def test_size_is_counted_in_bytes() -> None:
    by_type = {resource.type: resource for resource in RESOURCES}
    with pytest.raises(RefusedError):
        check_limits({"Statement": [{**OTHERS, "Sid": "ü" * 5000}]}, by_type["sqs_queue"])


def test_a_queue_takes_twenty_statements_of_seven_actions() -> None:
    queue = next(resource for resource in RESOURCES if resource.type == "sqs_queue")
    small = {"Effect": "Deny", "Action": "sqs:*"}
    check_limits({"Statement": [small] * 20}, queue)
    with pytest.raises(RefusedError, match="21 statements of 20"):
        check_limits({"Statement": [small] * 21}, queue)
    with pytest.raises(RefusedError, match="8 actions in a statement of 7"):
        check_limits({"Statement": [{**small, "Action": ["sqs:SendMessage"] * 8}]}, queue)
