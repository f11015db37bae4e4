# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface endpoints a declaration of services needs, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.localgov.platform.plugins.plugin_utils import _endpoints

PULLED_AND_LOGGED = ["ecr.api", "ecr.dkr", "logs"]
SECRETS = {"PASSWORD": "database:password"}


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ({}, []),
        ({"frontend": {"tier": "frontend", "secrets": SECRETS}}, []),
        ({"code_server": {"tier": "private"}}, PULLED_AND_LOGGED),
        ({"run": {"tier": "private", "secrets": SECRETS}}, [*PULLED_AND_LOGGED, "secretsmanager"]),
        ({"daemon": {"tier": "private", "launches": ["run"]}}, ["ecr.api", "ecr.dkr", "ecs", "logs"]),
        ({"dagit": {"tier": "dagit", "follows": ["run"]}}, ["ecr.api", "ecr.dkr", "ecs", "logs"]),
        ({"dagit": {"tier": "dagit", "follows": [], "secrets": {}}}, PULLED_AND_LOGGED),
        ({"code_server": {"tier": "private", "drains": ["uploads"]}}, [*PULLED_AND_LOGGED, "sqs"]),
        ({"dagit": {"tier": "dagit", "on_demand": True}}, [*PULLED_AND_LOGGED, "ssmmessages"]),
        ({"dagit": {"tier": "dagit", "on_demand": False}}, PULLED_AND_LOGGED),
    ],
    ids=[
        "nothing",
        "only-the-frontend",
        "a-task",
        "a-secret",
        "launching",
        "following",
        "empty-arrows",
        "draining",
        "on-demand",
        "always-on",
    ],
)
def test_only_what_the_services_inside_call_gets_an_endpoint(services: dict[str, Any], expected: list[str]) -> None:
    assert _endpoints.endpoints(services) == expected
