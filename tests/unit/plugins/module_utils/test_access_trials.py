# SPDX-License-Identifier: GPL-3.0-or-later
"""Trials as data: what is none is refused, and what came of them is counted."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.module_utils._access_trials import check, report
from ansible_collections.localgov.platform.plugins.module_utils._policy_resources import RefusedError

BUCKET = "arn:aws:s3:::shared"
REPOSITORY = "arn:aws:ecr:eu-west-2:012345670123:repository/localgov/frontend"


@pytest.mark.parametrize(
    "action",
    ["get", "get_version", "list", "list_versions", "list_without_tls", "put", "delete", "delete_version"],
)
def test_what_is_tried_on_a_bucket_needs_a_bucket(action: str) -> None:
    check({"resource": BUCKET, "action": action, "prefix": "a/b", "rights": "borrowed", "expected": "refused"})
    with pytest.raises(RefusedError, match="not the ARN of a bucket"):
        check({"resource": REPOSITORY, "action": action})


@pytest.mark.parametrize("action", ["pull", "push"])
def test_what_is_tried_on_a_repository_needs_a_repository(action: str) -> None:
    check({"resource": REPOSITORY, "action": action})
    with pytest.raises(RefusedError, match="not the ARN of a repository"):
        check({"resource": BUCKET, "action": action})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"action": "copy"}, "'copy' is not an action of a trial"),
        ({"action": None}, "'None' is not an action"),
        ({"resource": "shared"}, "'shared' is not the ARN of a bucket"),
        ({"resource": f"{BUCKET}/key"}, "not the ARN of a bucket"),
        ({"resource": None}, "'' is not the ARN of a bucket"),
        ({"rights": "stolen"}, "rights must be own or borrowed"),
        ({"expected": "failed"}, "expected must be allowed or refused"),
    ],
)
def test_what_is_no_trial_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        check({"resource": BUCKET, "action": "get", **change})


def test_trials_come_back_counted_with_those_that_surprise() -> None:
    trials = [
        {"number": 0, "outcome": "allowed", "expected": "allowed"},
        {"number": 1, "outcome": "refused", "expected": "allowed"},
        {"number": 2, "outcome": "failed", "expected": "refused"},
        {"number": 3, "outcome": "failed"},
    ]
    found = report(trials)
    assert found["trials"] == trials
    assert found["summary"] == {"allowed": 1, "refused": 1, "failed": 2}
    assert found["surprises"] == trials[1:3]
    assert "surprises" not in report(trials[3:])
    assert report([]) == {"trials": [], "summary": {"allowed": 0, "refused": 0, "failed": 0}}
