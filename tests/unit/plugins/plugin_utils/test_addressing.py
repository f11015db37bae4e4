# SPDX-License-Identifier: GPL-3.0-or-later
"""What one address range per account comes to, and which accounts' ranges overlap."""

from __future__ import annotations

import ipaddress
import itertools

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _addressing as addressing
from hypothesis import given
from hypothesis import strategies as st

PREFIXES = st.integers(min_value=16, max_value=20)
ZONES = st.sampled_from(addressing.ZONES)


@st.composite
def account_ranges(draw: st.DrawFn) -> str:
    prefix = draw(PREFIXES)
    number = draw(st.integers(min_value=0, max_value=2 ** (prefix - 8) - 1))
    return f"{ipaddress.IPv4Address((10 << 24) + (number << (32 - prefix)))}/{prefix}"


def every_range(plan: dict[str, addressing.VpcPlan]) -> list[ipaddress.IPv4Network]:
    return [
        ipaddress.IPv4Network(block) for vpc in plan.values() for blocks in vpc["subnets"].values() for block in blocks
    ]


def test_a_range_is_cut_as_the_documentation_shows() -> None:
    assert addressing.network_plan("10.0.16.0/20", 2) == {
        "frontend": {"cidr": "10.0.16.0/21", "subnets": {"public": ["10.0.16.0/25", "10.0.16.128/25"]}},
        "dagster": {
            "cidr": "10.0.24.0/21",
            "subnets": {
                "dagit": ["10.0.24.0/25", "10.0.24.128/25"],
                "private": ["10.0.25.128/25", "10.0.26.0/25"],
                "database": ["10.0.27.0/25", "10.0.27.128/25"],
                "nat": ["10.0.28.128/25", "10.0.29.0/25"],
            },
        },
    }


@given(account_ranges(), ZONES)
def test_every_subnet_lies_in_its_vpc_and_no_two_share_an_address(cidr: str, zones: int) -> None:
    plan = addressing.network_plan(cidr, zones)
    account = ipaddress.IPv4Network(cidr)
    for vpc in plan.values():
        own = ipaddress.IPv4Network(vpc["cidr"])
        assert own.subnet_of(account)
        assert all(
            ipaddress.IPv4Network(block).subnet_of(own) for blocks in vpc["subnets"].values() for block in blocks
        )
    assert not any(one.overlaps(other) for one, other in itertools.combinations(every_range(plan), 2))


@given(account_ranges())
def test_a_third_zone_moves_nothing(cidr: str) -> None:
    two, three = addressing.network_plan(cidr, 2), addressing.network_plan(cidr, 3)
    for vpc, plan in two.items():
        for tier, blocks in plan["subnets"].items():
            assert three[vpc]["subnets"][tier][:2] == blocks


@given(account_ranges(), ZONES)
def test_the_smallest_subnet_has_room_for_a_load_balancer_and_a_hundred_tasks(cidr: str, zones: int) -> None:
    assert min(block.num_addresses for block in every_range(addressing.network_plan(cidr, zones))) >= 128


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("10.0.16.5/20", "has host bits set"),
        ("camden", "'camden' is no IPv4 range"),
        ("10.0.0.0/21", "10.0.0.0/21 is /21; an account's range is from /16 to /20"),
        ("10.0.0.0/8", "is /8; an account's range is from /16 to /20"),
        ("8.8.0.0/16", "8.8.0.0/16 is not private; take a range within 10.0.0.0/8"),
        ("fd00::/16", "is no IPv4 range"),
    ],
)
def test_a_range_that_cannot_be_used_is_refused_with_what_to_write_instead(cidr: str, reason: str) -> None:
    with pytest.raises(addressing.AddressError, match=reason):
        addressing.network_plan(cidr, 2)


@pytest.mark.parametrize("zones", [1, 4])
def test_other_numbers_of_zones_are_refused(zones: int) -> None:
    with pytest.raises(addressing.AddressError, match=f"{zones} zones: a network lies in 2 or 3 of them"):
        addressing.network_plan("10.0.0.0/16", zones)


def test_accounts_that_overlap_are_named_in_pairs_with_their_ranges() -> None:
    cidrs = {"hub": "10.0.0.0/16", "camden": "10.0.16.0/20", "croydon": "10.1.0.0/16", "sutton": "10.0.16.0/20"}
    assert addressing.overlaps(cidrs) == [
        {"hosts": ["hub", "camden"], "cidrs": ["10.0.0.0/16", "10.0.16.0/20"]},
        {"hosts": ["hub", "sutton"], "cidrs": ["10.0.0.0/16", "10.0.16.0/20"]},
        {"hosts": ["camden", "sutton"], "cidrs": ["10.0.16.0/20", "10.0.16.0/20"]},
    ]


def test_neighbouring_ranges_do_not_overlap() -> None:
    assert addressing.overlaps({f"la{number}": f"10.{number}.0.0/16" for number in range(256)}) == []


def test_a_faulty_range_says_whose_it_is() -> None:
    with pytest.raises(addressing.AddressError, match=r"^camden: '10\.0\.16\.1/20' is no IPv4 range"):
        addressing.overlaps({"hub": "10.0.0.0/20", "camden": "10.0.16.1/20"})


def test_another_account_gets_the_first_range_that_nobody_has_as_large_as_the_first_ones() -> None:
    taken = {"hub": "10.0.0.0/20", "camden": "10.0.32.0/20", "croydon": "10.0.16.0/20"}
    assert addressing.free_range(taken) == "10.0.48.0/20"
    assert addressing.free_range({"hub": "172.16.0.0/16", "camden": "10.0.0.0/20"}) == "172.17.0.0/16"


def test_where_no_range_is_left_that_is_said() -> None:
    taken = {f"la{number}": f"10.{number}.0.0/16" for number in range(256)}
    with pytest.raises(addressing.AddressError, match=r"10\.0\.0\.0/8 has no free /16 any more"):
        addressing.free_range(taken)
