# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulator that is not the one we know stops the start, with one clear sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from sandbox import settings
from sandbox.emulator import launcher
from sandbox.emulator.internals import VERSION
from tests.sandbox.conftest import CHECKOUT, Sandbox

Launch = Callable[[str], str]


@pytest.fixture
def launch(new_sandbox: Callable[..., Sandbox], monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Start the emulator after *sabotage*, a line of Python; why it did not start."""
    sandbox = new_sandbox()
    sandbox.start()
    sandbox.run("stop")
    monkeypatch.setenv("LOCALGOV_SANDBOX_DIR", str(sandbox.folder))
    monkeypatch.setenv("LOCALGOV_SANDBOX_RUNTIME", "off")
    environment = launcher.environment(settings.load())

    def launching(sabotage: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"{sabotage}\nfrom sandbox.emulator.launcher import main\nmain()"],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        (report,) = [line for line in done.stdout.splitlines() if line.startswith('{"error"')]
        return str(json.loads(report)["error"])

    return launching


@pytest.mark.parametrize(
    "name",
    [
        "ministack.core.iam_evaluator._resolve_condition_key",
        "ministack.services.ecr.repository_policy_for_arn",
        "ministack.services.cloudformation.provisioners._RESOURCE_HANDLERS",
    ],
)
def test_a_name_that_has_gone_is_named(launch: Launch, name: str) -> None:
    module, attribute = name.rsplit(".", 1)
    reason = launch(f"import importlib; delattr(importlib.import_module({module!r}), {attribute!r})")
    assert "This sandbox needs ministack 1.5.33" in reason
    assert name in reason


def test_another_version_is_refused(launch: Launch) -> None:
    reason = launch("from importlib import metadata; metadata.version = lambda name: '9.9.9'")
    assert reason == "This sandbox needs ministack 1.5.33; 9.9.9 is installed."


@pytest.mark.parametrize("change", ["organisation", "buckets", "repositories"])
def test_policies_that_no_longer_hold_stop_the_start(launch: Launch, change: str) -> None:
    reason = launch(f"from sandbox.emulator import {change}; {change}.install = lambda settings: None")
    assert "The emulator's self-test failed" in reason


def test_the_pinned_version_is_the_one_of_the_project() -> None:
    assert f'"ministack=={VERSION}"' in (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
