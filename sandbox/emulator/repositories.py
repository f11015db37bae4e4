# SPDX-License-Identifier: GPL-3.0-or-later
"""Image repositories of another account: ``registryId``, and the repository's policy together with the caller's own.

As shipped ECR always answers for the caller's account, so no image can be shared and no refusal can be shown.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from sandbox.emulator import layers
from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.iam_actions.access_denied_response",
    "ministack.core.iam_actions.extract_resource_arn",
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator.PrincipalInfo",
    "ministack.core.iam_evaluator._resolve_condition_key",
    "ministack.core.iam_evaluator.combine_resource_policy",
    "ministack.core.iam_evaluator.evaluate_resource_policy",
    "ministack.core.iam_evaluator.resolve_principal",
    "ministack.core.responses.error_response_json",
    "ministack.core.responses.get_account_id",
    "ministack.core.responses.get_region",
    "ministack.core.responses.request_scope",
    "ministack.core.router.extract_access_key_id",
    "ministack.services.ecr._repositories",
    "ministack.services.ecr._repo_policies",
    "ministack.services.ecr.handle_request",
    "ministack.services.ecr.repository_policy_for_arn",
    *layers.NEEDS,
)


def install(settings: Settings) -> None:
    _name_owner_in_resource()
    _find_policy_of_owner()
    _answer_for_owner()
    _say_which_policy_refuses()
    layers.install(settings)


def _name_owner_in_resource() -> None:
    """The resource that the caller's own policies are asked about is in the registry's account."""
    actions = find("ministack.core.iam_actions")
    shipped = actions.extract_resource_arn

    @functools.wraps(shipped)
    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> str:  # noqa: ANN401
        arn = str(shipped(service, method, path, headers, body, *rest))
        registry = _registry(body) if service == "ecr" else None
        if registry is None or not arn.startswith("arn:"):
            return arn
        parts = arn.split(":", 5)
        return ":".join([*parts[:4], registry, parts[5]])

    actions.extract_resource_arn = extract_resource_arn


def _find_policy_of_owner() -> None:
    ecr = find("ministack.services.ecr")

    def repository_policy_for_arn(arn: str) -> tuple[str, str] | None:
        parts = arn.split(":", 5)
        name = parts[5].removeprefix("repository/")
        if ecr._repositories.get_scoped(parts[4], parts[3], name) is None:
            # Across accounts a repository that is not there is refused like one that is not shared.
            return None if parts[4] == find("ministack.core.responses.get_account_id")() else ("", parts[4])
        return ecr._repo_policies.get_scoped(parts[4], parts[3], name) or "", parts[4]

    ecr.repository_policy_for_arn = repository_policy_for_arn


def _answer_for_owner() -> None:
    """Serve a request for another registry from there. The gateway has asked the policies, but not about a root."""
    ecr = find("ministack.services.ecr")
    responses = find("ministack.core.responses")
    shipped = ecr.handle_request

    @functools.wraps(shipped)
    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:  # noqa: ANN401
        registry, account = _registry(body), responses.get_account_id()
        if registry in (None, account):
            return await shipped(method, path, headers, body, query)
        action = "ecr:" + str(headers.get("x-amz-target", "")).rpartition(".")[2]
        resource = find("ministack.core.iam_actions.extract_resource_arn")(
            "ecr", method, path, headers, body, query, responses.get_region(), account
        )
        if resource == "*" or not _root_may(action, resource, headers, query):
            message = f"Account {account} is not authorized to perform: {action} in registry {registry}."
            return responses.error_response_json("AccessDeniedException", message, 400)
        with responses.request_scope(registry, responses.get_region()):
            return await shipped(method, path, headers, body, query)

    ecr.handle_request = handle_request


def _say_which_policy_refuses() -> None:
    """A refusal by the other account's policy says so; as shipped it blames the caller's own, whatever they allow."""
    actions, evaluator = find("ministack.core.iam_actions"), find("ministack.core.iam_evaluator")
    combine, respond = evaluator.combine_resource_policy, actions.access_denied_response

    @functools.wraps(combine)
    def combine_resource_policy(identity: Any, context: Any, *rest: Any, **more: Any) -> Any:  # noqa: ANN401
        result = combine(identity, context, *rest, **more)
        if identity.decision == "Allow" and result.decision == "ImplicitDeny":
            result.resource_policy_arn = context.resource_arn
        return result

    @functools.wraps(respond)
    def access_denied_response(service: str, action: str, principal: str, request: str, **more: Any) -> Any:  # noqa: ANN401
        resource = more.get("resource_policy_arn")
        if resource and not more.get("explicit_deny") and not more.get("message"):
            because = f"because no resource-based policy allows the {action} action"
            on = f"User: {principal} is not authorized to perform: {action} on resource: {resource}"
            more["message"] = f"{on} {because}"
        return respond(service, action, principal, request, **more)

    evaluator.combine_resource_policy = combine_resource_policy
    actions.access_denied_response = access_denied_response


def _root_may(action: str, resource: str, headers: Any, query: Any) -> bool:  # noqa: ANN401
    """Whether the repository's policy lets a root in; every other caller has been judged by the gateway."""
    evaluator = find("ministack.core.iam_evaluator")
    account = find("ministack.core.responses.get_account_id")()
    access_key = find("ministack.core.router.extract_access_key_id")(headers, query)
    principal = evaluator.resolve_principal(access_key, account)
    if not isinstance(principal, evaluator.PrincipalInfo):
        return False
    if principal.policies is not None:
        return True
    policy = find("ministack.services.ecr.repository_policy_for_arn")(resource)
    context = _context(principal.arn, principal.type, account, action, resource)
    return bool(evaluator.evaluate_resource_policy(policy[0] if policy else "", context).decision == "Allow")


def _context(arn: str, kind: str, account: str, action: str, resource: str) -> Any:  # noqa: ANN401 - ministack's own type
    return find("ministack.core.iam_evaluator.EvalContext")(
        principal_arn=arn,
        principal_type=kind,
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=resource.split(":")[3],
    )


def _registry(body: bytes) -> str | None:
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return None
    registry = document.get("registryId") if isinstance(document, dict) else None
    return registry if isinstance(registry, str) and registry else None


# --- Why somebody is refused ---


def missing_locks(resource: str, action: str, principal: str) -> list[str]:
    """Which locks of a repository's policy a role's session does not open, in words.

    AWS says no more than that no policy allows the call; whoever wrote the policy wants to know what is missing.
    Empty when the policy lets the caller in, so that it is the caller's own policies that do not.
    """
    _, _, _, region, registry, name = resource.split(":", 5)
    text = find("ministack.services.ecr._repo_policies").get_scoped(registry, region, name.removeprefix("repository/"))
    account = principal.split(":")[4]
    context = _context(principal, "AssumedRole", account, action, resource)
    if text and find("ministack.core.iam_evaluator.evaluate_resource_policy")(text, context).decision == "Allow":
        return []
    if not text:
        return [] if account == registry else [f"{name} has no policy that lets another account in"]
    found = [list(_unmet(statement, context)) for statement in _statements(text) if statement.get("Effect") == "Allow"]
    # The statement that comes nearest says best what the caller lacks.
    return min((unmet for unmet in found if unmet), key=len, default=[])


def _unmet(statement: dict[str, Any], context: Any) -> Iterator[str]:  # noqa: ANN401 - ministack's own type
    """What of one Allow statement does not hold, each part judged alone."""
    evaluate = find("ministack.core.iam_evaluator.evaluate_resource_policy")

    def holds(**part: Any) -> bool:  # noqa: ANN401 - any part of a policy
        alone = {"Effect": "Allow", "Principal": "*", "Action": "*", **part}
        return bool(evaluate({"Statement": [alone]}, context).decision == "Allow")

    if not holds(Principal=statement.get("Principal", {})):
        yield f"principal: the policy does not name {context.principal_arn}"
    if not holds(Action=statement.get("Action", [])):
        yield f"action: the policy does not allow {context.action}"
    for operator, keys in (statement.get("Condition") or {}).items():
        for key, value in keys.items():
            if not holds(Condition={operator: {key: value}}):
                values = [value] if isinstance(value, str) else map(str, value)
                yield _sentence(operator, key, ", ".join(values), context)


def _sentence(operator: str, key: str, values: str, context: Any) -> str:  # noqa: ANN401 - ministack's own type
    account = context.principal_account
    role = find("ministack.core.iam_evaluator._resolve_condition_key")("aws:PrincipalArn", context)
    sentences = {
        "aws:principalorgid": f"membership: account {account} does not belong to the organisation {values}",
        "aws:principalorgpaths": f"membership: account {account} is not in the organisational unit {values}",
        "aws:principalarn": f"role: {role} is not {values}",
    }
    return sentences.get(key.lower(), f"condition: {key} is not {values} ({operator})")


def _statements(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text).get("Statement", [])
    except (ValueError, AttributeError):
        return []
    return [found] if isinstance(found, dict) else found
