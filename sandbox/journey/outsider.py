# SPDX-License-Identifier: GPL-3.0-or-later
"""Principals that have every right of their own, so that only the other side's policy can refuse them.

Across accounts both sides must allow. A role without rights is refused whatever the bucket says, and proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sandbox import sessions
from sandbox.journey.organisation import Principal
from sandbox.settings import Settings

_POLICY = "every-right"
_EVERY_RIGHT = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "EveryRight", "Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@contextmanager
def every_right(settings: Settings, principal: Principal) -> Iterator[Principal]:
    """The principal, for a while allowed everything that its account can allow; a role that it lacks comes and goes."""
    iam = sessions.client_of_root(settings, principal.account, "iam")
    is_made_here = False
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName=principal.role, AssumeRolePolicyDocument=json.dumps(_TRUST))
        is_made_here = True
    iam.put_role_policy(RoleName=principal.role, PolicyName=_POLICY, PolicyDocument=json.dumps(_EVERY_RIGHT))
    try:
        yield principal
    finally:
        iam.delete_role_policy(RoleName=principal.role, PolicyName=_POLICY)
        if is_made_here:
            iam.delete_role(RoleName=principal.role)
