# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials of access as data, see `docs/concepts.md`, section 6. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ansible_collections.localgov.platform.plugins.module_utils._access_probe import ALLOWED, FAILED, REFUSED, Trial
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

_BUCKET = re.compile(r"arn:[a-z-]+:s3:::[^/:]+")
_REPOSITORY = re.compile(r"arn:[a-z-]+:ecr:[a-z0-9-]+:\d{12}:repository/.+")
_OF_BUCKETS = (
    "list",
    "list_versions",
    "list_without_tls",
    "get",
    "get_version",
    "put",
    "delete",
    "delete_version",
)
_ACTIONS = dict.fromkeys(_OF_BUCKETS, _BUCKET) | dict.fromkeys(("pull", "push"), _REPOSITORY)
_RIGHTS = ("own", "borrowed")
_EXPECTED = (ALLOWED, REFUSED)


def check(trial: Trial) -> None:
    """RefusedError when it is not a trial."""
    resource, action = str(trial.get("resource") or ""), trial.get("action")
    if action not in _ACTIONS:
        raise RefusedError(f"'{action}' is not an action of a trial ({trial}): use one of {', '.join(_ACTIONS)}.")
    if not _ACTIONS[action].fullmatch(resource):
        wanted = "bucket" if _ACTIONS[action] is _BUCKET else "repository"
        raise RefusedError(f"'{resource}' is not the ARN of a {wanted}, which {action} needs ({trial}).")
    if trial.get("rights", "own") not in _RIGHTS:
        raise RefusedError(f"rights must be {' or '.join(_RIGHTS)}, not '{trial['rights']}' ({trial}).")
    if trial.get("expected", ALLOWED) not in _EXPECTED:
        raise RefusedError(f"expected must be {' or '.join(_EXPECTED)}, not '{trial['expected']}' ({trial}).")


def report(made: Iterable[Trial]) -> dict[str, Any]:
    """Trials that were made, with how many had which outcome; surprises where something was expected."""
    trials = [dict(trial) for trial in made]
    counts = Counter(trial["outcome"] for trial in trials)
    found: dict[str, Any] = {
        "trials": trials,
        "summary": {outcome: counts[outcome] for outcome in (ALLOWED, REFUSED, FAILED)},
    }
    expecting = [trial for trial in trials if "expected" in trial]
    if expecting:
        found["surprises"] = [trial for trial in expecting if trial["outcome"] != trial["expected"]]
    return found
