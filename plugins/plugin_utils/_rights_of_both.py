# SPDX-License-Identifier: GPL-3.0-or-later
"""A template of roles that allows what two templates allow, for the time between one state and the next. Pure.

While services are deployed, tasks of both states run and start: the new ones, and the old ones again where a
deployment fails, by the circuit breaker of ECS as by the rollback of CloudFormation. So nothing may be taken away
before it is over.
"""

from __future__ import annotations

import itertools
import json
from string import digits
from typing import Any

import yaml

Template = dict[str, Any]
Statement = dict[str, Any]
# The policy of a role for what only the state before allows.
BEFORE = "before"
_OTHER_NAMES = {"Ref": "Ref", "Condition": "Condition"}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short functions, each as its long form."""


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.SequenceNode):
        value: Any = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        value = loader.construct_scalar(node)  # type: ignore[arg-type]
    return {_OTHER_NAMES.get(name, f"Fn::{name}"): value.split(".", 1) if name == "GetAtt" else value}


_Loader.add_multi_constructor("!", _function)


def rights_of_both(before: str | Template | None, after: str) -> str:
    """The template *after* with what only *before* allows beside it; *after* itself where that is nothing.

    Raises ValueError where a text is no template.
    """
    if not before:
        return after
    old, new = _parsed(before), _parsed(after)
    gone = {name: resource for name, resource in old["Resources"].items() if name not in new["Resources"]}
    merged = {name: _merged(old["Resources"].get(name, {}), role) for name, role in new["Resources"].items()}
    if not gone and merged == new["Resources"]:
        return after
    both = {
        **new,
        "Parameters": {**old.get("Parameters", {}), **new.get("Parameters", {})},
        "Resources": {**merged, **gone},
    }
    # Flow style is the shortest. With this line it is no JSON, of which AWS's client makes something else than text.
    return f"# What two states allow, while one follows the other.\n{json.dumps(both, separators=(',', ':'))}\n"


def _parsed(template: str | Template) -> Template:
    try:
        found = yaml.load(template, _Loader) if isinstance(template, str) else template  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("Resources"), dict):
        raise ValueError("it has no Resources")
    return found


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new role, with a policy of what it was allowed before and is allowed no more."""
    allowed = _statements(new)
    left = [rest for statement in _statements(old) if (rest := _remainder(statement, allowed))]
    if not left:
        return new
    policy = {"PolicyName": BEFORE, "PolicyDocument": {"Version": "2012-10-17", "Statement": _with_own_sids(left)}}
    properties = new["Properties"]
    return {**new, "Properties": {**properties, "Policies": [*properties.get("Policies", []), policy]}}


def _statements(role: dict[str, Any]) -> list[Statement]:
    policies = role.get("Properties", {}).get("Policies", [])
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def _remainder(statement: Statement, allowed: list[Statement]) -> Statement | None:
    """What of a statement none of the others allows. What it denied is nothing that could be missed."""
    if statement["Effect"] != "Allow":
        return None
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    for other in allowed:
        if not _as_wide(_terms(other), _terms(statement)):
            continue
        others_actions, others_resources = _listed(other["Action"]), _listed(other["Resource"])
        if all(action in others_actions for action in actions):
            resources = [resource for resource in resources if resource not in others_resources]
        elif all(resource in others_resources for resource in resources):
            actions = [action for action in actions if action not in others_actions]
    return {**statement, "Action": actions, "Resource": resources} if actions and resources else None


def _terms(statement: Statement) -> dict[str, Any]:
    """On which terms it allows anything: its effect and conditions."""
    return {name: value for name, value in statement.items() if name not in ("Sid", "Action", "Resource")}


def _as_wide(wide: dict[str, Any], narrow: dict[str, Any]) -> bool:
    """Whether the first terms are met wherever the others are: the same ones, or with more values to choose from."""
    conditions, narrower = wide.get("Condition", {}), narrow.get("Condition", {})
    if {**wide, "Condition": {}} != {**narrow, "Condition": {}} or conditions.keys() != narrower.keys():
        return False
    return all(_has_more_to_choose_from(name, conditions[name], narrower[name]) for name in conditions)


def _has_more_to_choose_from(operator: str, wide: dict[str, Any], narrow: dict[str, Any]) -> bool:
    if wide == narrow:
        return True
    # StringNotEquals and the like are met by less, the more values they have.
    if "Not" in operator or wide.keys() != narrow.keys():
        return False
    return all(value in _listed(wide[key]) for key in wide for value in _listed(narrow[key]))


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - one text, one function or a list of them
    return value if isinstance(value, list) else [value]


def _with_own_sids(statements: list[Statement]) -> list[Statement]:
    """They may come from several policies, and in one each Sid stands once."""
    taken: set[str] = set()
    found = []
    for statement in statements:
        sid = str(statement["Sid"])
        numbered = (f"{sid.rstrip(digits)}{number}" for number in itertools.count(2))
        own = next(name for name in itertools.chain([sid], numbered) if name not in taken)
        taken.add(own)
        found.append({**statement, "Sid": own})
    return found
