# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release has to do in an account, by what runs there and by what it has recorded."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils._release_step import release_step

OLD, NEW, OLDER = ({"daemon": f"sha256:{n}d", "code-server": f"sha256:{n}c"} for n in (1, 2, 0))


def versions(runs: dict[str, str], record: dict[str, Any] | None = None) -> dict[str, Any]:
    services = {
        "daemon": {"image": "daemon", "digest": runs["daemon"]},
        "code-server": {"image": "code-server", "digest": runs["code-server"]},
        "run": {"image": "code-server", "digest": runs["code-server"]},
    }
    return {"deployed": True, "services": services, "release": record}


def recorded(state: str, digests: dict[str, str], last_good: dict[str, str]) -> dict[str, Any]:
    return {"state": state, "digests": digests, "last_good": last_good, "at": "noon"}


@pytest.mark.parametrize(
    ("runs", "record", "step", "last_good"),
    [
        pytest.param(OLD, None, "bring", OLD, id="others run: these are brought, and those are what it returns to"),
        pytest.param(NEW, recorded("good", NEW, NEW), "keep", {}, id="they run and were proved: nothing is left to do"),
        pytest.param(NEW, recorded("trial", NEW, OLD), "prove", OLD, id="a run was killed before their proof"),
        pytest.param(OLD, recorded("trial", NEW, OLD), "bring", OLD, id="a run was killed, and they rolled back"),
        pytest.param(OLD, recorded("returned", NEW, OLD), "bring", OLD, id="they failed before, and are tried again"),
        pytest.param(OLDER, recorded("trial", OLDER, OLD), "bring", OLD, id="what runs was never proved"),
        pytest.param(OLDER, recorded("trial", NEW, OLD), "bring", OLD, id="what runs is of a trial before the last"),
        pytest.param(OLDER, recorded("trial", OLDER, {}), "bring", {}, id="on trial, and nobody knows what was before"),
        pytest.param(NEW, None, "prove", {}, id="deployed without a release: nobody knows what was before"),
        pytest.param(NEW, recorded("good", OLD, OLD), "prove", {}, id="the record is of others"),
    ],
)
def test_what_is_to_be_done(
    runs: dict[str, str], record: dict[str, Any] | None, step: str, last_good: dict[str, str]
) -> None:
    found = release_step(versions(runs, record), NEW)
    assert (found["step"], found["last_good"], found["wanted"]) == (step, last_good, NEW)


def returns(runs: dict[str, str], record: dict[str, Any], last_good: dict[str, str]) -> bool:
    """Whether a release that has failed has something to return from, as playbooks/tasks/release_return.yml asks."""
    return release_step(versions(runs, record), last_good)["step"] == "bring"


def test_images_of_a_killed_run_are_returned_from_when_those_after_them_do_not_come_up() -> None:
    first = release_step(versions(OLD), OLDER)
    killed = recorded("trial", OLDER, first["last_good"])
    second = release_step(versions(OLDER, killed), NEW)
    assert second["last_good"] == OLD
    # CloudFormation has gone back to what ran, which was never proved.
    assert returns(OLDER, recorded("trial", NEW, second["last_good"]), second["last_good"])


def test_images_of_a_killed_run_are_returned_from_when_the_next_run_was_killed_before_its_own_came() -> None:
    killed_twice = recorded("trial", NEW, OLD)
    third = release_step(versions(OLDER, killed_twice), NEW)
    assert (third["step"], third["last_good"]) == ("bring", OLD)
    assert returns(OLDER, killed_twice, third["last_good"])
    assert not returns(OLD, killed_twice, third["last_good"])


def test_a_stack_that_came_back_by_half_is_returned_from() -> None:
    torn = versions(OLD)
    torn["services"]["run"]["digest"] = NEW["code-server"]
    assert release_step(torn, OLD)["step"] == "bring"


def test_an_image_that_is_not_on_trial_returns_to_what_runs_beside_one_that_is() -> None:
    trial = recorded("trial", {"daemon": OLDER["daemon"]}, {"daemon": OLD["daemon"]})
    runs = {**OLD, "daemon": OLDER["daemon"]}
    assert release_step(versions(runs, trial), NEW)["last_good"] == OLD


def test_an_attempt_that_is_still_open_is_gone_on_with_and_no_other() -> None:
    assert release_step(versions(NEW, recorded("trial", NEW, OLD)), NEW)["attempt"] == "noon"
    assert release_step(versions(OLD, recorded("returned", NEW, OLD)), NEW)["attempt"] is None
    assert release_step(versions(OLDER, recorded("trial", OLDER, OLD)), NEW)["attempt"] is None


def test_an_image_alone_may_be_released_and_what_nobody_runs_is_of_no_consequence() -> None:
    found = release_step(versions(OLD), {"daemon": NEW["daemon"], "frontend": "sha256:3"})
    assert found["wanted"] == {"daemon": NEW["daemon"]}
    assert found["last_good"] == {"daemon": OLD["daemon"]}


def test_services_that_run_different_images_of_one_name_are_brought_together() -> None:
    torn = versions(NEW)
    torn["services"]["run"]["digest"] = OLD["code-server"]
    assert release_step(torn, NEW)["step"] == "bring"


@pytest.mark.parametrize(
    ("found", "digests", "reason"),
    [
        ({"deployed": False, "services": {}, "release": None}, NEW, "no services yet"),
        (versions(OLD), {"census": "sha256:9"}, "none of the images"),
    ],
)
def test_an_account_that_cannot_be_released_says_why(
    found: dict[str, Any], digests: dict[str, str], reason: str
) -> None:
    (fault,) = release_step(found, digests)["faults"]
    assert reason in fault
