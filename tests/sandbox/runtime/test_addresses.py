# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses are kept by name, for ever; back-off grows and is forgotten."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sandbox.runtime.addresses import Addresses, NoAddressError
from sandbox.runtime.backoff import HEALTHY_AFTER, BackOff


def test_a_name_keeps_its_address_over_restarts_and_no_two_names_share_one(tmp_path: Path) -> None:
    file = tmp_path / "addresses.json"
    first = Addresses(file, "127.99")
    given = {name: first.of(name) for name in ("a", "b", "c")}
    assert len(set(given.values())) == 3
    again = Addresses(file, "127.99")
    assert {name: again.of(name) for name in ("c", "b", "a")} == given


def test_addresses_of_another_network_are_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "addresses.json"
    Addresses(file, "127.99").of("a")
    assert Addresses(file, "127.98").of("a").startswith("127.98.")


def test_a_sister_takes_another_address_and_the_first_gives_its_own_back(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path / "addresses.json", "127.99")
    first, second = addresses.lease("task 1", "name"), addresses.lease("task 2", "name")
    assert first == addresses.of("name") != second
    addresses.release("task 1")
    assert addresses.lease("task 3", "name") == first


def test_a_successor_waits_until_its_predecessor_has_gone(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path / "addresses.json", "127.99")
    address = addresses.lease("old", "name")
    with pytest.raises(NoAddressError, match="old still holds"):
        addresses.lease("new", "name", wait=0.05)
    threading.Timer(0.1, addresses.release, ("old",)).start()
    assert addresses.lease("new", "name", wait=10) == address


def test_the_wait_doubles_up_to_a_minute() -> None:
    back_off = BackOff()
    assert [back_off.failed(("service",), "one", 0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert 59 < back_off.remaining(("service",), "one") <= 60


def test_a_healthy_while_or_a_new_deployment_ends_the_wait() -> None:
    back_off = BackOff()
    for _ in range(5):
        back_off.failed(("service",), "one", 0)
    assert back_off.remaining(("service",), "two") == 0
    assert back_off.failed(("service",), "one", HEALTHY_AFTER) == 1
    assert back_off.failed(("service",), "two", 0) == 1
