# SPDX-License-Identifier: GPL-3.0-or-later
"""Image repositories of another account: ``registryId``, and the repository's policy together with the caller's own.

As shipped ECR always answers for the caller's account, so no image can be shared and no refusal can be shown.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from sandbox.emulator.internals import find
from sandbox.settings import Settings

NEEDS = (
    "ministack.core.iam_actions.extract_resource_arn",
    "ministack.core.iam_evaluator.EvalContext",
    "ministack.core.iam_evaluator.PrincipalInfo",
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
)


def install(settings: Settings) -> None:
    del settings
    _name_owner_in_resource()
    _find_policy_of_owner()
    _answer_for_owner()


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
