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
_MARK = "LOCALGOV_TEST_ROLLOUT"


@dataclass
class Verdict:
    """What became of one rollout; `wrong` says what should not have happened, if anything."""

    name: str
    first: str  # converged, failed or killed
    reason: str = ""
    wrong: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


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
        if ORGANISATION in accounts and ORGANISATION not in self._wanted:
            self._known(AUTHORITY)
            self._known(ORGANISATION)
            self._fresh()
        with FaultProxy(
            self._sandbox.description["endpoint_url"], self._sandbox.folder / "certificates", faults
        ) as proxy:
            done = self._play(accounts, "-e", f"ansible_aws_account_endpoint_url={proxy.url}")
        name = f"seed {faults.seed}, {' and '.join(accounts)}"
        verdict = Verdict(name, "converged" if done.returncode == 0 else "failed")
        verdict.faults = faults.counted
        if done.returncode:
            verdict.reason = self._reason()
            if not verdict.reason:
                verdict.wrong.append(f"no account and reason in the report: {done.stdout[-1500:]}{done.stderr[-500:]}")
            self._again(verdict, accounts)
        self._compare(verdict, accounts)
        verdict.seconds = time.monotonic() - began
        return verdict

    def with_kill(self, after: float) -> Verdict:
        """A rollout whose controller is killed after so many seconds, or earlier where it ends before, and another."""
        began = time.monotonic()
        self._fresh()
        while self._play([AUTHORITY], kill_after=after).returncode != -signal.SIGKILL:
            after /= 2
            self._fresh()
        verdict = Verdict(f"kill after {after:.1f} s", "killed")
        left = self._left_running()
        if left:
            verdict.wrong.append(f"still running: {left}")
        self._again(verdict, [AUTHORITY])
        self._compare(verdict, [AUTHORITY])
        verdict.seconds = time.monotonic() - began
        return verdict

    # --- One run ---

    def _play(
        self, accounts: list[str], *arguments: str, kill_after: float | None = None
    ) -> subprocess.CompletedProcess[str]:
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
            )
            try:
                process.wait(kill_after or _LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        return subprocess.CompletedProcess(command, process.returncode, output.read_text(encoding="utf-8"), "")

    def _again(self, verdict: Verdict, accounts: list[str]) -> None:
        done = self._play(accounts)
        if done.returncode:
            verdict.wrong.append(f"the run that follows fails too: {done.stdout[-3000:]}")

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

    # --- What the account holds ---

    def _known(self, account: str) -> float:
        """Roll an account out without any fault, and keep what it holds then. How many seconds it took."""
        began = time.monotonic()
        done = self._play([account])
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
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
