# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `policy_differences`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: policy_differences
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: In which statements a resource's policy is not the declared one
description:
  - Compares the statements of a policy with all those that it should have, one by one and by what they mean. Their
    order does not count, nor whether a value stands alone or in a list.
  - A statement that was changed is both missing and not declared.
positional: _input
options:
  _input:
    description: The policy, as a mapping or as AWS's text. Nothing means a resource without a policy.
    type: raw
    required: true
  declared:
    description: The statements that it should have, and no others.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Expect exactly the statements that were written
  ansible.builtin.assert:
    that: (bucket_policy | localgov.platform.policy_differences(statements)) == []
"""

RETURN = r"""
_value:
  description: A text for each statement that is missing or not declared, with its Sid. Empty when there is none.
  type: list
  elements: str
  sample: ["DenyInsecureTransport is missing"]
"""

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _outside_access, _policy_differences


def policy_differences(
    policy: _outside_access.Policy | str | None, declared: list[_outside_access.Statement]
) -> list[str]:
    """See `_policy_differences`; a policy that cannot be understood becomes Ansible's own filter error."""
    try:
        return _policy_differences.policy_differences(policy, declared)
    except ValueError as error:
        raise AnsibleFilterError(f"The policy cannot be understood, so it cannot be compared: {error}.") from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Name to function."""
        return {"policy_differences": policy_differences}
