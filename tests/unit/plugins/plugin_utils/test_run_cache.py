# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._run_cache import Entry, RunCache, SessionRefusedError

FORK = multiprocessing.get_context("fork")


def in_forks(number: int, work: Callable[[], object]) -> None:
    """Runs the work in so many forks at once, as Ansible does."""
    forks = [FORK.Process(target=work) for _ in range(number)]
    for fork in forks:
        fork.start()
    for fork in forks:
        fork.join(30)
        assert fork.exitcode == 0


class Noted:
    """Notes in a file, which forks share, how often it was asked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.touch()

    def ask(self) -> Entry:
        with self._file.open("a") as file:
            file.write("asked\n")
        return {"answer": self.count}

    @property
    def count(self) -> int:
        return len(self._file.read_text().splitlines())


@pytest.fixture
def noted(tmp_path: Path) -> Noted:
    return Noted(tmp_path / "noted")


@pytest.fixture
def cache(tmp_path: Path) -> RunCache:
    return RunCache(tmp_path)


def test_of_many_forks_exactly_one_seeks(cache: RunCache, noted: Noted) -> None:
    in_forks(10, lambda: cache.entry("key", lambda _entry: True, noted.ask))
    assert noted.count == 1


def test_what_is_not_current_is_sought_again(cache: RunCache, noted: Noted) -> None:
    for _ in range(3):
        cache.entry("key", lambda entry: entry["answer"] == 2, noted.ask)
    assert noted.count == 2


def test_what_is_forgotten_is_sought_again(cache: RunCache, noted: Noted) -> None:
    for _ in range(2):
        cache.entry("key", lambda _entry: True, noted.ask)
        cache.forget("key")
    cache.forget("key")
    assert noted.count == 2


def test_a_fork_that_dies_while_seeking_holds_nobody_up(cache: RunCache, noted: Noted) -> None:
    def die() -> Entry:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    dying = FORK.Process(target=lambda: cache.entry("key", lambda _entry: True, die))
    dying.start()
    dying.join(30)
    assert dying.exitcode == -signal.SIGKILL
    in_forks(3, lambda: cache.entry("key", lambda _entry: True, noted.ask))
    assert noted.count == 1


def test_a_refusal_is_shared_by_those_who_wait_for_it_and_not_kept(cache: RunCache, noted: Noted) -> None:
    everybody_asks = FORK.Barrier(5)

    def refuse() -> Entry:
        noted.ask()
        raise SessionRefusedError("no")

    def ask() -> None:
        everybody_asks.wait(30)
        with pytest.raises(SessionRefusedError, match="no"):
            cache.entry("key", lambda _entry: True, refuse)

    forks = [FORK.Process(target=ask) for _ in range(4)]
    for fork in forks:
        fork.start()
    with cache.lock("key"):
        everybody_asks.wait(30)
        _wait_until_blocked([fork.pid for fork in forks if fork.pid])
    for fork in forks:
        fork.join(30)
        assert fork.exitcode == 0
    assert noted.count == 1
    assert cache.entry("key", lambda _entry: True, noted.ask) == {"answer": 2}


def _wait_until_blocked(pids: list[int]) -> None:
    """Until the kernel shows that each of them waits for a lock."""
    deadline = time.monotonic() + 30
    while not all(any(f" {pid} " in line for line in _waiting()) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _waiting() -> list[str]:
    return [line for line in Path("/proc/locks").read_text().splitlines() if "->" in line]


def test_entries_are_for_their_owner_only(cache: RunCache, noted: Noted, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        cache.entry("key", lambda _entry: True, noted.ask)
    finally:
        os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("key*")} == {0o600}
