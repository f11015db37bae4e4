# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `inventory_faults`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: inventory_faults
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What of an inventory cannot be meant
description:
  - Looks at what the inventory says of accounts, without asking AWS - the variables C(platform_*), those of the
    connection, those of the roles, and the services that an account declares.
  - The roles' variables are held to their own argument specifications.
positional: _input, variables
options:
  _input:
    description: The accounts to look at, as hosts.
    type: list
    elements: str
    required: true
  variables:
    description: The variables of all hosts, C(hostvars).
    type: dict
    required: true
  among:
    description: The hosts among which accounts and ranges may be there once; without them the accounts themselves.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Refuse what cannot be meant
  ansible.builtin.assert:
    that: ansible_play_hosts_all | localgov.platform.inventory_faults(hostvars) == []
  run_once: true
"""

RETURN = r"""
_value:
  description: A line for each fault, with the host, the variable, what it says and what is expected.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible_collections.localgov.platform.plugins.plugin_utils._inventory_faults import (
    IMAGE_VARIABLES,
    Specification,
    faults_between,
    faults_of,
    images_of,
)
from jinja2 import Undefined
from jinja2.exceptions import UndefinedError

_ROLES = Path(__file__).resolve().parents[2] / "roles"
# What accounts may not have in common, and what one of them has for all.
_SHARED = ("ansible_aws_account_id", "platform_cidr", *IMAGE_VARIABLES)


def inventory_faults(
    hosts: list[str], variables: Mapping[str, Mapping[str, Any]], among: list[str] | None = None
) -> list[str]:
    """A line for each fault of the accounts, sorted by host as given."""
    specifications = _specifications()
    shared = {host: _shared(variables[host]) for host in among or hosts}
    found, images = list(faults_between(shared)), images_of(shared.values())
    lines = []
    for host in hosts:
        lines += [f"{host}: {fault}" for fault in _of(variables[host], specifications, images)]
        lines += [f"{host}: {fault}" for other, fault in found if other == host]
    return lines


def _of(variables: Mapping[str, Any], specifications: dict[str, Specification], images: set[str]) -> Iterator[str]:
    prefixes = ("ansible_aws_account_", "platform_", *(f"{role}_" for role in specifications))
    said = {}
    for name in [name for name in variables if name.startswith(prefixes)]:
        try:
            said[name] = _settled(variables[name])
        except (AnsibleError, UndefinedError) as error:
            yield f"{name} cannot be worked out: {error.message}"
    yield from faults_of(said, specifications, images)


def _settled(value: Any) -> Any:  # noqa: ANN401 - whatever an inventory says
    """The value with all that templates in it stand for; raises where something is not defined."""
    if isinstance(value, Undefined):
        str(value)
    if isinstance(value, Mapping):
        return {key: _settled(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_settled(part) for part in value]
    return value


def _shared(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What cannot be worked out is said by `_of`."""
    found = {}
    for name in _SHARED:
        if name in variables:
            with suppress(AnsibleError, UndefinedError):
                found[name] = _settled(variables[name])
    return found


@cache
def _specifications() -> dict[str, Specification]:
    """The options of each role, of all its entry points."""
    found: dict[str, Specification] = {}
    for file in sorted(_ROLES.glob("*/meta/argument_specs.yml")):
        entries = yaml.safe_load(file.read_text(encoding="utf-8"))
        options: Specification = {}
        for entry in entries["argument_specs"].values():
            options.update(entry.get("options") or {})
        found[file.parent.parent.name] = options
    return found


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"inventory_faults": inventory_faults}
