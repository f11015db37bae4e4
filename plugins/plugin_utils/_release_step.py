# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release has to do in an account, by what runs there and by the record of the release before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

Digests = dict[str, str]
GOOD, TRIAL, RETURNED = "good", "trial", "returned"


class Step(TypedDict):
    """`bring` the images, `prove` those that run already, or `keep` the account, for which nothing is left to do."""

    step: Literal["bring", "prove", "keep"]
    wanted: Digests  # of the images that the account runs
    running: Digests
    last_good: Digests  # what it returns to; empty where nobody knows
    attempt: str | None  # when the trial of these images began that is still open
    faults: list[str]  # why the account cannot be released now


def release_step(versions: Mapping[str, Any], digests: Mapping[str, str]) -> Step:
    """*versions* is what M(localgov.platform.deployed_versions_info) returns, *digests* is what is to run, by image."""
    services: Mapping[str, Mapping[str, Any]] = versions["services"]
    wanted = {one["image"]: digests[one["image"]] for one in services.values() if one["image"] in digests}
    running = _running(services, wanted)
    record = versions.get("release") or {}
    if running != wanted:
        step: Literal["bring", "prove", "keep"] = "bring"
    elif record.get("state") == GOOD and _holds(record, wanted):
        step = "keep"
    else:
        step = "prove"
    return {
        "step": step,
        "wanted": wanted,
        "running": running,
        "last_good": _last_good(running, record, step),
        "attempt": record.get("at") if record.get("state") == TRIAL and _holds(record, wanted) else None,
        "faults": _faults(versions, wanted),
    }


def _running(services: Mapping[str, Mapping[str, Any]], wanted: Digests) -> Digests:
    """Of the wanted images; where two services run different ones of the same name, one that is not wanted."""
    found: Digests = {}
    for one in services.values():
        name, digest = one["image"], str(one["digest"])
        if name in wanted and (name not in found or found[name] == wanted[name]):
            found[name] = digest
    return found


def _holds(record: Mapping[str, Any], digests: Digests) -> bool:
    recorded = record.get("digests") or {}
    return all(recorded.get(name) == digest for name, digest in digests.items())


def _last_good(running: Digests, record: Mapping[str, Any], step: str) -> Digests:
    """What runs; while a trial is open what was good before it, since what runs then may be of an earlier trial.

    Of what was deployed without a release nobody knows what was before.
    """
    if record.get("state") == TRIAL:
        good = record.get("last_good") or {}
        untried = {name: digest for name, digest in running.items() if name not in (record.get("digests") or {})}
        return {**untried, **good} if good else {}
    return running if step == "bring" else {}


def _faults(versions: Mapping[str, Any], wanted: Digests) -> list[str]:
    if not versions["deployed"]:
        return ["it has no services yet: deploy it first, with playbooks/site.yml"]
    if not wanted:
        return ["it runs none of the images that are to be released"]
    return []
