# SPDX-License-Identifier: GPL-3.0-or-later
"""A creation or update that is asked for again with its token is the one that is there already.

So whoever lost the answer asks again without fear. As shipped the token is written into the stack's events, and a
repeated creation is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_HANDLERS = "ministack.services.cloudformation.handlers._ACTION_HANDLERS"
_XML = "ministack.services.cloudformation.handlers._xml"
_STACKS = "ministack.services.cloudformation._stacks"
_EVENTS = "ministack.services.cloudformation._stack_events"
_PARAMETER = "ministack.services.cloudformation.helpers._p"

NEEDS = (_HANDLERS, _XML, _STACKS, _EVENTS, _PARAMETER)

Handler = Callable[[dict[str, Any]], Any]


def install(settings: Settings) -> None:
    handlers = find(_HANDLERS)
    for action in ("CreateStack", "UpdateStack"):
        handlers[action] = once(action, handlers[action])


def once(action: str, handle: Handler) -> Handler:
    def handled(params: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever the emulator's handlers answer
        parameter = find(_PARAMETER)
        stack = find(_STACKS).get(parameter(params, "StackName"))
        token = parameter(params, "ClientRequestToken")
        if stack and token:
            events = find(_EVENTS).get(stack["StackId"], [])
            if any(event.get("ClientRequestToken") == token for event in events):
                return find(_XML)(
                    200, f"{action}Response", f"<{action}Result><StackId>{stack['StackId']}</StackId></{action}Result>"
                )
        return handle(params)

    return handled
