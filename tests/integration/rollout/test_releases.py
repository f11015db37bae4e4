# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of a release, where it stops and where it goes on, in accounts that run a frontend and nothing else.

What becomes of images that do not work, with tasks, samples and a database: tests/e2e/operators/test_release.py.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.integration.rollout.conftest import NEW, OLD, Operator, give_back, run_a_frontend, take_away
from tests.sandbox.conftest import CHECKOUT, Sandbox

AUTHORITIES = ("camden", "croydon", "sutton")
RELEASE = CHECKOUT / "playbooks" / "release.yml"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Three authorities that run the frontend of before."""
    own = Sandbox(tmp_path_factory.mktemp("sandbox") / "state")
    own.start()
    for account in AUTHORITIES:
        run_a_frontend(own, account, OLD)
    yield own
    own.run("stop")


def changed_at(sandbox: Sandbox, account: str) -> datetime | None:
    cloudformation = sandbox.client("cloudformation", sandbox.root(account))
    (services,) = cloudformation.describe_stacks(StackName="localgov-services")["Stacks"]
    changed: datetime | None = services.get("LastUpdatedTime")
    return changed


def frontends(sandbox: Sandbox) -> list[str]:
    """The digest of each authority's frontend, in their order."""
    found = []
    for account in AUTHORITIES:
        ecs = sandbox.client("ecs", sandbox.root(account))
        definition = ecs.describe_task_definition(taskDefinition="localgov-frontend")["taskDefinition"]
        found.append(definition["containerDefinitions"][0]["image"].split("@")[1])
    return found


def released(operator: Operator) -> subprocess.CompletedProcess[str]:
    given = {"platform_image_digests": {"frontend": NEW}, "release_canary": "croydon", "release_sample": False}
    return operator.runs(RELEASE, "--limit", "local_authorities", "-e", json.dumps(given))


def outcomes(operator: Operator) -> list[str]:
    report = operator.report("release")
    return [report[account]["outcome"] for account in AUTHORITIES]


def test_a_release_begins_with_the_canary_stops_at_the_first_failure_and_goes_on_from_there(
    sandbox: Sandbox, operator: Callable[[], Operator]
) -> None:
    bob = operator()
    take_away(sandbox, "croydon")
    assert released(bob).returncode == 2
    assert outcomes(bob) == ["unfinished", "failed", "unfinished"]
    assert frontends(sandbox) == [OLD, OLD, OLD]

    give_back(sandbox, "croydon")
    take_away(sandbox, "camden")
    assert released(bob).returncode == 2
    assert outcomes(bob) == ["failed", "done", "unfinished"]
    assert frontends(sandbox) == [OLD, NEW, OLD]
    canary = changed_at(sandbox, "croydon")
    assert canary

    give_back(sandbox, "camden")
    goes_on = released(bob)
    assert goes_on.returncode == 0, goes_on.stdout[-3000:]
    assert outcomes(bob) == ["done", "done", "done"]
    assert frontends(sandbox) == [NEW, NEW, NEW]
    assert changed_at(sandbox, "croydon") == canary
    assert re.findall(r"(\w+), of a batch of 1", goes_on.stdout) == ["croydon", "camden", "sutton"]
