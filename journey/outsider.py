# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody outside the organisational unit who gives a role the name that is let in, and every right of their own."""

from __future__ import annotations

import json
from contextlib import suppress

from journey.organisation import READER, Principal
from sandbox import sessions
from sandbox.settings import Settings

_EVERY_RIGHT = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "EveryRight", "Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def impersonate_reader(settings: Settings, account: str) -> Principal:
    """A role of the reader's name in that account, allowed everything that an account can allow by itself."""
    iam = sessions.of_root(settings, account).client(
        "iam", endpoint_url=settings.endpoint_url, verify=str(settings.ca_bundle)
    )
    with suppress(iam.exceptions.EntityAlreadyExistsException):  # from an earlier walk
        iam.create_role(RoleName=READER.role, AssumeRolePolicyDocument=json.dumps(_TRUST))
    iam.put_role_policy(RoleName=READER.role, PolicyName="every-right", PolicyDocument=json.dumps(_EVERY_RIGHT))
    return Principal(account, READER.role)
