# SPDX-License-Identifier: GPL-3.0-or-later
"""What is expected of each trial of access follows from declarations and the inventory's shares."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from ansible_collections.localgov.platform.plugins.filter.access_trials import access_trials
from ansible_collections.localgov.platform.plugins.plugin_utils import _expected_access as access
from ansible_collections.localgov.platform.plugins.plugin_utils._declaration import DeclarationError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

AUTHORITY_SERVICES: dict[str, Any] = {
    "frontend": {"image": "frontend", "reads": ["data_store/results"], "writes": ["data_store/uploads"]},
    "run": {
        "image": "code-server",
        "versions": ["data_store/uploads"],
        "reads": ["data_store/uploads"],
        "writes": ["data_store/results", "shared"],
        "deletes": ["data_store/results", "shared"],
    },
}
ORGANISATION_SERVICES: dict[str, Any] = {
    "code_server": {"image": "code-server", "lists": ["member_shared"], "reads": ["data_store/regional"]},
    "run": {"image": "code-server", "reads": ["member_shared"], "writes": ["data_store/regional"]},
}


def authority(account: str, **share: object) -> access.Host:
    made: dict[str, Any] = {
        "account_id": account,
        "kind": access.LOCAL_AUTHORITY,
        "services": AUTHORITY_SERVICES,
        "locations": {
            "data_store": f"localgov-{account}-data-store",
            "shared": f"localgov-{account}-shared",
            "member_shared": {},
        },
        "share": {"state": "granted", **share},
    }
    return cast(access.Host, made)


def estate(**changed: access.Host) -> access.Estate:
    hosts: dict[str, Any] = {
        "hub": {
            "account_id": "200000000001",
            "kind": access.ORGANISATION,
            "services": ORGANISATION_SERVICES,
            "locations": {
                "data_store": "localgov-200000000001-data-store",
                "shared": "",
                "member_shared": {
                    "camden": "localgov-012345670123-shared",
                    "croydon": "localgov-300000000002-shared",
                },
            },
            "images": ["frontend", "code-server"],
        },
        "camden": authority("012345670123"),
        "croydon": authority("300000000002"),
        "elsewhere": {"account_id": "900000000009", "kind": access.OUTSIDER},
    }
    made: access.Estate = {"prefix": "localgov", "region": "eu-west-2", "hosts": {**hosts, **changed}}
    return made


def trials(of: access.Estate, host: str, role: str | None) -> list[dict[str, str]]:
    return next(each["trials"] for each in access.principals(of, host, NOON) if each["role"] == role)


def statements(of: access.Estate, host: str, role: str) -> list[dict[str, Any]]:
    return next(each["statements"] for each in access.principals(of, host, NOON) if each["role"] == role)


def let_in(of: access.Estate, host: str, role: str | None) -> set[tuple[str, str]]:
    """Action and place of all that is expected to be allowed."""
    return {
        (trial["action"], "/".join(filter(None, [trial["resource"].split(":")[-1], trial["prefix"]])))
        for trial in trials(of, host, role)
        if trial["expected"] == "allowed"
    }


def test_a_service_is_let_in_where_its_arrows_point_and_nowhere_else() -> None:
    assert let_in(estate(), "camden", "localgov-frontend-task") == {
        ("list", "localgov-012345670123-data-store/results"),
        ("get", "localgov-012345670123-data-store/results"),
        ("put", "localgov-012345670123-data-store/uploads"),
    }


def test_buckets_that_an_inventory_names_itself_are_tried_too() -> None:
    bucket = "localgov-300000000002-case-files"
    market = authority("300000000002")
    market["locations"] = {"case_files": bucket, "member_shared": {}}
    market["services"] = cast(Any, {"api": {"image": "api", "reads": ["case_files"]}})
    both = estate(croydon=market)
    assert let_in(both, "croydon", "localgov-api-task") == {("list", bucket), ("get", bucket)}
    assert {
        trial["expected"] for trial in trials(both, "camden", "localgov-run-task") if bucket in trial["resource"]
    } == {"refused"}


def test_versions_are_listed_and_objects_deleted_where_an_arrow_says_so_and_old_versions_are_for_nobody() -> None:
    data_store, shared = "localgov-012345670123-data-store", "localgov-012345670123-shared"
    assert {place for place in let_in(estate(), "camden", "localgov-run-task") if place[0] not in ("get", "put")} == {
        ("list", f"{data_store}/uploads"),
        ("list_versions", f"{data_store}/uploads"),
        ("delete", f"{data_store}/results"),
        ("delete", shared),
    }
    every = [trial for host in ("hub", "camden", "elsewhere") for each in access.principals(estate(), host, NOON)
             for trial in each["trials"] if trial["action"] in ("get_version", "delete_version")]  # fmt: skip
    assert {trial["action"] for trial in every} == {"get_version", "delete_version"}
    assert {trial["expected"] for trial in every} == {"refused"}


def test_who_reads_a_version_asks_for_the_probes_own() -> None:
    found = access.with_versions(
        access.principals(estate(), "camden", NOON),
        {
            "s3://localgov-012345670123-data-store/uploads/.access-probe/probe": "one",
            "s3://localgov-012345670123-shared/.access-probe/probe": "two",
        },
    )
    versions = {
        (trial["resource"].rpartition("-")[2], trial["prefix"], trial["version"])
        for each in found
        for trial in each["trials"]
        if "version" in trial
    }
    assert versions == {("store", "uploads", "one"), ("shared", "", "two")}
    assert {trial["action"] for each in found for trial in each["trials"] if "version" in trial} == {"get_version"}


def test_an_authority_that_has_revoked_itself_lets_nobody_in_whatever_the_inventory_says() -> None:
    decided = estate(camden=authority("012345670123", decided="revoked"))
    assert not {place for place in let_in(decided, "hub", "localgov-run-task") if "012345670123" in place[1]}
    told = {
        trial["because"]
        for trial in trials(decided, "hub", "localgov-run-task")
        if trial["resource"].endswith("012345670123-shared") and trial["action"] == "get"
    }
    assert told == {
        "camden's share is revoked by itself: the tag share=revoked of its bucket counts, whatever the inventory says"
    }


def test_outside_a_run_shows_by_the_same_role_whatever_it_tries_and_that_role_may_do_nothing() -> None:
    sign = access.sign(estate(), "elsewhere", NOON)
    assert sign is not None
    assert sign["role"] == "localgov-access-probe"
    assert sign["role"] not in access.every_role(estate())
    assert {statement["Effect"] for statement in sign["statements"]} == {"Deny"}
    assert access.sign(estate(), "camden", NOON) is None


@pytest.mark.parametrize("roles", [["localgov-run-task"], ["localgov-frontend-execution"], None])
def test_the_sign_of_a_run_is_the_first_to_be_made_and_the_last_to_be_removed(roles: list[str] | None) -> None:
    found = access_trials(estate(), "elsewhere", roles)
    assert found["loans"][0]["name"] == found["takes"][-1]["name"] == "localgov-access-probe"
    assert "localgov-access-probe" not in [each["role"] for each in found["principals"]]
    inside = access_trials(estate(), "camden", roles)
    assert "localgov-access-probe" not in [one["name"] for one in (*inside["loans"], *inside["takes"])]


def test_the_organisations_run_reads_what_is_shared_and_its_code_server_sees_names_only() -> None:
    shared = ["localgov-012345670123-shared", "localgov-300000000002-shared"]
    foreign = {place for place in let_in(estate(), "hub", "localgov-run-task") if place[1] in shared}
    assert foreign == {(action, bucket) for action in ("list", "get") for bucket in shared}
    of_code_server = {place for place in let_in(estate(), "hub", "localgov-code-server-task") if place[1] in shared}
    assert of_code_server == {("list", bucket) for bucket in shared}


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        ({"state": "revoked"}, "camden's share is revoked"),
        ({"expires": "2026-11-21T11:59:59Z"}, "camden's share ended at 2026-11-21T11:59:59Z"),
        ({"expires": "2026-11-21"}, "camden's share ended at 2026-11-21"),
        ({"prefixes": ["ssda903"]}, "camden's share is limited to ssda903"),
    ],
)
def test_a_share_that_is_closed_lets_nobody_in_and_says_why(share: dict[str, Any], reason: str) -> None:
    closed = estate(camden=authority("012345670123", **share))
    top = [
        trial
        for trial in trials(closed, "hub", "localgov-run-task")
        if trial["resource"].endswith("012345670123-shared") and trial["action"] == "get" and not trial["prefix"]
    ]
    assert [(trial["expected"], trial["because"], trial["rights"]) for trial in top] == [
        ("refused", reason, "borrowed")
    ]
    assert ("get", "localgov-300000000002-shared") in let_in(closed, "hub", "localgov-run-task")


def test_a_share_that_ends_later_is_open() -> None:
    ending = estate(camden=authority("012345670123", expires="2026-11-21T12:00:01+00:00"))
    assert ("get", "localgov-012345670123-shared") in let_in(ending, "hub", "localgov-run-task")


def test_a_limited_share_is_tried_inside_its_folder_and_at_the_top() -> None:
    limited = estate(camden=authority("012345670123", prefixes=["ssda903/"]))
    assert ("get", "localgov-012345670123-shared/ssda903") in let_in(limited, "hub", "localgov-run-task")
    assert {"name": "localgov-012345670123-shared", "prefixes": ["", "ssda903"]} in access.probed_folders(
        limited, "camden"
    )


def test_a_time_that_is_none_is_refused_with_the_way_to_write_it() -> None:
    for text in ("next week", "2027-03-31T18:00:00"):
        with pytest.raises(DeclarationError, match=f"platform_share_expires of camden: .*'{text}' is neither a date"):
            access.principals(estate(camden=authority("012345670123", expires=text)), "hub", NOON)


def test_an_authoritys_execution_role_pulls_its_own_image_and_nobody_pushes() -> None:
    tried = trials(estate(), "camden", "localgov-frontend-execution")
    repositories = {
        (trial["action"], trial["resource"].split("/")[-1]): (trial["expected"], trial["rights"])
        for trial in tried
        if trial["action"] in ("pull", "push")
    }
    assert repositories == {
        ("pull", "frontend"): ("allowed", "own"),
        # The trust lets any execution role in; this one's own policy does not.
        ("pull", "code-server"): ("refused", "own"),
        ("push", "frontend"): ("refused", "borrowed"),
        ("push", "code-server"): ("refused", "borrowed"),
    }


def test_no_task_role_pulls() -> None:
    for host in ("hub", "camden"):
        pulls = [trial for trial in trials(estate(), host, "localgov-run-task") if trial["action"] == "pull"]
        assert {trial["expected"] for trial in pulls} == {"refused"}


def test_refusals_across_accounts_are_tried_with_borrowed_rights_and_those_at_home_with_own() -> None:
    for trial in trials(estate(), "camden", "localgov-run-task"):
        if trial["expected"] == "refused":
            assert trial["rights"] == ("own" if trial["owner"] == "camden" else "borrowed"), trial


def test_what_is_expected_to_be_allowed_is_tried_with_own_rights() -> None:
    every = [trial for host in ("hub", "camden", "croydon") for each in access.principals(estate(), host, NOON)
             for trial in each["trials"]]  # fmt: skip
    allowed = [trial for trial in every if trial["expected"] == "allowed"]
    assert allowed
    assert {trial["rights"] for trial in allowed} == {"own"}


def test_borrowed_rights_never_hold_in_the_roles_own_account_and_open_no_more_than_probes() -> None:
    borrowed = statements(estate(), "camden", "localgov-run-task")
    ends = {
        "StringNotEquals": {"aws:ResourceAccount": "012345670123"},
        "DateLessThan": {"aws:CurrentTime": "2026-11-21T13:00:00Z"},
    }
    by_kind = {statement["Action"][0].split(":")[1]: statement for statement in borrowed}
    lists, objects, images = by_kind.pop("ListBucket"), by_kind.pop("DeleteObject"), by_kind.popitem()[1]
    assert not by_kind
    assert lists["Action"] == ["s3:ListBucket", "s3:ListBucketVersions"]
    assert lists["Condition"] == {**ends, "StringLike": {"s3:prefix": "*.access-probe/"}}
    assert set(objects["Action"]) == {
        *("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion")
    }
    assert objects["Condition"] == images["Condition"] == ends
    assert all(resource.endswith("/*.access-probe/*") for resource in objects["Resource"])
    assert {action.split(":")[0] for action in images["Action"]} == {"ecr"}


def test_borrowed_rights_do_not_cover_for_rights_that_the_role_must_have_itself() -> None:
    """The organisation's run must read the granted share by its own policy, and is tried at the revoked one."""
    mixed = estate(camden=authority("012345670123", state="revoked"))
    get = next(each for each in statements(mixed, "hub", "localgov-run-task") if "s3:GetObject" in each["Action"])
    assert get["Resource"] == [
        "arn:aws:s3:::localgov-*-data-store/*.access-probe/*",
        "arn:aws:s3:::localgov-012345670123-shared/.access-probe/*",
    ]


def test_borrowed_policies_do_not_grow_with_the_number_of_accounts() -> None:
    def size(accounts: int) -> int:
        many = {f"la{number:03}": authority(f"4000000{number:05}") for number in range(accounts)}
        return len(json.dumps(statements(estate(**many), "camden", "localgov-run-task")))

    assert size(150) == size(2) < 10_240


def test_a_role_of_the_right_name_outside_the_unit_tries_everything_and_is_let_in_nowhere() -> None:
    outside = access.principals(estate(), "elsewhere", NOON)
    assert {each["role"] for each in outside} >= {"localgov-run-task", "localgov-frontend-execution"}
    everything = {(trial["resource"], trial["prefix"], trial["action"]) for trial in outside[0]["trials"]}
    for host in ("hub", "camden"):
        for trial in trials(estate(), host, "localgov-run-task"):
            assert (trial["resource"], trial["prefix"], trial["action"]) in everything
    assert {trial["expected"] for each in outside for trial in each["trials"]} == {"refused"}
    (every_right,) = outside[0]["statements"]
    assert every_right["Action"] == ["ecr:*", "s3:*"]
    assert every_right["Condition"] == {"DateLessThan": {"aws:CurrentTime": "2026-11-21T13:00:00Z"}}


def test_the_deployer_reads_no_data_goes_nowhere_else_and_tries_without_tls() -> None:
    tried = trials(estate(), "camden", None)
    assert {trial["expected"] for trial in tried} == {"refused"}
    in_clear = {trial["resource"] for trial in tried if trial["action"] == "list_without_tls"}
    assert in_clear == {"arn:aws:s3:::localgov-012345670123-data-store", "arn:aws:s3:::localgov-012345670123-shared"}


def test_expectations_do_not_change_what_they_are_taken_from() -> None:
    given = estate()
    before = copy.deepcopy(given)
    access.principals(given, "hub", NOON)
    assert given == before
