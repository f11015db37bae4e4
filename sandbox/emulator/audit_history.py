# SPDX-License-Identifier: GPL-3.0-or-later
"""CloudTrail's event history, of what is done to trails alone.

As shipped it is empty, or has every call of every service with made-up callers. Requests that failed are not in it.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from http import HTTPStatus
from typing import Any

from sandbox.emulator import audit_records
from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.app._dispatch_service_request",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.core.responses.request_scope",
    "ministack.services.cloudtrail._get_event_queue",
    *audit_records.NEEDS,
)

_SOURCE = "cloudtrail.amazonaws.com"
_STACKS = "cloudformation.amazonaws.com"
_TARGET = "CloudTrail_20131101."
_CHANGES = frozenset({"CreateTrail", "DeleteTrail", "PutEventSelectors", "StartLogging", "StopLogging", "UpdateTrail"})


def install(settings: Settings) -> None:
    del settings
    app = find("ministack.app")
    shipped = app._dispatch_service_request

    @functools.wraps(shipped)
    async def dispatch(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request_id: str
    ) -> Any:  # noqa: ANN401
        _, target, action = headers.get("x-amz-target", "").rpartition(_TARGET)
        if not target or action not in _CHANGES:
            return await shipped(method, path, headers, body, query, request_id)
        identity = audit_records.identity_of(audit_records.access_key_of(headers, query))
        answer = await shipped(method, path, headers, body, query, request_id)
        if answer[0] == HTTPStatus.OK:
            remember(action, json.loads(body or b"{}"), identity)
        return answer

    app._dispatch_service_request = dispatch


def remember_by_stack(operation: str, parameters: dict[str, Any]) -> None:
    """What CloudFormation has done; in whose name, the emulator does not know."""
    if operation in _CHANGES:
        account = find("ministack.core.responses.get_account_id")()
        remember(operation, parameters, {"type": "AWSService", "accountId": account, "invokedBy": _STACKS})


def remember(action: str, parameters: dict[str, Any], identity: dict[str, Any]) -> None:
    """Put an event where LookupEvents finds it."""
    now, region = time.time(), find("ministack.core.responses.get_region")()
    event_id = str(uuid.uuid4())
    event = {
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "eventSource": _SOURCE,
        "eventName": action,
        "awsRegion": region,
        "requestParameters": _as_recorded(parameters),
        "eventID": event_id,
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": identity["accountId"],
        "eventCategory": "Management",
    }
    with find("ministack.core.responses.request_scope")(identity["accountId"], region):
        find("ministack.services.cloudtrail._get_event_queue")().append(
            {
                "EventId": event_id,
                "EventName": action,
                "EventSource": _SOURCE,
                "EventTime": now,
                "ReadOnly": "false",
                "Username": identity.get("principalId", ""),
                "Resources": [],
                "CloudTrailEvent": json.dumps(event),
            }
        )


def _as_recorded(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """A request's parameters in the records' spelling, which begins with small letters."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _as_recorded(entry) for name, entry in value.items()}
    return [_as_recorded(entry) for entry in value] if isinstance(value, list) else value
