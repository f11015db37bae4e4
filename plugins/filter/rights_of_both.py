# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `rights_of_both`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rights_of_both
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: A CloudFormation template of roles that allows what two templates allow
description:
  - For the time between one state and the next, in which tasks of both start, the old ones again where a deployment
    fails.
  - Roles that only the template before has stay, and a role of both has an inline policy C(before) for what the new
    template allows it no more.
positional: _input
options:
  _input:
    description: The new template, in YAML.
    type: str
    required: true
  before:
    description: The template before, as CloudFormation returns it. Empty where there is none.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Take nothing away that a rollback would need
  amazon.aws.cloudformation:
    stack_name: localgov-roles
    template_body: "{{ roles_template | localgov.platform.rights_of_both(roles_stack.stack_template) }}"
"""

RETURN = r"""
_value:
  description: The template, in YAML. The new one itself where it allows all that the one before does.
  type: str
"""

from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.localgov.platform.plugins.plugin_utils import _rights_of_both


def rights_of_both(after: str, before: str | _rights_of_both.Template | None) -> str:
    """See `_rights_of_both`; a text that is no template becomes Ansible's own filter error."""
    try:
        return _rights_of_both.rights_of_both(before, after)
    except ValueError as error:
        raise AnsibleFilterError(f"A template of roles cannot be understood: {error}.") from error


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Name to function."""
        return {"rights_of_both": rights_of_both}
