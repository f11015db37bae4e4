# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: ANN401  results of a module are what JSON holds
"""What is open and what is closed after a task that AWS has refused something, or whose bucket has changed its key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.localgov.platform.plugins.modules import cross_account_trust as module

from tests.unit.answering_aws import ADMINISTRATORS, Aws, key_arn

Run = Callable[..., dict[str, Any]]
CAMDEN, HUB = "arn:aws:iam::012345670123:role/localgov-run", "arn:aws:iam::200000000001:role/localgov-run"
GRANT = {
    "access": "read",
    "organisation_id": "o-a1b2c3d4e5",
    "organisational_unit_paths": ["o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/*"],
    "role_arns": [HUB],
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws(encrypts_by="k0", keys={"k0": [ADMINISTRATORS], "k1": [ADMINISTRATORS]})
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda self, service, **more: aws.client(service, **more))
    return aws


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The module's result for a bucket, or what else *arguments* name."""

    def run(**arguments: Any) -> dict[str, Any]:
        task = {"resource": "shared", "resource_type": "s3_bucket", "region": "eu-west-2", **arguments}
        with patch_module_args(task), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def sids(statements: list[dict[str, Any]]) -> list[str]:
    return [statement["Sid"].replace(statement["Sid"][11:-7], "...") for statement in statements]


def conditions(statements: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    found = [statement["Condition"] for statement in statements]
    return [(each["ArnLike"]["aws:PrincipalArn"], each.get("DateLessThan")) for each in found]


@pytest.mark.parametrize("refused", ["GetBucketPolicy", "DeleteBucketPolicy"])
def test_a_bucket_that_cannot_be_closed_leaves_no_key_open(aws: Aws, run: Run, refused: str) -> None:
    run(**GRANT)
    assert len(aws.keys["k0"]) == 2
    aws.denied = {refused, "GetKeyPolicy k1"}
    failed = run(state="absent")
    assert f"needs s3:{refused}" in failed["msg"]
    assert aws.keys["k0"] == [ADMINISTRATORS]


@pytest.mark.parametrize("refused", ["GetKeyPolicy", "PutKeyPolicy"])
def test_trouble_with_a_key_keeps_nobody_in_the_bucket_who_is_no_longer_let_in(
    aws: Aws, run: Run, refused: str
) -> None:
    run(**{**GRANT, "role_arns": [HUB, CAMDEN]})
    aws.denied = {refused}
    failed = run(**GRANT, expires="2999-01-01")
    assert f"needs kms:{refused}" in failed["msg"]
    end = {"aws:CurrentTime": "2999-01-01T00:00:00Z"}
    assert conditions(aws.bucket) == [(HUB, end), (HUB, end)]


def test_trouble_with_a_key_lets_nobody_into_the_bucket_who_was_not(aws: Aws, run: Run) -> None:
    run(**GRANT, expires="2999-01-01")
    before = aws.bucket
    aws.denied = {"PutKeyPolicy"}
    assert run(**{**GRANT, "role_arns": [HUB, CAMDEN]})["failed"] is True
    assert aws.bucket == before
    assert run(**{**GRANT, "role_arns": [CAMDEN]})["failed"] is True
    assert aws.bucket == []


def test_check_mode_closes_nothing_in_trouble(aws: Aws, run: Run) -> None:
    run(**{**GRANT, "role_arns": [HUB, CAMDEN]})
    bucket, keys = aws.bucket, dict(aws.keys)
    aws.denied = {"GetKeyPolicy"}
    assert run(**GRANT, _ansible_check_mode=True)["failed"] is True
    aws.denied = {"GetBucketPolicy"}
    assert run(state="absent", _ansible_check_mode=True)["failed"] is True
    assert (aws.bucket, aws.keys) == (bucket, keys)


def test_a_former_key_is_opened_again_after_the_share_was_revoked(aws: Aws, run: Run) -> None:
    """Objects that were written under it are opened by it alone."""
    run(**GRANT)
    aws.encrypts_by = "k1"
    run(**GRANT)
    opened = dict(aws.keys)
    run(state="absent")
    assert aws.keys == {"k0": [ADMINISTRATORS], "k1": [ADMINISTRATORS]}
    assert run(**GRANT)["changed"] is True
    assert aws.keys == opened
    assert len(opened["k0"]) == len(opened["k1"]) == 2
    assert run(**GRANT)["changed"] is False


def test_a_key_that_is_not_opened_is_not_tagged(aws: Aws, run: Run) -> None:
    run(**{**GRANT, "access": "list"})
    run(**GRANT, _ansible_check_mode=True)
    assert aws.tags == {}
    run(**GRANT)
    assert [*aws.tags] == ["k0"]
    assert [*aws.tags["k0"].values()] == ["shared"]


def test_a_key_that_was_opened_before_keys_were_tagged_is_tagged_and_that_is_a_change(aws: Aws, run: Run) -> None:
    run(**GRANT)
    aws.tags = {}
    assert run(**GRANT, _ansible_check_mode=True)["changed"] is True
    assert run(**GRANT)["changed"] is True
    assert run(**GRANT)["changed"] is False


def test_a_key_that_cannot_be_tagged_is_not_opened(aws: Aws, run: Run) -> None:
    aws.denied = {"TagResource"}
    assert "needs kms:TagResource" in run(**GRANT)["msg"]
    assert aws.keys["k0"] == [ADMINISTRATORS]
    assert aws.bucket == []


ROLE = {"resource": "partner", "resource_type": "iam_role", "state": "absent"}


def test_sessions_are_revoked_though_the_role_was_closed_before(aws: Aws, run: Run) -> None:
    run(**{**GRANT, **ROLE, "state": "present", "access": "assume"})
    run(**ROLE)
    assert aws.role_policies == {}
    assert run(**ROLE, revoke_sessions=True, _ansible_check_mode=True)["changed"] is True
    assert aws.role_policies == {}
    assert run(**ROLE, revoke_sessions=True)["changed"] is True
    assert [*aws.role_policies] == ["LocalgovRevokedSessions"]
    before = dict(aws.role_policies)
    assert run(**ROLE, revoke_sessions=True)["changed"] is False
    assert aws.role_policies == before


def test_sessions_that_were_not_revoked_are_revoked_by_running_it_again(aws: Aws, run: Run) -> None:
    run(**{**GRANT, **ROLE, "state": "present", "access": "assume"})
    aws.denied = {"PutRolePolicy"}
    failed = run(**ROLE, revoke_sessions=True)
    assert "its sessions were not revoked" in failed["msg"]
    assert "needs iam:PutRolePolicy" in failed["msg"]
    aws.denied = set()
    run(**ROLE, revoke_sessions=True)
    assert [*aws.role_policies] == ["LocalgovRevokedSessions"]


def test_keys_that_cannot_be_looked_at_are_returned(aws: Aws, run: Run) -> None:
    aws.denied = {"GetKeyPolicy k1"}
    for state in ("present", "absent"):
        assert run(**GRANT, state=state)["unseen_keys"] == [key_arn("k1")]
    aws.denied = {"ListResourceTags k1"}
    assert run(**GRANT)["unseen_keys"] == [key_arn("k1")]
    assert run(state="absent")["unseen_keys"] == []


def test_a_key_whose_tags_are_not_to_be_seen_is_not_tagged_again_each_time(aws: Aws, run: Run) -> None:
    aws.denied = {"ListResourceTags k0"}
    run(**GRANT)
    again = run(**GRANT)
    assert (again["changed"], again["unseen_keys"]) == (False, [key_arn("k0")])


@pytest.mark.parametrize(("name", "region"), [("eu-west-1", "eu-west-1"), ("EU", "eu-west-1"), (None, "us-east-1")])
def test_keys_are_looked_for_in_the_bucket_s_region_or_said_not_to_be(
    aws: Aws, run: Run, name: str | None, region: str
) -> None:
    aws.region = name
    result = run(**GRANT)
    assert result["unseen_keys"] == [f"arn:aws:kms:{region}:012345670123:key/*"]
    assert any(f"Run it with region: {region}" in str(warning) for warning in result["warnings"])


def test_subscriptions_that_go_on_and_those_that_may_yet_begin_are_told_apart(aws: Aws, run: Run) -> None:
    aws.subscriptions = {
        "https://a.example": "arn:aws:sns:eu-west-2:012345670123:news:1",
        "https://b.example": "PendingConfirmation",
        "https://c.example": "Deleted",
    }
    result = run(resource="news", resource_type="sns_topic", state="absent")
    assert [each["endpoint"] for each in result["foreign_subscriptions"]] == ["https://a.example", "https://b.example"]
    said = " ".join(map(str, result["warnings"]))
    assert "still delivers to https://a.example of account 999999999999. End" in said
    assert "await their confirmation: https://b.example of account 999999999999. Whoever" in said
    assert "c.example" not in said
