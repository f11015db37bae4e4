# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a cluster, as many as there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Client = Any  # a client of boto3 in the wrapper of amazon.aws that takes aws_retry; neither has type stubs

_AT_ONCE = 10  # as many as ECS describes in one call


def described(ecs: Client, cluster: str, services: Sequence[str]) -> list[dict[str, Any]]:
    """What ECS says of these services, by their names or ARNs, also of those that were deleted a short while ago."""
    return [
        service
        for first in range(0, len(services), _AT_ONCE)
        for service in ecs.describe_services(
            aws_retry=True, cluster=cluster, services=services[first : first + _AT_ONCE]
        )["services"]
    ]
