# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `stack_as_declared`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_as_declared
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: Whether a stack has the template, parameters and tags that are declared
description:
  - Of such a stack CloudFormation itself would say that there is nothing to update. Told apart beforehand, it costs no
    further call.
  - Anything that cannot be told for certain counts as a difference, such as a parameter that CloudFormation does not
    show, one that is left to the template's default, or a stack that is at work or has failed.
positional: _input
options:
  _input:
    description:
      - The stack as M(amazon.aws.cloudformation_info) returns it with C(stack_template), or an empty mapping for one
        that is not there.
    type: dict
    required: true
  template:
    description: The template's text.
    type: str
    required: true
  parameters:
    description: The template's parameters.
    type: dict
    default: {}
  tags:
    description: The stack's tags.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Deploy the stack, where it is not as declared
  amazon.aws.cloudformation:
    stack_name: localgov-network
    template_body: "{{ template }}"
  when: not (stacks['localgov-network'] | default({}) | localgov.platform.stack_as_declared(template))
"""

RETURN = r"""
_value:
  description: Whether it is as declared.
  type: bool
"""

from collections.abc import Callable, Mapping
from typing import Any

_WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def stack_as_declared(
    stack: Mapping[str, Any],
    template: str,
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
) -> bool:
    """The stack is as `cloudformation_info` returns it; empty for none."""
    described = stack.get("stack_description") or {}
    return (
        described.get("stack_status") in _WHOLE
        and stack.get("stack_template") == template
        and (stack.get("stack_parameters") or {}) == _texts(parameters)
        and (stack.get("stack_tags") or {}) == _texts(tags)
    )


def _texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (values or {}).items()}


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"stack_as_declared": stack_as_declared}
