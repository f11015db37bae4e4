# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts of an authority, and of the organisation with it, on a sandbox of its own, through faults and kills, each
judged against one without any."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.proxy import FaultProxy, Faults
from tests.faults.state import differences, held
from tests.sandbox.conftest import CHECKOUT, Sandbox

AUTHORITY, ORGANISATION = "camden", "hub"
_PROGRAM = str(Path(sys.executable).parent / "ansible-playbook")
_IMAGES = ("frontend", "dagit", "daemon", "code-server")
# No images are pulled where no tasks run, so none are pushed: any digests do.
_VARIABLES = {"platform_image_digests": {name: f"sha256:{number:064}" for number, name in enumerate(_IMAGES)}}
_LIMIT_SECONDS = 900
_SOONEST_SECONDS = 0.1
_MARK = "LOCALGOV_TEST_ROLLOUT"


@dataclass
class Verdict:
    """What became of one rollout; `wrong` says what should not have happened, if anything."""

    name: str
    first: str  # converged, failed, killed or interrupted
    reason: str = ""
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(frozen=True)
class Played:
    code: int
    output: str
    ended: bool = False
    """Whether it was ended from outside, before it had come to its own end."""
    heeded: bool = True
    """Whether it did end when it was told to."""


class OverError(Exception):
    """No playbook is to be begun any more."""


class Rollouts:
    """A sandbox without tasks, which goes back to how it began before each rollout, until all of it is over."""

    def __init__(self, folder: Path, over: threading.Event) -> None:
        self._folder = folder
        self._over = over
        self._sandbox = Sandbox(folder / "sandbox")
        self._beginning = folder / "beginning"
        self._reports = folder / "reports"
        self._wanted: dict[str, dict[str, list[str]]] = {}

    def __enter__(self) -> Rollouts:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            self._sandbox.start()
            self._sandbox.run("stop")
            shutil.copytree(self._sandbox.folder, self._beginning)
            self._fresh()
            self.usual_seconds = self._known(AUTHORITY)
        except BaseException:
            self._sandbox.run("stop")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.run("stop")

    def with_faults(self, faults: Faults, accounts: list[str]) -> Verdict:
        """A rollout through faults; where it fails, it says where and why, and once more without any converges."""
        began = time.monotonic()
        self._fresh()
        self._know(accounts)
        with FaultProxy(
            self._sandbox.description["endpoint_url"], self._sandbox.folder / "certificates", faults
        ) as proxy:
            done = self._play(accounts, "-e", f"ansible_aws_account_endpoint_url={proxy.url}")
        name = f"seed {faults.seed}, {' and '.join(accounts)}"
        verdict = Verdict(name, "converged" if done.code == 0 else "failed")
        verdict.faults = faults.counted
        if done.code:
            verdict.reason = self._reason()
            if not verdict.reason:
                verdict.wrong.append(f"no account and reason in the report: {done.output[-2000:]}")
            self._again(verdict, accounts)
        self._compare(verdict, accounts)
        verdict.seconds = time.monotonic() - began
        return verdict

    def with_end(self, number: signal.Signals, after: float, accounts: list[str]) -> Verdict:
        """A rollout whose controller is killed (SIGKILL) or interrupted (SIGINT, as by Ctrl-C) after so many seconds,
        or earlier where it ends before, and another."""
        began = time.monotonic()
        self._fresh()
        self._know(accounts)
        while not (played := self._play(accounts, end_by=number, end_after=max(after, _SOONEST_SECONDS))).ended:
            after /= 2
            self._fresh()
        first = "killed" if number is signal.SIGKILL else "interrupted"
        verdict = Verdict(f"{number.name} after {after:.1f} s, {' and '.join(accounts)}", first)
        if not played.heeded or played.code == 0:
            verdict.wrong.append(f"did not end by {number.name}, but with {played.code}: {played.output[-2000:]}")
        if number is signal.SIGINT:
            verdict.wrong += [f"{account} is still locked" for account in accounts if self._stays_locked(account)]
        left = self._left_running()
        if left:
            verdict.wrong.append(f"still running: {left}")
        self._again(verdict, accounts)
        self._compare(verdict, accounts)
        verdict.seconds = time.monotonic() - began
        return verdict

    # --- One run ---

    def _know(self, accounts: list[str]) -> None:
        """What the organisation's account holds without any fault, where it is asked for the first time."""
        if ORGANISATION in accounts and ORGANISATION not in self._wanted:
            self._known(AUTHORITY)
            self._known(ORGANISATION)
            self._fresh()

    def _play(
        self,
        accounts: list[str],
        *arguments: str,
        end_by: signal.Signals = signal.SIGKILL,
        end_after: float | None = None,
    ) -> Played:
        """Ended after so many seconds, if any; killed after a quarter of an hour. Interrupted are all of its processes,
        as by a terminal, and killed is the controller alone."""
        if self._over.is_set():
            raise OverError
        command = [_PROGRAM, "-i", "inventories/sandbox", "playbooks/site.yml", "--limit", ",".join(accounts)]
        command += ["-e", json.dumps(_VARIABLES), *arguments]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LOCALGOV_"))},
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCAL_TEMP": str(self._folder / "tmp"),
            "LOCALGOV_SANDBOX_DIR": str(self._sandbox.folder),
            "LOCALGOV_ROLLOUT_REPORT_FOLDER": str(self._reports),
            _MARK: str(self._folder),
        }
        output = self._folder / "output.log"
        with output.open("w", encoding="utf-8") as written:
            process = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                env=environment,
                stdout=written,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # Otherwise whoever interrupts the tests interrupts the playbook with them.
                start_new_session=end_by is signal.SIGINT,
            )
            ended, heeded = False, True
            try:
                process.wait(end_after or _LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                ended = True
                if end_by is signal.SIGINT:
                    os.killpg(process.pid, signal.SIGINT)
                else:
                    process.kill()
                try:
                    process.wait(_LIMIT_SECONDS)  # an interrupted run gives back its locks
                except subprocess.TimeoutExpired:
                    heeded = False
                    process.kill()
                    process.wait()
        return Played(process.returncode, output.read_text(encoding="utf-8"), ended, heeded)

    def _again(self, verdict: Verdict, accounts: list[str]) -> None:
        done = self._play(accounts)
        if done.code:
            verdict.wrong.append(f"the run that follows fails too: {done.output[-3000:]}")

    def _reason(self) -> str:
        report = json.loads((self._reports / "site.json").read_text(encoding="utf-8"))
        failures = [(one["name"], one["failure"]) for one in report["accounts"] if one["failure"]]
        return "; ".join(f"{name}: {failure['task']}: {failure['reason']}" for name, failure in failures)

    def _left_running(self) -> list[str]:
        """Processes of a killed run that are there half a minute later."""
        deadline = time.monotonic() + 30
        while (left := _marked(str(self._folder))) and time.monotonic() < deadline:
            psutil.wait_procs(left, timeout=1)
        return [" ".join(process.cmdline()) for process in left if process.is_running()]

    def _stays_locked(self, account: str) -> bool:
        """Whether half a minute later the account's lock has not been given back."""
        s3 = self._sandbox.client("s3", self._sandbox.root(account))
        where = {"Bucket": f"localgov-{self._sandbox.account(account)}-rollout", "Key": "lock.json"}
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if not json.loads(s3.get_object(**where)["Body"].read())["run"]:
                    return False
            except (s3.exceptions.NoSuchBucket, s3.exceptions.NoSuchKey):
                return False  # it never came to the lock
            time.sleep(0.2)
        return True

    # --- What the account holds ---

    def _known(self, account: str) -> float:
        """Roll an account out without any fault, and keep what it holds then. How many seconds it took."""
        began = time.monotonic()
        done = self._play([account])
        assert done.code == 0, done.output[-4000:]
        seconds = time.monotonic() - began
        self._wanted[account] = self._held(account)
        return seconds

    def _compare(self, verdict: Verdict, accounts: list[str]) -> None:
        for account in accounts:
            verdict.wrong += differences(self._wanted[account], self._held(account))

    def _held(self, account: str) -> dict[str, list[str]]:
        root = self._sandbox.root(account)
        return held(lambda service: self._sandbox.client(service, root))

    def _fresh(self) -> None:
        """The sandbox as it was before anything was deployed, at the same address."""
        self._sandbox.run("stop")
        shutil.rmtree(self._sandbox.folder)
        shutil.copytree(self._beginning, self._sandbox.folder)
        self._sandbox.start()


def _marked(folder: str) -> list[psutil.Process]:
    """Processes that a rollout of that folder started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return found
