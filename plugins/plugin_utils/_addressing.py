# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an account's one address range goes: the ranges of its VPCs and subnets, and which accounts overlap.

The lower half of the range is the frontend VPC's, the upper half the Dagster VPC's. Each half is cut into sixteen equal
blocks; every tier owns three of them, one for each zone, whether or not there is a third zone. So a third zone can be
added later without moving anything.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping
from typing import TypedDict

# The order is the order of the addresses: a tier may be added at the end, none may be moved.
TIERS = {"frontend": ("public",), "dagster": ("dagit", "private", "database", "nat")}
ZONES = (2, 3)
_BLOCKS_PER_TIER = 3
_BLOCK_BITS = 4
_LARGEST, _SMALLEST = 16, 20
# RFC 1918, and RFC 6598 which AWS allows beside it.
_PRIVATE = tuple(
    ipaddress.IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)


class AddressError(ValueError):
    """A range that cannot be used: says which, and what is expected."""


class VpcPlan(TypedDict):
    """The range of a VPC, and for each of its tiers the range of its subnet in each zone."""

    cidr: str
    subnets: dict[str, list[str]]


class Overlap(TypedDict):
    """Two accounts whose ranges share addresses."""

    hosts: list[str]
    cidrs: list[str]


def network_plan(cidr: str, zones: int) -> dict[str, VpcPlan]:
    """The ranges of both VPCs (`frontend`, `dagster`) and of their subnets, from the account's own range."""
    if zones not in ZONES:
        raise AddressError(f"{zones} zones: a network lies in {' or '.join(map(str, ZONES))} of them")
    halves = account_range(cidr).subnets(prefixlen_diff=1)
    return {vpc: _vpc_plan(half, tiers, zones) for half, (vpc, tiers) in zip(halves, TIERS.items(), strict=True)}


def _vpc_plan(vpc: ipaddress.IPv4Network, tiers: tuple[str, ...], zones: int) -> VpcPlan:
    blocks = [str(block) for block in vpc.subnets(prefixlen_diff=_BLOCK_BITS)]
    first = {tier: index * _BLOCKS_PER_TIER for index, tier in enumerate(tiers)}
    return {"cidr": str(vpc), "subnets": {tier: blocks[start : start + zones] for tier, start in first.items()}}


def account_range(cidr: str) -> ipaddress.IPv4Network:
    """The range as an object; private, from /16 to /20, and written by its first address."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise AddressError(f"{cidr!r} is no IPv4 range ({error}); write it such as 10.0.16.0/20") from None
    if not _LARGEST <= network.prefixlen <= _SMALLEST:
        raise AddressError(f"{cidr} is /{network.prefixlen}; an account's range is from /{_LARGEST} to /{_SMALLEST}")
    if not any(network.subnet_of(private) for private in _PRIVATE):
        raise AddressError(f"{cidr} is not private; take a range within {', '.join(map(str, _PRIVATE))}")
    return network


def overlaps(cidrs: Mapping[str, str]) -> list[Overlap]:
    """Every pair of hosts whose ranges share addresses, in the order of the mapping; empty when all is well."""
    ranges = {host: _named_range(host, cidr) for host, cidr in cidrs.items()}
    return [
        {"hosts": [one, other], "cidrs": [str(ranges[one]), str(ranges[other])]}
        for one, other in itertools.combinations(ranges, 2)
        if ranges[one].overlaps(ranges[other])
    ]


def free_range(cidrs: Mapping[str, str]) -> str:
    """The first range as large as the first host's, within the same private network, that no host has."""
    ranges = [_named_range(host, cidr) for host, cidr in cidrs.items()]
    (private,) = [network for network in _PRIVATE if ranges[0].subnet_of(network)]
    for candidate in private.subnets(new_prefix=ranges[0].prefixlen):
        if not any(candidate.overlaps(taken) for taken in ranges):
            return str(candidate)
    raise AddressError(f"{private} has no free /{ranges[0].prefixlen} any more; choose a range elsewhere")


def _named_range(host: str, cidr: str) -> ipaddress.IPv4Network:
    try:
        return account_range(cidr)
    except AddressError as error:
        raise AddressError(f"{host}: {error}") from None
