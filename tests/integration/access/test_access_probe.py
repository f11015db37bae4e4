# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground for trials is prepared and cleared without a trace, and nothing else is touched."""

from __future__ import annotations

from typing import Any

from tests.integration.access.conftest import PROBE, Estate, Playbook, allow

IS_KNOWN = {"Sid": "AccessProbeIsKnown", "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}


def beats(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Check, do, check again, do again."""
    return [
        {PROBE: arguments, "check": True},
        {PROBE: arguments},
        {PROBE: arguments, "check": True},
        {PROBE: arguments},
    ]


def test_all_of_it_comes_and_goes_in_four_beats(estate: Estate, playbook: Playbook, unique: str) -> None:
    s3, iam = estate.client("s3"), estate.client("iam")
    bucket, kept = estate.bucket("own"), f"{unique}/table.csv"
    estate.role(unique, {"Service": "ecs-tasks.amazonaws.com"}, allow("s3:GetObject"))
    lent = allow("s3:GetObject", "arn:aws:s3:::elsewhere/*")
    ground = {
        "buckets": [{"name": bucket, "prefixes": [unique, "", f"{unique}/"]}],
        "roles": [{"name": unique, "statements": [lent]}, {"name": f"{unique}-made", "make": True}],
    }
    s3.put_object(Bucket=bucket, Key=kept, Body=b"a,b\n")
    present = playbook.run(*beats({"state": "present", **ground}))
    versions = {one["Key"]: one["VersionId"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]}
    assert "versions" not in present[0]
    for result in (present[1], present[3]):
        assert result["versions"] == {
            name: versions[name.removeprefix(f"s3://{bucket}/")] for name in present[0]["objects"]
        }
    assert [result["changed"] for result in present] == [True, True, False, False]
    assert [result["objects"] for result in present] == 4 * [
        [f"s3://{bucket}/{unique}/.access-probe/probe", f"s3://{bucket}/.access-probe/probe"]
    ]
    assert present[0]["diff"] == present[1]["diff"]
    assert present[0]["diff"]["before"] == {}
    assert present[0]["roles"][0]["policy"]["Statement"] == [lent, IS_KNOWN]

    probe = s3.get_object_tagging(Bucket=bucket, Key=f"{unique}/.access-probe/probe")
    assert probe["TagSet"] == [{"Key": "purpose", "Value": "access-probe"}]
    made = iam.get_role(RoleName=f"{unique}-made")["Role"]
    deployer = f"arn:aws:iam::{estate.sandbox.account('camden')}:role/localgov-deploy"
    assert [one["Principal"] for one in made["AssumeRolePolicyDocument"]["Statement"]] == [{"AWS": deployer}]
    assert iam.list_role_policies(RoleName=unique)["PolicyNames"] == ["own", "access-probe"]

    # What trials, or whatever went wrong with them, may have left.
    s3.put_object(Bucket=bucket, Key=f"{unique}/.access-probe/put", Body=b"left")
    s3.delete_object(Bucket=bucket, Key=f"{unique}/.access-probe/probe")
    absent = playbook.run(*beats({"state": "absent", **ground}))
    assert [result["changed"] for result in absent] == [True, True, False, False]
    assert absent[0]["diff"] == absent[1]["diff"]
    assert absent[0]["diff"]["after"] == {}
    assert len(absent[0]["diff"]["before"][f"s3://{bucket}/{unique}/.access-probe/"]) == 4
    assert estate.leftovers("own") == [kept]
    assert iam.list_role_policies(RoleName=unique)["PolicyNames"] == ["own"]
    assert f"{unique}-made" not in [role["RoleName"] for role in iam.list_roles()["Roles"]]
    s3.delete_object(Bucket=bucket, Key=kept, VersionId=s3.head_object(Bucket=bucket, Key=kept)["VersionId"])


def test_without_versioning_nothing_is_left_either(estate: Estate, playbook: Playbook, unique: str) -> None:
    s3 = estate.client("s3")
    s3.create_bucket(Bucket=unique, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    buckets = {"buckets": [{"name": unique}]}
    made, gone = playbook.run({PROBE: buckets}, {PROBE: {"state": "absent", **buckets}})
    assert made["objects"] == [f"s3://{unique}/.access-probe/probe"]
    assert gone["changed"]
    s3.delete_bucket(Bucket=unique)


def test_a_second_run_stops_before_it_changes_anything_and_may_take_over(
    estate: Estate, playbook: Playbook, unique: str
) -> None:
    iam = estate.client("iam")
    estate.role(unique, {"Service": "ecs-tasks.amazonaws.com"})
    mine = {"buckets": [{"name": estate.bucket("own"), "prefixes": [unique]}], "roles": [{"name": unique}]}
    made = {"roles": [{"name": f"{unique}-made", "make": True}]}
    first, second, outside, also_outside, taken = playbook.run(
        {PROBE: {"alone": True, **mine, "roles": []}},
        {PROBE: {"alone": True, **mine}, "fails": True},
        {PROBE: {"alone": True, **made}},
        {PROBE: {"alone": True, **made}, "fails": True},
        {PROBE: {"alone": False, **mine}},
    )
    assert first["changed"]
    assert outside["changed"]
    for stopped in (second, also_outside):
        assert stopped["busy"]
        assert "Another run tries access in account" in stopped["msg"]
        assert "alone: false" in stopped["msg"]
    assert taken["changed"]
    assert iam.list_role_policies(RoleName=unique)["PolicyNames"] == ["access-probe"]
    playbook.run({PROBE: {"state": "absent", **mine}}, {PROBE: {"state": "absent", **made}})
    assert estate.leftovers("own") == []
    assert iam.list_role_policies(RoleName=unique)["PolicyNames"] == []


def test_what_is_not_there_is_an_error_to_prepare_and_none_to_clear(
    estate: Estate, playbook: Playbook, unique: str
) -> None:
    missing_bucket, missing_role = {"buckets": [{"name": unique}]}, {"roles": [{"name": unique}]}
    # A name that somebody else has is not a bucket of this account.
    foreign = {"buckets": [{"name": estate.bucket("closed")}]}
    no_bucket, no_role, not_own, cleared = playbook.run(
        {PROBE: {**missing_bucket, "roles": [{"name": f"{unique}-made", "make": True}]}, "fails": True},
        {PROBE: missing_role, "fails": True},
        {PROBE: foreign, "fails": True},
        {PROBE: {"state": "absent", **missing_bucket, **missing_role}},
    )
    assert f"in the bucket {unique} in account {estate.sandbox.account('camden')}: NoSuchBucket" in no_bucket["msg"]
    assert f"There is no role {unique} in account {estate.sandbox.account('camden')}" in no_role["msg"]
    assert "make: true" in no_role["msg"]
    assert "AccessDenied" in not_own["msg"]
    assert not cleared["changed"]
    roles = [role["RoleName"] for role in estate.client("iam").list_roles()["Roles"]]
    assert f"{unique}-made" not in roles, "nothing is made before all is found possible"


def test_a_role_that_somebody_else_made_is_neither_taken_nor_removed(
    estate: Estate, playbook: Playbook, unique: str
) -> None:
    estate.role(unique, {"Service": "ecs-tasks.amazonaws.com"})
    bucket, role = {"name": estate.bucket("own"), "prefixes": [unique]}, {"name": unique, "make": True}
    taken, probed, removed = playbook.run(
        {PROBE: {"roles": [role]}, "fails": True},
        {PROBE: {"buckets": [bucket]}},
        {PROBE: {"state": "absent", "roles": [role], "buckets": [bucket]}, "fails": True},
    )
    for refused in (taken, removed):
        assert (
            f"The role {unique} in account {estate.sandbox.account('camden')} was not made for trials"
            in (refused["msg"])
        )
    assert probed["changed"]
    assert removed["changed"]
    assert estate.leftovers("own") == [], "what stands in the way of one does not keep the rest"
    assert estate.client("iam").list_role_policies(RoleName=unique)["PolicyNames"] == []


def test_a_made_role_is_given_back_to_who_tries_now(estate: Estate, playbook: Playbook, unique: str) -> None:
    iam = estate.client("iam")
    made, again = {"roles": [{"name": unique, "make": True}]}, {"roles": [{"name": unique, "make": True}]}
    playbook.run({PROBE: made})
    other = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}]}'
    iam.update_assume_role_policy(RoleName=unique, PolicyDocument=other)
    changed, gone = playbook.run({PROBE: again}, {PROBE: {"state": "absent", **made}})
    assert changed["changed"]
    assert changed["diff"]["before"] != changed["diff"]["after"]
    assert gone["changed"]


def test_services_that_go_leave_no_role_with_borrowed_rights_behind(estate: Estate, playbook: Playbook) -> None:
    """A policy that no stack knows would keep AWS from removing its roles. Sutton's deployer has all rights here."""
    name = "localgov-code-server-task"
    estate.role(name, {"Service": "ecs-tasks.amazonaws.com"}, allow("s3:GetObject"), account="sutton")
    lent = {"roles": [{"name": name, "statements": [allow("s3:GetObject")]}]}
    gone = {"ansible.builtin.include_role": {"name": "localgov.platform.la_services"}}
    state = {"la_services_state": "absent"}
    playbook.run({PROBE: lent}, {**gone, "vars": state}, host="sutton")
    iam = estate.client("iam", "sutton")
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["own"]
