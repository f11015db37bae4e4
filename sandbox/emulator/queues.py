# SPDX-License-Identifier: GPL-3.0-or-later
"""SQS as IAM and EventBridge know it: permissions of calls in batches, and queues that let a rule send to them.

As shipped a call in a batch has a permission of its own, where AWS asks for that of the single call; and EventBridge
delivers to every queue, where AWS asks the queue's policy, by the rule that the event comes from.
"""

from __future__ import annotations

import functools
import logging
from contextvars import ContextVar
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

_ACTIONS, _EVENTS, _QUEUES = (
    "ministack.core.iam_actions",
    "ministack.services.eventbridge",
    "ministack.services.sqs",
)
NEEDS = (
    "ministack.core.responses.get_account_id",
    f"{_ACTIONS}.extract_iam_action",
    f"{_EVENTS}._dispatch_to_sqs",
    f"{_EVENTS}._invoke_target",
    f"{_QUEUES}.queue_policy_allows",
)

_rule: ContextVar[str] = ContextVar("rule", default="")


def install(settings: Settings) -> None:
    del settings
    actions, events = find(_ACTIONS), find(_EVENTS)
    actions.extract_iam_action = _without_batches(actions.extract_iam_action)
    events._invoke_target = _knowing_the_rule(events._invoke_target)
    events._dispatch_to_sqs = _where_it_is_let(events._dispatch_to_sqs)


def _without_batches(shipped: Any) -> Any:  # noqa: ANN401 - the emulator's own function
    @functools.wraps(shipped)
    def extract_iam_action(service: str, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        action = shipped(service, *rest, **more)
        return action.removesuffix("Batch") if service == "sqs" and isinstance(action, str) else action

    return extract_iam_action


def _knowing_the_rule(shipped: Any) -> Any:  # noqa: ANN401 - the emulator's own function
    @functools.wraps(shipped)
    def invoke(target: dict[str, Any], event: dict[str, Any], rule: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        token = _rule.set(str((rule or {}).get("Arn", "")))
        try:
            return shipped(target, event, rule, *rest, **more)
        finally:
            _rule.reset(token)

    return invoke


def _where_it_is_let(shipped: Any) -> Any:  # noqa: ANN401 - the emulator's own function
    @functools.wraps(shipped)
    def dispatch(queue: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        account = find("ministack.core.responses.get_account_id")()
        allowed = find(f"{_QUEUES}.queue_policy_allows")
        if not allowed(str(queue), "events.amazonaws.com", _rule.get(), account):
            logging.getLogger("sandbox").warning("The policy of %s does not let %s send to it.", queue, _rule.get())
            return None
        return shipped(queue, *rest, **more)

    return dispatch
