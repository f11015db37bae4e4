# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup `planned_changes`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: planned_changes
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What the rehearsal has foreseen so far
description:
  - What the tasks before this one, of all hosts of a run with C(--check), would have changed, as
    P(localgov.platform.planned_changes#callback) has kept it.
options:
  _terms:
    description: Nothing.
notes:
  - It fails where that callback is not enabled, since nothing foreseen and nothing kept would look alike.
seealso:
  - plugin: localgov.platform.planned_changes
    plugin_type: callback
"""

EXAMPLES = r"""
- name: Say which stacks would change
  ansible.builtin.debug:
    msg: "{{ planned.changes | selectattr('action', 'ne', 'none') | map(attribute='name') | unique }}"
  vars:
    planned: "{{ lookup('localgov.platform.planned_changes') }}"
"""

RETURN = r"""
_raw:
  description: One mapping.
  type: list
  elements: dict
  contains:
    changes:
      description:
        - V(account), V(kind) (V(stack), V(bucket), V(image), V(trust) and others), V(name), V(action) (V(none),
          V(create), V(change), V(remove), V(push), or V(unclear) with a reason in V(detail)), V(detail), V(resources)
          of a stack, and V(diff) where the module has one.
        - A resource has V(name), V(type), V(action), V(replacement) (V(no), V(perhaps), V(yes)), V(properties),
          V(policy), and V(data), which says whether what it holds would be lost to the stack.
        - Stacks of which nothing would change are there as well.
      type: list
      elements: dict
    unseen:
      description: Tasks whose modules have no rehearsal, with V(account) and V(task).
      type: list
      elements: dict
"""

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.localgov.platform.plugins.plugin_utils import _planned_changes


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core has no type stubs
    """Reads what the callback has kept in the process from which this one was forked."""

    def run(
        self, terms: Sequence[Any], variables: dict[str, Any] | None = None, **options: object
    ) -> list[dict[str, Any]]:
        """Raises AnsibleError where nobody has listened."""
        if not _planned_changes.listening:
            raise AnsibleError(
                "Nothing was kept of this run. Run it with --check, and name localgov.platform.planned_changes in "
                "callbacks_enabled of ansible.cfg or in ANSIBLE_CALLBACKS_ENABLED."
            )
        return [{"changes": _planned_changes.changes, "unseen": _planned_changes.unseen}]
