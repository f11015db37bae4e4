# SPDX-License-Identifier: GPL-3.0-or-later
"""Forks of a run that is killed, as Ansible's workers are."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from ansible_collections.localgov.platform.plugins.plugin_utils._run_directory import RunEndedError, run_directory

from sandbox.journey.person import wait_for

_FORKS = multiprocessing.get_context("fork")


def test_a_fork_that_outlives_its_run_begins_nothing(tmp_path: Path) -> None:
    kill_a_run_whose_fork(late, tmp_path)
    wait_for((tmp_path / "refused").exists, "the fork to be refused", 30)
    assert not [*tmp_path.glob("aws-account-*")]


def test_a_fork_that_uses_the_directory_ends_with_its_run(tmp_path: Path) -> None:
    fork = kill_a_run_whose_fork(early, tmp_path)
    wait_for(lambda: not fork.is_running() or fork.status() == psutil.STATUS_ZOMBIE, "the end of the fork", 30)
    wait_for(lambda: not [*tmp_path.glob("aws-account-*")], "the directory to be removed", 30)


def late(folder: Path) -> None:
    run = os.getppid()
    say(folder, "begun", str(os.getpid()))
    while os.getppid() == run:
        time.sleep(0.01)
    try:
        run_directory(folder)
    except RunEndedError as refused:
        say(folder, "refused", str(refused))


def early(folder: Path) -> None:
    run_directory(folder)
    say(folder, "begun", str(os.getpid()))
    time.sleep(600)


def say(folder: Path, what: str, text: str) -> None:
    """Writes it so that it is seen as a whole or not at all."""
    (folder / f".{what}").write_text(text)
    (folder / f".{what}").rename(folder / what)


def kill_a_run_whose_fork(works: Callable[[Path], None], folder: Path) -> psutil.Process:
    run = _FORKS.Process(target=fork_and_wait, args=(works, folder))
    run.start()
    wait_for((folder / "begun").exists, "the fork", 30)
    fork = psutil.Process(int((folder / "begun").read_text()))
    run.kill()
    run.join(30)
    return fork


def fork_and_wait(works: Callable[[Path], None], folder: Path) -> None:
    fork = _FORKS.Process(target=works, args=(folder,))
    fork.start()
    fork.join()
