# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter `access_matrix`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: access_matrix
author: localgov.platform contributors (!UNKNOWN)
version_added: 0.1.0
short_description: What came of trials of access, as a matrix
description: Puts the trials of M(localgov.platform.cross_account_access_info) in order for people to read.
positional: _input
options:
  _input:
    description: Trials with C(outcome) and C(reason).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who was let in where
  ansible.builtin.debug:
    msg: "{{ (tried.trials | localgov.platform.access_matrix).lines }}"
"""

RETURN = r"""
_value:
  description:
    - C(tables), one for each C(owner), with its C(places), those C(let_in) and those C(shut_out). Each has its
      C(principal), C(cells) with what was C(allowed) and whether there was a C(surprise), and C(groups) of trials at
      one place that ended alike, with C(actions), C(expected), C(because), C(outcome) and C(reason).
    - C(surprises), all of them; C(counts); and C(lines), a table for the terminal with the surprises below it.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.localgov.platform.plugins.plugin_utils import _access_matrix


def access_matrix(trials: list[dict[str, Any]]) -> _access_matrix.Matrix:
    """See `_access_matrix`."""
    return _access_matrix.matrix(trials)


class FilterModule:
    """The table of filters that Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"access_matrix": access_matrix}
