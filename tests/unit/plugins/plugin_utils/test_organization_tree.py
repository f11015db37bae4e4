# SPDX-License-Identifier: GPL-3.0-or-later
"""What accounts and units of an organisation are called in an inventory."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _organization_tree as tree
from hypothesis import given
from hypothesis import strategies as st

NORTH: tree.Unit = {"id": "ou-ab12-11111111", "names": ["Local authorities", "North"], "path": "o-a/r-b/ou-1/ou-2/"}


def account(identifier: str, name: str, state: str = "ACTIVE", **tags: str) -> tree.Account:
    return {
        "id": identifier,
        "name": name,
        "state": state,
        "joined_method": "CREATED",
        "joined_at": "",
        "tags": tags,
        "unit": NORTH,
    }


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Camden", "camden"),
        ("Camden (Children's)", "camden-children-s"),
        ("  Richmond   upon Thames ", "richmond-upon-thames"),
        ("Bro Morgannwg / Ŵyr", "bro-morgannwg-wyr"),
        ("all[0:3],!hub", "all-0-3-hub"),
        ("../../etc", "etc"),
    ],
)
def test_an_accounts_name_becomes_a_hosts(words: str, name: str) -> None:
    assert tree.host_name(words) == name


@given(st.text())
def test_no_name_can_be_taken_for_a_pattern_of_hosts_or_a_path(words: str) -> None:
    assert re.fullmatch(r"([a-z0-9]+(-[a-z0-9]+)*)?", tree.host_name(words))


def test_a_unit_is_named_by_the_way_to_it() -> None:
    assert tree.group_name(["Local authorities", "North-East"]) == "local_authorities_north_east"
    assert tree.group_name(["2026 intake"]) == "_2026_intake"


def test_accounts_in_other_states_are_no_hosts() -> None:
    accounts = [account("111111111111", "Camden"), account("222222222222", "Croydon", "SUSPENDED")]
    assert [host.name for host in tree.hosts_of(accounts, ["ACTIVE"], ["name"])] == ["camden"]


def test_a_name_comes_from_the_first_source_that_has_one() -> None:
    accounts = [account("111111111111", "Camden", short="cmd"), account("222222222222", "Croydon")]
    assert [host.name for host in tree.hosts_of(accounts, ["ACTIVE"], ["tag:short", "name"])] == ["cmd", "croydon"]
    assert [host.name for host in tree.hosts_of(accounts, ["ACTIVE"], ["id"])] == ["111111111111", "222222222222"]


def test_two_accounts_with_one_name_are_refused_and_both_are_named() -> None:
    accounts = [account("111111111111", "Camden"), account("222222222222", "CAMDEN!")]
    with pytest.raises(tree.OrganizationTreeError, match=r"111111111111 'Camden' and 222222222222 'CAMDEN!'.*'camden'"):
        tree.hosts_of(accounts, ["ACTIVE"], ["name"])


def test_an_account_whose_name_has_no_letter_is_refused_unless_its_number_will_do() -> None:
    accounts = [account("111111111111", "\x1b[31m☃")]
    with pytest.raises(tree.OrganizationTreeError, match=r"Account 111111111111 .* has no name") as refused:
        tree.hosts_of([account("111111111111", "☃\x1b")], ["ACTIVE"], ["name"])
    assert "\x1b" not in str(refused.value)
    assert tree.hosts_of(accounts, ["ACTIVE"], ["tag:short", "id"])[0].name == "111111111111"


def test_a_source_of_names_that_there_is_not_is_refused() -> None:
    with pytest.raises(tree.OrganizationTreeError, match="hostnames has 'tag': write name, id or tag:<key>"):
        tree.hosts_of([], ["ACTIVE"], ["tag"])


def test_two_units_with_one_group_are_refused() -> None:
    twin: tree.Unit = {"id": "ou-ab12-22222222", "names": ["Local-authorities", "North"], "path": "o-a/r-b/ou-3/ou-4/"}
    with pytest.raises(tree.OrganizationTreeError, match=r"11111111 and ou-ab12-22222222 .*local_authorities_north"):
        tree.groups_of([NORTH, twin], "")


def test_a_unit_without_a_word_in_its_name_is_refused() -> None:
    with pytest.raises(tree.OrganizationTreeError, match=r"Unit ou-ab12-33333333 .* no name"):
        tree.groups_of([{"id": "ou-ab12-33333333", "names": ["—"], "path": "o-a/r-b/ou-5/"}], "")


def test_a_unit_is_linked_to_the_one_that_it_is_in() -> None:
    root: tree.Unit = {"id": "r-b", "names": [], "path": "o-a/r-b/"}
    outer: tree.Unit = {"id": "ou-1", "names": ["Local authorities"], "path": "o-a/r-b/ou-1/"}
    inner: tree.Unit = {"id": "ou-2", "names": ["Local authorities", "North"], "path": "o-a/r-b/ou-1/ou-2/"}
    assert list(tree.links([root, outer, inner])) == [("r-b", "ou-1"), ("ou-1", "ou-2")]
    assert list(tree.links([inner])) == []


def test_the_state_is_preferred_to_the_status_that_aws_gives_up() -> None:
    joined = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    answer = {"Id": "111111111111", "Name": "Camden", "Status": "ACTIVE", "State": "CLOSED", "JoinedTimestamp": joined}
    found = tree.account_of(answer, NORTH, {})
    assert (found["state"], found["joined_at"]) == ("CLOSED", "2026-01-02T03:04:05Z")
    assert tree.account_of({"Id": "1", "Status": "SUSPENDED"}, NORTH, {})["state"] == "SUSPENDED"
